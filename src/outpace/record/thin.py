"""Fewer rows that say the same, for a run that has had more than can be kept, or than a page can hold.

`FewIntervals` and `FewItems` take rows as `Intervals` and `Items` do, in each lane in the order of time,
and never have many more than they may. When they would, what is short is put together: intervals of a
lane that follow one another within `finest` seconds are added up by state, items share a row. What is
longer stays as it is. `finest` grows as often as it has to, and so much detail is lost and no more: a
lane keeps all of its seconds in each state, its items, and the time they took.
Pure. Tested by `tests/record/test_thin.py` and `tests/record/test_many.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from operator import sub

from outpace.flow.show import seconds
from outpace.record.timeline import KINDS, Intervals, Items, Timeline

INTERVALS_KEPT = 300_000  # in a timeline: three an item, for as many items as are kept one by one
COARSER_BY = 1.5  # times as many seconds for what is put together, as often as needed
STATES_A_GROUP = 2  # that a group of short intervals adds up to, as a rule
NO_SHARE = 1e-9  # a share up to which there is nothing, and that much below 1 is all
JOINED_S = 1e-6  # seconds between two intervals that are drawn as one
ELLIPSIS = " … "
DONE = KINDS.index("done")


class _Group:
    """Short intervals of one lane that are being added up: seconds in each state, since when."""

    __slots__ = ("in_state", "is_exact", "since", "until")

    def __init__(self, since: float) -> None:
        """Have nothing."""
        self.since = self.until = since
        self.in_state: dict[int, float] = {}
        self.is_exact = True


class FewIntervals:
    """Intervals of which there are never many more than `most`."""

    def __init__(self, most: int = INTERVALS_KEPT) -> None:
        """Have none, and all detail."""
        self._most = most
        self._rows = Intervals()
        self._groups: dict[int, _Group] = {}
        self._last: dict[int, int] = {}  # the last row of each lane, which may grow
        self._stretch = (-1, 0.0, 0.0)  # a lane, from when to when: of what was added last
        self.finest = 0.0

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._rows)

    def add(
        self,
        lane: int,
        state: int,
        began: float,
        ended: float,
        share: float = 1.0,
        *,
        sampled: bool = False,
    ) -> None:
        """Take in an interval; one that overlaps the last of its lane is of the same stretch."""
        stretch = (lane, began, ended)
        if len(self._rows.lane) > self._most and stretch != self._stretch:
            self._coarsen()  # not within a stretch, the rest of which would be a group of its own
        self._stretch = stretch
        finest = self.finest
        group = self._groups.get(lane) if finest else None
        if group is not None and (ended - began >= finest or began - group.since >= finest):
            self._close(lane, group)
            group = None
        if ended - began >= finest:
            self._put(lane, state, began, ended, share, sampled=sampled)
        else:
            if group is None:
                group = self._groups[lane] = _Group(began)
            group.in_state[state] = group.in_state.get(state, 0.0) + (ended - began) * share
            group.until = max(group.until, ended)
            group.is_exact = group.is_exact and not sampled and share >= 1.0

    def rows(self) -> Intervals:
        """Return all of them; more may be added afterwards."""
        if len(self._rows.lane) > self._most:
            self._coarsen()
        for lane, group in list(self._groups.items()):
            self._close(lane, group)
        return self._rows

    def _close(self, lane: int, group: _Group) -> None:
        """Write down what a group has added up to."""
        del self._groups[lane]
        took = group.until - group.since
        if took <= 0:
            return
        for state, spent in group.in_state.items():
            share = min(1.0, spent / took)
            exact = group.is_exact and share >= 1.0 - NO_SHARE
            if share > NO_SHARE:
                self._put(lane, state, group.since, group.until, share, sampled=not exact)

    def _put(
        self, lane: int, state: int, began: float, ended: float, share: float, *, sampled: bool
    ) -> None:
        """Write an interval down, or make the last one longer that touches it and says the same.

        Only what is all of its stretch grows: a share alone would grow past the others of the stretch,
        which it could then no longer be told apart from.
        """
        rows = self._rows
        n = self._last.get(lane)
        if (
            n is not None
            and rows.state[n] == state
            and min(rows.share[n], share) >= 1.0 - NO_SHARE
            and -JOINED_S <= began - rows.ended[n] <= JOINED_S
            and rows.sampled[n] == sampled
        ):
            rows.ended[n] = max(rows.ended[n], ended)
            return
        self._last[lane] = len(rows.lane)
        rows.add(lane, state, began, ended, share, sampled=sampled)

    def _coarsen(self) -> None:
        """Add up what is short until there is half of what there may be, or nothing is short."""
        span = max(self._rows.ended) - min(self._rows.began)
        most, self._most = self._most, 2 * len(self._rows)  # none of it in the middle of this
        growing, self._groups = self._groups, {}  # later than all that is written down
        while len(self._rows) > most // 2 and self.finest < span:
            lengths = map(sub, self._rows.ended, self._rows.began)
            self.finest = coarser(lengths, most // 2, self.finest, STATES_A_GROUP)
            before, self._rows, self._last = self._rows, Intervals(), {}
            for lane, state, sampled, *rest in zip(*columns(before), strict=True):
                self.add(lane, state, *rest, sampled=bool(sampled))
            self.rows()
        self._groups = growing
        self._most = max(most, 2 * len(self._rows))  # so many lanes that each has but one


class FewItems:
    """Rows of items of which there are never many more than `most`; more share a row of their lane."""

    def __init__(self, most: int, finest: float = 0.0) -> None:
        """Have none; items that end within `finest` seconds share a row from the beginning."""
        self._most = most
        self._last: dict[int, int] = {}  # the last row of each lane
        self.rows = Items()
        self.finest = finest

    def add(
        self,
        index: int,
        lane: int,
        started: float,
        ended: float,
        *,
        cpu_s: float,
        wall_s: float,
        shared: bool,
        queued: float,
        attempt: int,
        kind: int,
        count: int,
        label: str,
    ) -> None:
        """Take in a row: one of its own, or a part of the last one of its lane."""
        rows = self.rows
        n = self._last.get(lane, -1)
        if n < 0 or ended - rows.started[n] >= self.finest:
            self._last[lane] = len(rows)
            rows.add(
                index,
                lane,
                started,
                ended,
                cpu_s=cpu_s,
                shared=shared,
                queued=queued,
                attempt=attempt,
                kind=KINDS[kind],
                count=count,
                wall_s=wall_s,
                label=label,
            )
            if len(rows.lane) > self._most:
                self._coarsen()
            return
        rows.started[n] = min(rows.started[n], started)
        rows.ended[n] = max(rows.ended[n], ended)
        rows.cpu_s[n] += cpu_s
        rows.wall_s[n] += wall_s
        rows.count[n] += count
        rows.shared[n] = 1
        if rows.kind[n] == DONE:
            rows.kind[n] = kind
        rows.label[n] = from_to(rows.label[n], label)

    def take(self, items: Items) -> None:
        """Take in rows that somebody has."""
        for n, lane in enumerate(items.lane):
            self.add(
                items.index[n],
                lane,
                items.started[n],
                items.ended[n],
                cpu_s=items.cpu_s[n],
                wall_s=items.wall_s[n],
                shared=bool(items.shared[n]),
                queued=items.queued[n],
                attempt=items.attempt[n],
                kind=items.kind[n],
                count=items.count[n],
                label=items.label[n],
            )

    def _coarsen(self) -> None:
        """Have more items share rows until there is half of what there may be, or nothing is short."""
        rows = self.rows
        span = max(rows.ended) - min(rows.started)
        most, self._most = self._most, 2 * len(rows)
        while len(self.rows) > most // 2 and self.finest < span:
            lengths = map(sub, self.rows.ended, self.rows.started)
            self.finest = coarser(lengths, most // 2, self.finest)
            before, self.rows, self._last = self.rows, Items(), {}
            self.take(before)
        self._most = max(most, 2 * len(self.rows))


def coarser(lengths: Iterable[float], most: int, finest: float, each: int = 1) -> float:
    """Return within how many seconds to put rows together, so that there are about so many.

    It is a guess by how long they are: what is short makes a group of `each` rows for every stretch of
    that length, and one more before every long one.
    """
    by_length = sorted(lengths)
    upto = [0.0, *accumulate(by_length)]
    guess = COARSER_BY * finest or by_length[len(by_length) // 4] or by_length[-1]
    while (short := bisect_left(by_length, guess)) < len(by_length):
        long = len(by_length) - short
        if long + min(short, each * upto[short] / guess + long) <= most:
            break
        guess *= COARSER_BY
    return guess


def from_to(first: str, last: str) -> str:
    """Name a row after the first of its items and the last."""
    return first.partition(ELLIPSIS)[0] + ELLIPSIS + last.rpartition(ELLIPSIS)[2]


def columns(intervals: Intervals) -> list[list[float]]:
    """Return the columns of intervals: lane, state, sampled, began, ended, share."""
    return [getattr(intervals, name) for name in Intervals.__slots__]


def about_intervals(finest: float) -> str:
    """Say that short intervals were added up."""
    return (
        f"what lasted less than {seconds(finest)} is added up: how much of it there was is known, "
        "and not in which order"
    )


def thinned(timeline: Timeline, items: int, intervals: int) -> Timeline:
    """Return a timeline with about so many rows of items and intervals at most, which says so."""
    notes = []
    few = FewItems(items)
    few_intervals = FewIntervals(intervals)
    if len(timeline.items) > items:
        few.take(timeline.items)
        notes.append(
            f"here, items that followed one another in a lane within {seconds(few.finest)} share a row"
        )
    if len(timeline.intervals) > intervals:
        rows = zip(*columns(timeline.intervals), strict=True)
        for lane, state, sampled, *rest in sorted(rows, key=lambda row: row[3]):
            few_intervals.add(lane, state, *rest, sampled=bool(sampled))
        notes.append(f"here, {about_intervals(few_intervals.finest)}")
    return replace(
        timeline,
        items=few.rows or timeline.items,
        intervals=few_intervals.rows() or timeline.intervals,
        notes=[*timeline.notes, *notes],
    )
