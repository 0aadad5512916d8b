"""One timeline drawn on a canvas: its lanes, and below them the strips."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

from outpace.flow.show import seconds
from outpace.record import metrics
from outpace.record.lanes import PictureRow, rows
from outpace.record.raster import Stretch, below, in_order, rasterise, stretches
from outpace.record.timeline import Timeline
from outpace.report.captions import (
    TIMES_SIGN,
    at_once,
    marked,
    share_words,
    tick_words,
    ticks,
    tooltip,
)
from outpace.report.svg_canvas import Canvas

LEFT, PLOT = 112, 868  # pixels: the names of rows, and the plot beside them
ROW, GAP, STRIP = 12, 2, 18
SVG_ROWS = 16  # of one timeline; more lanes than that share rows
ENLARGED_BELOW = 0.16  # of the axis: a timeline that takes less is drawn enlarged too
TICKS = 8  # at most, of the common axis
LENS = 44  # pixels between a small timeline and its enlargement
ITEMS_APART = 6.0  # pixels that two items need for the line between them to be drawn


def draw(canvas: Canvas, timeline: Timeline, longest: float) -> None:
    """Draw a timeline on an axis that is `longest` seconds long; move the canvas below it."""
    width = PLOT * timeline.span_s / longest if longest > 0 else 0.0
    canvas.group(model=timeline.model, span=f"{timeline.span_s:.7g}", width=f"{width:.5g}")
    canvas.y += 20
    canvas.text(16, canvas.y, timeline.model, size=13, bold=True)
    words = f"{at_once(timeline)}: {seconds(timeline.span_s)}; {share_words(timeline)}"
    canvas.text(16 + 8 * len(timeline.model) + 14, canvas.y, words, "muted")
    canvas.y += 8
    top, behind = canvas.y, len(canvas.parts)
    drawn = rows(timeline, SVG_ROWS)
    _lanes(canvas, timeline, drawn, LEFT, max(width, 1.0), names=True)
    _strips(canvas, timeline, LEFT, max(width, 1.0), names=True)
    bottom = canvas.y
    small = width < ENLARGED_BELOW * PLOT and timeline.span_s > 0
    _lines(canvas, longest, LEFT + (width if small else PLOT), top, behind)
    if small:
        _enlarged(canvas, timeline, drawn, width, top)
    canvas.y = bottom + 14
    canvas.end()


def _lines(canvas: Canvas, longest: float, right: float, top: float, behind: int) -> None:
    """Draw the lines of the common axis behind a timeline, as far as the axis holds for it."""
    at = (LEFT + PLOT * value / longest for value in ticks(longest, TICKS) if longest > 0)
    steps = "".join(f"M{x:.5g} {top - 2:.5g}V{canvas.y + 2:.5g}" for x in at if x <= right)
    canvas.path("line", steps, more=' stroke-width="1"')
    if steps:
        canvas.parts.insert(behind, canvas.parts.pop())


def _enlarged(
    canvas: Canvas, timeline: Timeline, drawn: list[PictureRow], width: float, top: float
) -> None:
    """Draw a small timeline once more in the room to its right, joined to it by a lens."""
    bottom, x = canvas.y, LEFT + width + LENS
    room = PLOT - width - LENS
    canvas.group(enlarged=timeline.model, width=f"{room:.5g}")
    lens = (
        f"M{LEFT + width + 2:.5g} {top:.5g}L{x - 4:.5g} {top:.5g}"
        f"M{LEFT + width + 2:.5g} {bottom:.5g}L{x - 4:.5g} {bottom:.5g}"
    )
    canvas.path("rule", lens, more=' stroke-width="0.7" stroke-dasharray="2 2"')
    zoom = room / width if width > 0 else 0.0
    middle = (LEFT + width + x) / 2 - 1
    canvas.text(middle, (top + bottom) / 2 + 4, f"{TIMES_SIGN}{zoom:.3g}", "muted", anchor="middle")
    canvas.y = top
    _lanes(canvas, timeline, drawn, x, room, names=False)
    _strips(canvas, timeline, x, room, names=False)
    for value in ticks(timeline.span_s, 5):
        at = x + room * value / timeline.span_s
        anchor = "start" if value == 0 else "middle" if at < LEFT + PLOT - 20 else "end"
        words = tick_words(value, timeline.span_s)
        canvas.text(at, canvas.y + 11, words, "muted", size=9, anchor=anchor)
        canvas.path("rule", f"M{at:.5g} {canvas.y:.5g}v3", more=' stroke-width="0.7"')
    canvas.end()


def _lanes(
    canvas: Canvas,
    timeline: Timeline,
    drawn: list[PictureRow],
    x: float,
    width: float,
    *,
    names: bool,
) -> None:
    """Draw the rows of lanes. A column is a whole pixel wide, the last one perhaps not all used."""
    columns = ceil(width)
    until = timeline.began + timeline.span_s * columns / width
    grid = rasterise(timeline, drawn, columns, timeline.began, until)
    sums = metrics.seconds_by_state(timeline)
    before = None
    for row, by_state in zip(drawn, grid, strict=True):
        if before not in (None, row.worker):
            canvas.y += 3
        if names:
            canvas.text(LEFT - 8, canvas.y + 10, marked(row), "muted", size=10, anchor="end")
        canvas.group(row=row.name, worker=row.worker)
        canvas.rect("panel", x, canvas.y, width, ROW)
        spent = [sum(column) for column in zip(*(sums[n] for n in row.lanes), strict=True)]
        _skylines(canvas, stretches(by_state, ROW), x, tooltip(row.name, spent))
        canvas.end()
        if len(row.lanes) == 1:
            _ends(canvas, timeline, row.lanes[0], x, width)
        canvas.y += ROW + GAP
        before = row.worker


def _skylines(canvas: Canvas, found: list[Stretch], x: float, title: str) -> None:
    """Draw what a row did: for each state the outline of its height and of all below it, top first.

    The lower ones are painted over the upper ones. An outline costs six bytes a change, a rectangle
    twenty-five; without smoothing, no colour shines through at the edges.
    """
    for state in reversed(in_order({state for stretch in found for state, _ in stretch.layers})):
        steps, height, at = [], 0, 0
        for stretch in found:
            top = _height(stretch, state)
            if height and stretch.first > at:  # nothing is known in between
                steps.append(f"v{height}h{stretch.first - at}")
                height = 0
            elif stretch.first > at:
                steps.append(f"h{stretch.first - at}")
            if top != height:
                steps.append(f"v{height - top}")
            steps.append(f"h{stretch.last - stretch.first}")
            height, at = top, stretch.last
        path = f"M{x:.6g} {canvas.y + ROW:.6g}{''.join(steps)}v{height}z"
        canvas.path(f"s{state}", path, title=title, more=' shape-rendering="crispEdges"')


def _height(stretch: Stretch, state: int) -> int:
    """Return how high a state and those below it reach in a stretch."""
    height = upto = 0
    for layer, size in stretch.layers:
        upto += size
        if not below(state, layer):
            height = upto
    return height


def _ends(canvas: Canvas, timeline: Timeline, lane: int, x: float, width: float) -> None:
    """Mark where one item ends and the next begins, where there is room to see it."""
    scale = width / timeline.span_s if timeline.span_s > 0 else 0.0
    items = timeline.items
    began = sorted(s for n, s in zip(items.lane, items.started, strict=True) if n == lane)
    at = [x + (started - timeline.began) * scale for started in began]
    marks = [
        f"M{here:.6g} {canvas.y:.5g}v{ROW}"
        for before, here in pairwise(at)
        if here - before >= ITEMS_APART
    ]
    canvas.path("cut", "".join(marks), more=' stroke-width="1"')


def _strips(canvas: Canvas, timeline: Timeline, x: float, width: float, *, names: bool) -> None:
    """Draw how many cores were busy and how many items in flight, each against its limit."""
    columns = max(1, round(width / 2))
    canvas.y += 3
    for cls, name, line, top in (
        ("busy", "cores busy", metrics.cores_busy(timeline, columns), timeline.cores),
        ("flight", "in flight", metrics.in_flight(timeline, columns), timeline.in_flight),
    ):
        if names:
            canvas.text(LEFT - 8, canvas.y + 13, f"{name}, of {top}", "muted", size=9, anchor="end")
        canvas.rect("panel", x, canvas.y, width, STRIP)
        canvas.group(strip=cls)
        canvas.path(cls, _area(line, max(1, top), x, canvas.y + STRIP, width / columns))
        canvas.end()
        canvas.y += STRIP + GAP


def _area(line: list[float], top: int, x: float, base: float, step: float) -> str:
    """Return the steps of an area under a line of bins; `top` is the height of the strip."""
    steps = [f"M{x:.6g} {base:.6g}"]
    for n, value in enumerate(line):
        if n and value == line[n - 1]:
            continue
        if n:
            steps.append(f"H{x + n * step:.6g}")
        steps.append(f"V{base - STRIP * min(1.0, value / top):.6g}")
    return "".join([*steps, f"H{x + len(line) * step:.6g}V{base:.6g}z"])
