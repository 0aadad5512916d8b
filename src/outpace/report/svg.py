"""Timelines as one SVG: stacked on a common axis, so that the length of a picture is the makespan.

Every number in it is the model's: of each row, the paths of a state cover as much of the plot as its
lanes spent in that state. A model so short that nothing could be seen is drawn once more, enlarged, in
the room to its right. No script, no link, nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from outpace.record import states
from outpace.record.timeline import Timeline
from outpace.report.captions import how_measured, tick_words, ticks
from outpace.report.palette import Theme
from outpace.report.svg_canvas import Canvas
from outpace.report.svg_panel import LEFT, PLOT, TICKS, draw

PICTURE_WIDTH = LEFT + PLOT + 20
PICTURE_MARGIN = 16
LETTER_WIDTH = 5.6  # pixels of an average letter at size 11
AMOUNTS = "drawn by height: only the amount is known there, not the order"


def svg(
    timelines: Sequence[Timeline], *, title: str = "What ran when", theme: Theme = "auto"
) -> str:
    """Draw timelines below each other; `theme` is "light", "dark", or what the reader's system has."""
    canvas = Canvas(PICTURE_WIDTH)
    canvas.text(PICTURE_MARGIN, 28, title, size=16, bold=True)
    canvas.y = 52
    if not timelines:
        canvas.text(PICTURE_MARGIN, canvas.y, "there is no timeline to show", "muted")
        canvas.y += 20
        return canvas.document(title, theme)
    _legend(canvas, timelines)
    longest = max(timeline.span_s for timeline in timelines)
    for timeline in timelines:
        draw(canvas, timeline, longest)
    _axis(canvas, longest)
    _notes(canvas, timelines)
    return canvas.document(title, theme)


def _legend(canvas: Canvas, timelines: Sequence[Timeline]) -> None:
    """Say what the colours mean: only those that occur."""
    used = {state for timeline in timelines for state in timeline.intervals.state}
    entries = [(f"s{n}", states.STATES[n].words) for n in sorted(used - {states.IDLE})]
    entries.append(("panel", "idle"))
    x = float(PICTURE_MARGIN)
    for cls, words in entries:
        width = 18 + len(words) * LETTER_WIDTH + 16
        if x + width > PICTURE_WIDTH - PICTURE_MARGIN:
            x, canvas.y = float(PICTURE_MARGIN), canvas.y + 18
        canvas.rect(cls, x, canvas.y - 9, 12, 11)
        canvas.text(x + 18, canvas.y, words)
        x += width
    canvas.y += 16


def _axis(canvas: Canvas, longest: float) -> None:
    """Draw the common axis below everything."""
    steps = [f"M{LEFT} {canvas.y:.5g}h{PLOT}"]
    for value in ticks(longest, TICKS):
        x = LEFT + PLOT * (value / longest if longest > 0 else 0.0)
        steps.append(f"M{x:.5g} {canvas.y:.5g}v4")
        canvas.text(x, canvas.y + 17, tick_words(value, longest), "muted", anchor="middle")
    canvas.path("rule", "".join(steps), more=' stroke-width="1"')
    canvas.y += 28


def _notes(canvas: Canvas, timelines: Sequence[Timeline]) -> None:
    """Say how each was measured, and name the lines that blocked a loop."""
    notes = how_measured(timelines)
    if any(timeline.is_sampled for timeline in timelines):
        notes.append(f"≈ {AMOUNTS}.")
    notes += [f"{t.model}: {blocked}" for t in timelines for blocked in t.blocked]
    for line in (line for note in notes for line in wrap(note, 170)):
        canvas.y += 14
        canvas.text(PICTURE_MARGIN, canvas.y, line, "muted", size=10)
    canvas.y += 16
