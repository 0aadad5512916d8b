"""Writing a race or a timeline to a file, by the suffix of its name; and showing it in a notebook.

A picture is finished before the file is opened, and the file is replaced as a whole: what stood there
before is there until then. `check_path` says what is wrong with a path before any work.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from outpace.errors import UsageError
from outpace.racing.result import Race
from outpace.record.timeline import Timeline
from outpace.record.timeline_json import as_json
from outpace.report import race_html
from outpace.report.chrome_trace import chrome_trace
from outpace.report.html import page
from outpace.report.png import check_png, png
from outpace.report.svg import svg
from outpace.report.table import race_table
from outpace.report.timeline_text import lanes_text

What = Race | Timeline
SUFFIXES = (".json", ".html", ".svg", ".png", ".md", ".txt", ".trace.json")


class Pictures:
    """The writer of races and timelines, as they are drawn and saved here."""

    def save(self, what: Any, path: str | Path, form: str | None = None) -> None:
        """Write a file, in the form of its suffix or another; raise `UsageError` where it cannot be."""
        path = check_path(path)
        content = WRITERS[form or suffix(path)](what)
        write(path, content)

    def notebook(self, what: Any) -> str:
        """Draw in HTML without script: the table of a race, and the picture as an image.

        An image, since a notebook is one page, and what styles a picture would style all of it.
        """
        text = svg(timelines(what), title=title(what))
        image = base64.b64encode(text.encode()).decode()
        picture = (
            f'<img alt="{escape(title(what))}" style="max-width:100%" '
            f'src="data:image/svg+xml;base64,{image}">'
        )
        if isinstance(what, Timeline):
            return picture
        use = f"<p>{escape(str(what.recommendation))}</p>"
        return f"{race_html.table(what)}{use}{picture if timelines(what) else ''}"


PICTURES = Pictures()


def write(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole; raise `UsageError` where that can't be, and leave it as it is."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    part = _part(path)
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _part(path: Path) -> Path:
    """Name the file that is written first and then takes the place of a path."""
    return path.with_name(f".outpace.{os.getpid()}.part")


def suffix(path: Path) -> str:
    """Return which of the suffixes a path has; raise `UsageError` for another."""
    found = next((s for s in reversed(SUFFIXES) if path.name.endswith(s) and path.name != s), None)
    if found is None:
        *others, last = SUFFIXES
        raise UsageError(
            f"what is saved is told by the suffix, {', '.join(others)} or {last}, and "
            f"{str(path)!r} has none of these"
        )
    return found


def check_path(path: str | Path) -> Path:
    """Return the path if something can be saved there; raise `UsageError` before any work if not.

    The only way to know is to try: a disk may be full or read-only, a name too long for it.
    """
    path = Path(path)
    if suffix(path) == ".png":
        check_png()
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"the folder of {str(path)!r} does not exist")
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise UsageError(f"{str(path)!r} is a folder")
    except FileNotFoundError:
        pass  # as it should be
    except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {str(path)!r}: {why}") from None
    part = _part(path)
    try:
        part.write_bytes(b"outpace")
        part.unlink()
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise UsageError(
            f"cannot write into the folder of {str(path)!r}: {error.strerror}"
        ) from None
    return path


def timelines(what: What) -> Sequence[Timeline]:
    """Return the timelines of a race that has some, or the one that was given."""
    if isinstance(what, Timeline):
        return [what]
    return [entrant.timeline for entrant in what.entrants if entrant.timeline is not None]


def title(what: What) -> str:
    """Say what a picture shows."""
    name = what.model if isinstance(what, Timeline) else str(what.job.get("name", "race"))
    return f"{name}: what ran when"


def text(what: What) -> str:
    """Write for a person: the table of a race, the lanes of a timeline."""
    return race_table(what) if isinstance(what, Race) else lanes_text([what])


def html(what: What) -> str:
    """Write the page of a race or of a single timeline."""
    if isinstance(what, Timeline):
        return page([what], title=title(what))
    return page(
        timelines(what),
        title=title(what),
        before=race_html.above_timelines(what),
        after=race_html.below_timelines(what),
    )


def data(what: What) -> str:
    """Write for programs."""
    content = what.as_json() if isinstance(what, Race) else as_json(what)
    if isinstance(what, Timeline):
        return dumps(content)
    return compact(content) + "\n"


def dumps(content: Any) -> str:
    """Write JSON without a space to spare."""
    return json.dumps(content, separators=(",", ":")) + "\n"


def compact(content: dict[str, Any]) -> str:
    """Write a race's JSON for eyes too, with each timeline on a line of its own."""
    kept: list[str] = []

    def set_aside(row: dict[str, Any]) -> dict[str, Any]:
        if row.get("timeline") is None:
            return row
        kept.append(json.dumps(row["timeline"], ensure_ascii=False, separators=(",", ":")))
        return {**row, "timeline": len(kept) - 1}

    rows = [set_aside(row) for row in content["entrants"]]
    lines = json.dumps({**content, "entrants": rows}, indent=2, ensure_ascii=False)
    for n, line in enumerate(kept):
        lines = lines.replace(f'\n      "timeline": {n}\n', f'\n      "timeline": {line}\n', 1)
    return lines


WRITERS: dict[str, Callable[[Any], str | bytes]] = {
    ".json": data,
    ".html": html,
    ".svg": lambda what: svg(timelines(what), title=title(what)),
    ".png": lambda what: png(timelines(what), title=title(what)),
    ".md": lambda what: f"```\n{text(what)}\n```\n",
    ".txt": lambda what: text(what) + "\n",
    ".trace.json": lambda what: dumps(chrome_trace(timelines(what))),
}
