"""`outpace models`: every model, and whether it can run here."""

from __future__ import annotations

import argparse
from typing import Any

from outpace.cli.output import out


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "models", help="list the concurrency models and whether they can run here"
    )
    command.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print the table."""
    from outpace.registry import models  # noqa: PLC0415 - not for --help
    from outpace.report.table import models_table  # noqa: PLC0415

    out(models_table(models()))
    return 0
