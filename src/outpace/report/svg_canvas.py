"""A sheet of SVG that is written from the top down. All text is escaped here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from outpace.report.palette import Theme, css

FONT = "system-ui,-apple-system,Segoe UI,Helvetica Neue,Arial,DejaVu Sans,sans-serif"


@dataclass(slots=True)
class Canvas:
    """The parts of a picture, and how far down it reaches."""

    width: int
    y: float = 0.0
    parts: list[str] = field(default_factory=list)

    def text(  # one argument per thing that text can have
        self,
        x: float,
        y: float,
        words: str,
        cls: str = "text",
        *,
        size: int = 11,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write words."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text class="{cls}" x="{x:.5g}" y="{y:.5g}" font-size="{size}" '
            f'text-anchor="{anchor}"{weight}>{clean(words)}</text>'
        )

    def path(self, cls: str, steps: str, *, title: str = "", more: str = "") -> None:
        """Draw a path, if there is anything in it; `title` shows where it is pointed at."""
        if steps:
            inside = f"><title>{clean(title)}</title></path>" if title else "/>"
            self.parts.append(f'<path class="{cls}" d="{steps}"{more}{inside}')

    def rect(self, cls: str, x: float, y: float, width: float, height: float) -> None:
        """Draw a rectangle."""
        self.path(cls, box(x, y, width, height))

    def group(self, **data: object) -> None:
        """Begin a group that says what it holds; `end` ends it."""
        fields = "".join(f' data-{name}="{clean(str(value))}"' for name, value in data.items())
        self.parts.append(f"<g{fields}>")

    def end(self) -> None:
        """End a group."""
        self.parts.append("</g>")

    def document(self, title: str, theme: Theme) -> str:
        """Return the whole picture."""
        height = round(self.y)
        start = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" '
            f'width="{self.width}" height="{height}" role="img" font-family="{FONT}">'
        )
        page = f'<rect class="page" width="{self.width}" height="{height}"/>'
        head = [start, f"<title>{clean(title)}</title>", f"<style>{css(theme)}</style>", page]
        return "\n".join([*head, *self.parts, "</svg>\n"])


def box(x: float, y: float, width: float, height: float) -> str:
    """Return the steps of a rectangle."""
    return f"M{x:.6g} {y:.6g}h{width:.6g}v{height:.6g}h{-width:.6g}z"


def clean(words: str) -> str:
    """Make words safe in XML: escaped, and without what XML cannot hold at all."""
    allowed = "".join(
        c for c in words if c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe"
    )
    return escape(allowed, {'"': "&quot;"})
