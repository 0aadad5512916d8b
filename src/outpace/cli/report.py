"""`outpace report`: show a race that was saved, in any of the forms that a race has."""

from __future__ import annotations

import argparse
from typing import Any

from outpace.cli import pictures

EPILOG = """\
examples:
  outpace report race.json                       the table again
  outpace report race.json --html race.html      a page of it
  outpace report race.json --timeline            what ran when, in the terminal
"""


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "report",
        help="show a saved race again: table, page, pictures",
        description="Read a race that `outpace race --json` has written, or a timeline that was saved "
        "as .json, and show it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    command.add_argument("race", metavar="race.json", help="what --json has written")
    pictures.add(command)


def run(options: argparse.Namespace) -> int:
    """Read the race; write what was asked for, or print the table if nothing was."""
    from outpace.racing.race_json import read  # noqa: PLC0415 - not for --help

    pictures.check(options)
    race = read(options.race)
    well = pictures.write(options, race)
    if options.timeline or not any(getattr(options, name) for name in pictures.FILE_OPTIONS):
        pictures.show(options, race)
    return 0 if well else 1
