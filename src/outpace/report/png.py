"""A picture as PNG: the SVG, drawn by resvg (the extra `png`), with the fonts of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outpace.errors import UsageError
from outpace.record.timeline import Timeline
from outpace.report.palette import Theme
from outpace.report.svg import svg
from outpace.report.svg_canvas import FONT

SHARP = 2  # pixels of the PNG for one of the SVG
ONE_LETTER = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{}</svg>'


def check_png() -> None:
    """Raise `UsageError` when a PNG cannot be drawn here, or would have no words in it."""
    try:
        import resvg_py  # noqa: F401, PLC0415 - only looked for
    except ImportError:
        raise UsageError(
            "to write .png, the extra is needed: pip install 'outpace[png]' (.svg needs nothing)"
        ) from None
    if not writes_letters():
        raise UsageError(
            "this machine has no fonts, so a .png would have no words in it: install some (Debian, "
            "Ubuntu: fonts-dejavu-core), or save .svg"
        )


def writes_letters(**options: Any) -> bool:
    """Say whether a letter leaves a trace: without fonts resvg draws none, and says nothing."""
    import resvg_py  # noqa: PLC0415 - the extra

    letter = f'<text y="8" font-family="{FONT}">M</text>'  # as the pictures have it
    drawn = [
        bytes(resvg_py.svg_to_bytes(svg_string=ONE_LETTER.format(inside), **options))
        for inside in (letter, "")
    ]
    return drawn[0] != drawn[1]


def png(
    timelines: Sequence[Timeline], *, title: str = "What ran when", theme: Theme = "light"
) -> bytes:
    """Draw timelines as PNG; "auto" is light, since a PNG cannot ask its reader."""
    check_png()
    import resvg_py  # noqa: PLC0415 - the extra

    text = svg(timelines, title=title, theme="light" if theme == "auto" else theme)
    return bytes(resvg_py.svg_to_bytes(svg_string=text, zoom=SHARP))
