"""Words and numbers that several pictures share: where the time went, ticks of an axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from outpace.flow.show import seconds
from outpace.record import metrics, states
from outpace.record.lanes import PictureRow
from outpace.record.timeline import Timeline

LEAST_SHARE = 0.005  # of the lane time; less than that is not worth a word
TIMES_SIGN = "\N{MULTIPLICATION SIGN}"


def share_words(timeline: Timeline) -> str:
    """Say where the lane time went, the most first."""
    shares = metrics.shares(timeline)
    ranked = sorted(range(len(shares)), key=lambda n: -shares[n])
    found = [f"{shares[n]:.0%} {_short(n)}" for n in ranked if shares[n] >= LEAST_SHARE]
    return ", ".join(found) or "nothing ran"


def at_once(timeline: Timeline) -> str:
    """Say how many items at once, and in how many workers if there are several."""
    workers = len({lane.worker for lane in timeline.lanes})
    several = f" in {workers} workers" if 1 < workers < timeline.in_flight else ""
    return f"{timeline.in_flight} at once{several}"


def ticks(longest: float, most: int) -> list[float]:
    """Return round numbers from 0 to `longest`, no more than `most` + 1 of them."""
    if longest <= 0:
        return [0.0]
    step = 10.0 ** floor(log10(longest / most))
    for factor in (1, 2, 5, 10):
        if longest / (step * factor) <= most:
            step *= factor
            break
    return [n * step for n in range(int(longest / step + 1e-9) + 1)]


def tick_words(value: float, longest: float) -> str:
    """Write a tick in the unit of the whole axis."""
    if value == 0:
        return "0"
    unit, size = ("s", 1.0) if longest >= 1 else ("ms", 1e-3) if longest >= 1e-3 else ("µs", 1e-6)
    return f"{value / size:.6g} {unit}"


def tooltip(name: str, sums: list[float]) -> str:
    """Say what a row's lanes did, for whoever points at it."""
    found = [f"{states.STATES[n].words} {seconds(s)}" for n, s in enumerate(sums) if s > 0]
    return f"{name}: {', '.join(found)}"


def marked(row: PictureRow) -> str:
    """Name a row of a picture, with a mark where it is not exact."""
    return f"≈ {row.name}" if row.sampled else row.name


def how_measured(timelines: Sequence[Timeline]) -> list[str]:
    """Say how each was measured, those together that were measured alike; and what was added up."""
    ways = dict.fromkeys(timeline.how for timeline in timelines if timeline.how)
    alike = [f"{', '.join(t.model for t in timelines if t.how == how)}: {how}." for how in ways]
    return alike + [f"{t.model}: {note}." for t in timelines for note in t.notes]


def _short(state: int) -> str:
    """Name a state in a list of shares."""
    return "waiting" if state == states.WAITING else states.STATES[state].words
