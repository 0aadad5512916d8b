"""The options by which a race is written to files and drawn, shared by `race` and `report`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from outpace.cli.output import complain, out
from outpace.errors import UsageError

if TYPE_CHECKING:
    from outpace.racing.result import Race
    from outpace.record.timeline import Timeline

FILE_OPTIONS = {  # the option, the suffix that it needs, and what it is
    "html": (".html", "a page that works offline: table, timelines, item times"),
    "svg": (".svg", "the timelines as a picture"),
    "png": (".png", "the same as PNG (needs outpace[png])"),
    "trace": (".json", "a trace to open in Perfetto"),
}


def add(group: Any) -> None:
    """Add the options."""
    for name, (ending, what) in FILE_OPTIONS.items():
        group.add_argument(f"--{name}", metavar="F", help=f"write a {ending} file: {what}")
    group.add_argument(
        "--timeline", action="store_true", help="draw what ran when below the table, as text"
    )


def check(options: argparse.Namespace, files: Iterable[str] = FILE_OPTIONS) -> None:
    """Raise `UsageError` for a file that could not be written, before any work."""
    from outpace.report.save import check_path  # noqa: PLC0415 - not for --help

    for name in files:
        path = getattr(options, name)
        ending = FILE_OPTIONS[name][0] if name in FILE_OPTIONS else ".json"
        if path is not None:
            if not path.endswith(ending):
                raise UsageError(f"--{name} writes a {ending} file, and {path!r} is none")
            check_path(path)


def write(
    options: argparse.Namespace, race: Race | Timeline, files: Iterable[str] = FILE_OPTIONS
) -> bool:
    """Write the files that were asked for; say of one that can't be, and whether there is none."""
    from outpace.report.save import PICTURES  # noqa: PLC0415

    well = True
    for name in files:
        path = getattr(options, name)
        if path is not None:
            try:
                PICTURES.save(race, path, ".trace.json" if name == "trace" else None)
            except UsageError as error:  # a disk that is full by now, say: the others are written
                complain(str(error))
                well = False
    return well


def show(options: argparse.Namespace, race: Race | Timeline) -> None:
    """Print the table, and the lanes if they were asked for, fitting the terminal."""
    from outpace.racing.result import Race  # noqa: PLC0415
    from outpace.report.save import timelines  # noqa: PLC0415
    from outpace.report.table import race_table  # noqa: PLC0415
    from outpace.report.timeline_text import lanes_text, wants_colour  # noqa: PLC0415

    stream = sys.stdout
    on_terminal = stream is not None and stream.isatty()
    width = shutil.get_terminal_size((110, 24)).columns if on_terminal else 110
    if isinstance(race, Race):
        out(race_table(race, width))
        if not options.timeline:
            return
        out("")
    plain = not (getattr(stream, "encoding", None) or "").lower().startswith("utf")
    colour = on_terminal and wants_colour(stream)
    out(lanes_text(timelines(race), width, colour=colour, ascii_only=plain))
