"""A picture as PNG: the SVG, drawn by resvg (the extra `png`), with the fonts of this machine."""

from __future__ import annotations

from collections.abc import Sequence

from outpace.errors import UsageError
from outpace.record.timeline import Timeline
from outpace.report.palette import Theme
from outpace.report.svg import svg

SHARP = 2  # pixels of the PNG for one of the SVG


def check_png() -> None:
    """Raise `UsageError` when what draws a PNG is not installed."""
    try:
        import resvg_py  # noqa: F401, PLC0415 - only looked for
    except ImportError:
        raise UsageError(
            "to write .png, the extra is needed: pip install 'outpace[png]' (.svg needs nothing)"
        ) from None


def png(
    timelines: Sequence[Timeline], *, title: str = "What ran when", theme: Theme = "light"
) -> bytes:
    """Draw timelines as PNG; "auto" is light, since a PNG cannot ask its reader."""
    check_png()
    import resvg_py  # noqa: PLC0415 - the extra

    text = svg(timelines, title=title, theme="light" if theme == "auto" else theme)
    return bytes(resvg_py.svg_to_bytes(svg_string=text, zoom=SHARP))
