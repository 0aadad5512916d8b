"""A timeline as text: a row a lane, a character a moment, readable without colour.

A character is what its moment went into; over a row there are as many of each as it had of the time.
Where only an item's amount is known, work that fills a part of it shows as a bar of that height. Fits a
width; colours only where they are wanted (`wants_colour`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from textwrap import wrap
from typing import TextIO

from outpace.flow.show import printable, seconds
from outpace.record import metrics, states
from outpace.record.lanes import PictureRow, rows
from outpace.record.raster import rasterise
from outpace.record.timeline import Timeline
from outpace.report.captions import TIMES_SIGN, at_once, how_measured, share_words

BARS = " ▁▂▃▄▅▆▇█"
TO_ASCII = str.maketrans(
    {
        "█": "#",
        "▒": "+",
        "│": "|",
        "…": "~",
        "µ": "u",
        TIMES_SIGN: "x",
        **dict.fromkeys("▁▂▃▄▅▆▇", "_"),
    }
)
TEXT_ROWS = 12
ALL, LEAST = 0.94, 0.06  # of a moment: taken for all of it, and for nothing
PART = -1  # in place of a state: that a bar occurs
BY_HEIGHT = {states.RUNNING, states.WAITING, states.IDLE}
ENLARGED_BELOW = 0.2  # of the width: a timeline that takes less is drawn enlarged beside itself
BESIDE = "  "
NAME_WIDTH = 17  # characters for the names of rows
COLOUR_CODES = {
    states.RUNNING: "32",
    states.READY: "36",
    states.LOCK: "35",
    states.GIL: "31",
    states.BLOCKING: "33;1",
    states.BLOCKED: "33",
}
GREY = "90"


def wants_colour(stream: TextIO) -> bool:
    """Say whether to colour: on a terminal, unless the user or the terminal says no (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def lanes_text(
    timelines: Sequence[Timeline],
    width: int = 110,
    *,
    colour: bool = False,
    ascii_only: bool = False,
) -> str:
    """Draw timelines below each other on one axis, with a legend of what occurs in them."""
    if not timelines:
        return "there is no timeline to show"
    plot = max(20, width - NAME_WIDTH - 3 - len(" of 9999"))
    longest = max(timeline.span_s for timeline in timelines)
    used: set[int] = set()
    lines: list[str] = []
    for timeline in timelines:
        lines += [*_panel(timeline, plot, longest, used, colour=colour), ""]
    lines.append(f"{'':>{NAME_WIDTH}} {_axis(longest, plot)}")
    lines += ["", *_legend(used, timelines, width, colour=colour)]
    text = "\n".join(line.rstrip() for line in lines)
    return text.translate(TO_ASCII) if ascii_only else text


def _panel(
    timeline: Timeline, plot: int, longest: float, used: set[int], *, colour: bool
) -> list[str]:
    """Draw one timeline: what it is, its rows, and the strips below; a small one twice, side by side."""
    columns = max(1, round(plot * timeline.span_s / longest)) if longest > 0 else 1
    drawn = rows(timeline, TEXT_ROWS)
    names = [row.name for row in drawn]
    head = f"{timeline.model}, {at_once(timeline)}: {seconds(timeline.span_s)}"
    body = _body(timeline, drawn, columns, used, colour=colour)
    room = plot - columns - len(BESIDE) - 2
    if columns < ENLARGED_BELOW * plot and room > columns:
        head += f" (right: {TIMES_SIGN}{room * longest / plot / timeline.span_s:.3g})"
        enlarged = _body(timeline, drawn, room, used, colour=colour)
        body = [small + BESIDE + large for small, large in zip(body, enlarged, strict=True)]
    tops = [*[""] * len(drawn), f" of {timeline.cores}", f" of {timeline.in_flight}"]
    lines = [
        f"{name[:NAME_WIDTH]:>{NAME_WIDTH}} {line}{top}"
        for name, line, top in zip([*names, "cores busy", "in flight"], body, tops, strict=True)
    ]
    blocked = [printable(f"  ! {place}") for place in timeline.blocked]
    return [f"{head}  [{share_words(timeline)}]", *lines, *blocked]


def _body(
    timeline: Timeline, drawn: list[PictureRow], columns: int, used: set[int], *, colour: bool
) -> list[str]:
    """Draw the rows and the two strips, `columns` characters wide."""
    grid = rasterise(timeline, drawn, columns, timeline.began, timeline.ended)
    lines = [
        _painted(_cells(by_state, columns, used, by_height=row.sampled), colour=colour)
        for row, by_state in zip(drawn, grid, strict=True)
    ]
    for strip, top in (
        (metrics.cores_busy(timeline, columns), timeline.cores),
        (metrics.in_flight(timeline, columns), timeline.in_flight),
    ):
        lines.append("".join(_bar(value / max(1, top)) for value in strip))
    return [f"│{line}│" for line in lines]


def _cells(
    by_state: dict[int, list[float]], columns: int, used: set[int], *, by_height: bool
) -> list[tuple[str, int]]:
    """Return the characters of a row, each with the state that it stands for.

    What a character leaves out is carried on to the next ones (error diffusion, as in printing), so that
    over a row as many characters stand for a state as it had of the time.
    """
    cells = []
    owed: dict[int, float] = {}
    for n in range(columns):
        shares = {state: line[n] for state, line in by_state.items() if line[n] > 0}
        shares[states.IDLE] = max(0.0, 1.0 - sum(shares.values()))
        most = max(shares, key=shares.__getitem__)
        running = shares.get(states.RUNNING, 0.0)
        if by_height and LEAST < running < ALL and set(shares) <= BY_HEIGHT:
            owed = {}  # an amount of a whole item: there is no order to be shown
            used.add(PART)
            cells.append((_bar(running), states.RUNNING))
            continue
        if shares[most] >= ALL:
            owed = {}
        for state, share in shares.items():
            owed[state] = owed.get(state, 0.0) + share
        shown = max(owed, key=owed.__getitem__)
        owed[shown] -= 1.0
        used.add(shown)
        cells.append((states.STATES[shown].glyph, shown))
    used.discard(states.IDLE)
    return cells


def _bar(share: float) -> str:
    """Return a bar of a height; anything above nothing is seen."""
    if share <= 0.005:
        return " "
    return BARS[min(8, max(1, round(share * 8)))]


def _painted(cells: list[tuple[str, int]], *, colour: bool) -> str:
    """Join characters, with a change of colour only where the state changes."""
    if not colour:
        return "".join(glyph for glyph, _ in cells)
    out, before = [], ""
    for glyph, state in cells:
        code = "" if glyph == " " else COLOUR_CODES.get(state, GREY)
        if code and code != before:
            out.append(f"\x1b[0;{code}m")
            before = code
        out.append(glyph)
    return "".join(out) + "\x1b[0m"


def _axis(longest: float, plot: int) -> str:
    """Write the beginning, the middle and the end of the common axis."""
    middle, end = seconds(longest / 2), seconds(longest)
    half = plot // 2
    line = "0".ljust(half) + middle
    return line + end.rjust(max(len(end) + 1, plot + 2 - len(line)))


def _legend(
    used: set[int], timelines: Sequence[Timeline], width: int, *, colour: bool
) -> list[str]:
    """Say what the characters mean: only those that occur."""
    parts = [
        f"{_painted([(states.STATES[n].glyph, n)], colour=colour)} {states.STATES[n].words}"
        for n in sorted(used - {PART})
    ]
    if PART in used:
        parts.append("▃ on CPU for a part of the time (height)")
    parts.append("blank: idle")
    lines, line, length = [], "", 0
    for part in parts:
        size = len(part) - (len("\x1b[0;32m\x1b[0m") if "\x1b" in part else 0)
        if line and length + 3 + size > width:
            lines.append(line)
            line, length = "", 0
        line += ("   " if line else "") + part
        length += size + (3 if length else 0)
    notes = [part for note in how_measured(timelines) for part in wrap(note, width)]
    return [*lines, line, *notes]
