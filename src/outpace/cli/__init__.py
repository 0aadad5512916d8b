"""The command line. Each command is one file with `add` (its options) and `run` (what it does)."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from outpace.errors import OutpaceError
from outpace.flow.signals import Terminated


class Parser(argparse.ArgumentParser):
    """Say what is wrong with an argument in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> Parser:
    """Make the parser of the whole command line."""
    from outpace.cli import fetch, models, race, report  # noqa: PLC0415 - nothing heavy either

    main_parser = Parser(
        prog="outpace",
        description="Run the same work under any concurrency model, and find out which is fastest.",
    )
    main_parser.add_argument("--version", action="version", version=_version())
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (race, fetch, report, models):
        command.add(commands)
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 well, 1 some failed, 2 bad usage, 130 Ctrl-C."""
    chosen = parser().parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
        sys.stdout.flush()
    except OutpaceError as error:
        print(f"outpace: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("outpace: interrupted", file=sys.stderr)
        return 130
    except Terminated as terminated:
        print("outpace: terminated", file=sys.stderr)
        return int(terminated.code or 1)
    except BrokenPipeError:  # the reader of our output has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _version() -> str:
    """Return what --version prints."""
    import outpace  # noqa: PLC0415 - it is imported already; only the name is needed here

    return f"outpace {outpace.__version__}"
