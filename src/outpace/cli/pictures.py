"""The options by which a race is written to files and drawn, shared by `race` and `report`."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import TYPE_CHECKING, Any

from outpace.errors import UsageError

if TYPE_CHECKING:
    from outpace.racing.result import Race
    from outpace.record.timeline import Timeline

FILES = {  # the option, the suffix that it needs, and what it is
    "html": (".html", "a page that works offline: table, timelines, item times"),
    "svg": (".svg", "the timelines as a picture"),
    "png": (".png", "the same as PNG (needs outpace[png])"),
    "trace": (".json", "a trace to open in Perfetto"),
}


def add(group: Any) -> None:
    """Add the options."""
    for name, (ending, what) in FILES.items():
        group.add_argument(f"--{name}", metavar="F", help=f"write a {ending} file: {what}")
    group.add_argument(
        "--timeline", action="store_true", help="draw what ran when below the table, as text"
    )


def check(options: argparse.Namespace) -> None:
    """Raise `UsageError` for a file that could not be written, before any work."""
    from outpace.report.save import check_path  # noqa: PLC0415 - not for --help

    for name, (ending, _) in FILES.items():
        path = getattr(options, name)
        if path is not None:
            if not path.endswith(ending):
                raise UsageError(f"--{name} writes a {ending} file, and {path!r} is none")
            check_path(path)


def write(options: argparse.Namespace, race: Race | Timeline) -> None:
    """Write the files that were asked for."""
    from outpace.report.save import PICTURES  # noqa: PLC0415

    for name in FILES:
        path = getattr(options, name)
        if path is not None:
            PICTURES.save(race, path, ".trace.json" if name == "trace" else None)


def show(options: argparse.Namespace, race: Race | Timeline) -> None:
    """Print the table, and the lanes if they were asked for, fitting the terminal."""
    from outpace.racing.result import Race  # noqa: PLC0415
    from outpace.report.lanes import lanes_text, wants_colour  # noqa: PLC0415
    from outpace.report.save import timelines  # noqa: PLC0415
    from outpace.report.table import race_table  # noqa: PLC0415

    out = sys.stdout
    width = shutil.get_terminal_size((110, 24)).columns if out.isatty() else 110
    if isinstance(race, Race):
        print(race_table(race, width))
        if not options.timeline:
            return
        print()
    plain = not (out.encoding or "").lower().startswith("utf")
    print(lanes_text(timelines(race), width, colour=wants_colour(out), ascii_only=plain))
