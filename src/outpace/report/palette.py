"""The colours of pictures: Okabe and Ito's, which stay apart for every kind of colour vision.

What costs stands out (vermilion: the GIL; orange: a blocked loop), work is green, and all that waits for
something outside is grey, since there is nothing wrong with it. One list for light and one for dark.
(M. Okabe, K. Ito, Color Universal Design, 2008.)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from outpace.record import states

Theme = Literal["auto", "light", "dark"]


class Palette(NamedTuple):
    """The colours of one theme."""

    page: str
    panel: str  # where a lane could have worked and nothing is known: idle
    text: str
    muted: str
    line: str
    busy: str  # the strip of cores
    flight: str  # the strip of items in flight
    states: tuple[str, ...]


def _by_state(**colours: str) -> tuple[str, ...]:
    """Put colours into the order of the states."""
    return tuple(colours[name.replace("-", "_")] for name in states.NAMES)


LIGHT = Palette(
    page="#ffffff",
    panel="#f0f2f5",
    text="#1c2430",
    muted="#5b6675",
    line="#d5dae1",
    busy="#009e73",
    flight="#0072b2",
    states=_by_state(
        running="#009e73",
        ready="#56b4e9",
        waiting_network="#b3bdc9",
        waiting_disk="#8794a5",
        waiting_sleep="#d3d9e0",
        waiting_lock="#cc79a7",
        waiting_child="#c2b280",
        waiting="#c3cad3",
        waiting_gil="#d55e00",
        blocking_computing="#e69f00",
        blocking_waiting="#f0cf65",
        idle="#f0f2f5",
    ),
)
DARK = Palette(
    page="#12171e",
    panel="#1d242d",
    text="#e6eaf0",
    muted="#9aa5b4",
    line="#333d49",
    busy="#1fb58a",
    flight="#58a6e0",
    states=_by_state(
        running="#1fb58a",
        ready="#56b4e9",
        waiting_network="#5d6a7a",
        waiting_disk="#8794a5",
        waiting_sleep="#414c59",
        waiting_lock="#cc79a7",
        waiting_child="#a39566",
        waiting="#505c6a",
        waiting_gil="#e8702a",
        blocking_computing="#f0ac1f",
        blocking_waiting="#f2d779",
        idle="#1d242d",
    ),
)


def css(theme: Theme) -> str:
    """Return the style sheet of a picture; "auto" follows the reader's own setting."""
    if theme != "auto":
        return _rules(LIGHT if theme == "light" else DARK)
    return f"{_rules(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{_rules(DARK)}\n}}"


def _rules(colours: Palette) -> str:
    """Write one theme's rules; plain ones, which every renderer of SVG understands."""
    rules = [
        f".page{{fill:{colours.page}}}",
        f".panel{{fill:{colours.panel}}}",
        f".text{{fill:{colours.text}}}",
        f".muted{{fill:{colours.muted}}}",
        f".line{{stroke:{colours.line};fill:none}}",
        f".rule{{stroke:{colours.muted};fill:none}}",
        f".cut{{stroke:{colours.page};fill:none}}",
        f".busy{{fill:{colours.busy}}}",
        f".flight{{fill:{colours.flight}}}",
        *(f".s{n}{{fill:{colour}}}" for n, colour in enumerate(colours.states)),
    ]
    return "\n".join(rules)
