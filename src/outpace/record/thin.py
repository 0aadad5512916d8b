"""Fewer intervals that say the same, for a recorder that has seen more than anyone can look at.

`within_items` leaves out what a lane did while it had no item; `joined` makes one interval of those that
touch and say the same; `thinned` does that and, where it is not enough, adds up amounts in equal
stretches. None changes what a lane spent in a state, but for what it cuts off on purpose.
Pure. Tested by `tests/record/test_thin.py`.
"""

from __future__ import annotations

from bisect import bisect_right

from outpace.record.derive import spread
from outpace.record.fold import TOUCHING
from outpace.record.timeline import Intervals, Timeline

MOST = 30_000  # intervals of a timeline: three an item, for as many items as `gather` keeps
LEAST_SHARE = 1e-6  # of a stretch; less is a rounding error


def within_items(timeline: Timeline) -> Intervals:
    """Return the intervals cut to when the lane had an item: outside, whatever it waits on, it is idle.

    Lanes without any item, as an event loop has none of its own, stay as they are.
    """
    busy: dict[int, list[list[float]]] = {}
    items = timeline.items
    for lane, began, ended in sorted(zip(items.lane, items.started, items.ended, strict=True)):
        stretches = busy.setdefault(lane, [])
        if stretches and began <= stretches[-1][1] + TOUCHING:
            stretches[-1][1] = max(stretches[-1][1], ended)
        else:
            stretches.append([began, ended])
    cut = Intervals()
    for row in _rows(timeline.intervals):
        lane, state, began, ended, share, sampled = row
        if lane not in busy:
            cut.add(lane, state, began, ended, share, sampled=sampled)
            continue
        stretches = busy[lane]
        at = max(0, bisect_right(stretches, began, key=lambda stretch: stretch[0]) - 1)
        while at < len(stretches) and stretches[at][0] < ended:
            since, until = max(began, stretches[at][0]), min(ended, stretches[at][1])
            if since < until:
                cut.add(lane, state, since, until, share, sampled=sampled)
            at += 1
    return cut


def joined(intervals: Intervals) -> Intervals:
    """Return the intervals with those made one that touch and say the same of the same lane."""
    out = Intervals()
    last: dict[tuple[int, int, float, bool], int] = {}
    for row in sorted(_rows(intervals), key=lambda row: row[2]):
        lane, state, began, ended, share, sampled = row
        same = (lane, state, share, sampled)
        n = last.get(same)
        if n is not None and -TOUCHING <= began - out.ended[n] <= TOUCHING:
            out.ended[n] = max(out.ended[n], ended)
        else:
            last[same] = len(out)
            out.add(lane, state, began, ended, share, sampled=sampled)
    return out


def thinned(timeline: Timeline, most: int = MOST) -> Intervals:
    """Return no more than about `most` intervals, that add up to the same.

    If joining is not enough, every lane's amounts are added up in equal stretches of the span; what was
    exact is sampled then, and an interval that fills its stretches alone stays one.
    """
    intervals = joined(timeline.intervals)
    if len(intervals) <= most or timeline.span_s <= 0:
        return intervals
    kinds = len(set(zip(intervals.lane, intervals.state, strict=True)))
    columns = max(1, most // max(1, kinds))
    lines: dict[tuple[int, int], list[float]] = {}
    scale = columns / timeline.span_s
    for lane, state, began, ended, share, _ in _rows(intervals):
        line = lines.setdefault((lane, state), [0.0] * columns)
        since, until = (began - timeline.began) * scale, (ended - timeline.began) * scale
        spread(line, since, until, share)
    out = Intervals()
    for (lane, state), line in lines.items():
        for n, share in enumerate(line):
            if share > LEAST_SHARE:
                since, until = (timeline.began + edge / scale for edge in (n, n + 1))
                out.add(lane, state, since, until, min(1.0, share), sampled=True)
    return joined(out)


def _rows(columns: Intervals) -> list[tuple[int, int, float, float, float, bool]]:
    """Return the rows of intervals."""
    return [
        (lane, state, began, ended, share, bool(sampled))
        for lane, state, began, ended, share, sampled in zip(
            columns.lane,
            columns.state,
            columns.began,
            columns.ended,
            columns.share,
            columns.sampled,
            strict=True,
        )
    ]
