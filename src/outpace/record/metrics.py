"""What follows from a timeline: sums by state, cores busy, items in flight, how long items took.

Pure. Tested by `tests/record/test_metrics.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import log10

from outpace.record import states
from outpace.record.timeline import Timeline

SHORTEST_ITEM_S = 1e-8  # seconds of an item on a log axis, which has no zero


def seconds_by_state(timeline: Timeline) -> list[list[float]]:
    """Return the seconds that each lane was in each state; what nothing covers is idle.

    A lane's sums are its span, as long as its shares add up to no more than 1 anywhere.
    """
    span = timeline.span_s
    by_lane = [[0.0] * len(states.STATES) for _ in timeline.lanes]
    columns = timeline.intervals
    for lane, state, began, ended, share in zip(
        columns.lane, columns.state, columns.began, columns.ended, columns.share, strict=True
    ):
        inside = min(ended, timeline.ended) - max(began, timeline.began)
        if inside > 0:
            by_lane[lane][state] += inside * share
    for row in by_lane:
        row[states.IDLE] += max(0.0, span - sum(row))
    return by_lane


def total_by_state(timeline: Timeline) -> list[float]:
    """Return the seconds in each state over all lanes but the loops, whose slots count already."""
    lanes = zip(timeline.lanes, seconds_by_state(timeline), strict=True)
    parts = [row for lane, row in lanes if lane.kind != "loop"]
    return [sum(column) for column in zip(*parts, strict=True)] or [0.0] * len(states.STATES)


def shares(timeline: Timeline) -> list[float]:
    """Return the part of all lane time that went into each state; they add up to 1."""
    seconds = total_by_state(timeline)
    whole = sum(seconds)
    return [part / whole if whole > 0 else 0.0 for part in seconds]


def cores_busy(timeline: Timeline, bins: int) -> list[float]:
    """Return how many cores were busy in each of `bins` equal parts of the span, on average.

    The slots of an event loop are one thread: whatever their items' CPU times add up to where only
    amounts are known, it is no more than one core at a time.
    """
    columns = timeline.intervals
    by_thread: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for lane, state, began, ended, share in zip(
        columns.lane, columns.state, columns.began, columns.ended, columns.share, strict=True
    ):
        place = timeline.lanes[lane]
        if states.STATES[state].on_cpu and place.kind != "loop":
            thread = -1 if place.kind == "slot" else place.number
            by_thread.setdefault((place.worker, thread), []).append((began, ended, share))
    busy = [0.0] * bins
    for intervals in by_thread.values():
        for n, value in enumerate(_strip(timeline, bins, intervals)):
            busy[n] += min(1.0, value)
    return busy


def in_flight(timeline: Timeline, bins: int) -> list[float]:
    """Return how many items were being worked on in each of `bins` equal parts of the span."""
    items = timeline.items
    return _strip(
        timeline,
        bins,
        (
            (started, ended, wall_s / (ended - started))
            for started, ended, wall_s in zip(items.started, items.ended, items.wall_s, strict=True)
            if ended > started
        ),
    )


def add_to_bins(line: list[float], began: float, ended: float, height: float) -> None:
    """Add an interval to a line of bins that are 1 wide, by how much of each it covers."""
    began, ended = max(began, 0.0), min(ended, float(len(line)))
    if ended <= began:
        return
    first, last = int(began), min(int(ended), len(line) - 1)
    if first == last:
        line[first] += (ended - began) * height
        return
    line[first] += (first + 1 - began) * height
    for n in range(first + 1, last):
        line[n] += height
    line[last] += (ended - last) * height


def _strip(
    timeline: Timeline, bins: int, intervals: Iterable[tuple[float, float, float]]
) -> list[float]:
    """Sum intervals up in equal bins over the span."""
    line = [0.0] * bins
    if timeline.span_s > 0:
        scale = bins / timeline.span_s
        for began, ended, height in intervals:
            add_to_bins(
                line, (began - timeline.began) * scale, (ended - timeline.began) * scale, height
            )
    return line


@dataclass(slots=True, frozen=True)
class Durations:
    """The distribution of how long items took: seconds at some ranks, and counts between `edges`.

    The edges are evenly apart on a log axis; `counts[n]` items took from `edges[n]` to `edges[n + 1]`.
    """

    least: float
    median: float
    p90: float
    p99: float
    most: float
    edges: list[float]
    counts: list[int]


def durations(timeline: Timeline, bins: int = 40) -> Durations | None:
    """Sum up how long items took; None when there are none. A row of several counts by their mean."""
    items = timeline.items
    rows = sorted(
        (wall_s / count, count) for wall_s, count in zip(items.wall_s, items.count, strict=True)
    )
    if not rows:
        return None
    seconds = [row[0] for row in rows]
    upto: list[int] = []
    for _, count in rows:
        upto.append(count + (upto[-1] if upto else 0))

    def rank(share: float) -> float:
        return seconds[min(bisect_right(upto, share * (upto[-1] - 1)), len(rows) - 1)]

    edges = _edges(seconds[0], seconds[-1], bins)
    counts = [0] * (len(edges) - 1)
    for value, count in rows:
        counts[min(max(0, bisect_right(edges, value) - 1), len(counts) - 1)] += count
    return Durations(seconds[0], rank(0.5), rank(0.9), rank(0.99), seconds[-1], edges, counts)


def _edges(least: float, most: float, bins: int) -> list[float]:
    """Return the edges of bins from the least to the most, evenly apart on a log axis.

    They span a factor of two at least, or noise would look like a wide spread.
    """
    low, high = (log10(max(value, SHORTEST_ITEM_S)) for value in (least, most))
    margin = max(0.0, (log10(2) - (high - low)) / 2)
    step = (high - low + 2 * margin) / bins
    return [10 ** (low - margin + step * n) for n in range(bins + 1)]
