"""Many items into few lanes, many lanes into few rows.

Pure. Tested by `tests/record/test_lanes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from outpace.record.timeline import Lane, Timeline

OVERLAP_S = 1e-6  # seconds by which two items may overlap and still follow one another


class Slots:
    """The places of one lane's items, as few as can be, so that none overlap in a place.

    Greedy by start, into the place of the lowest number that is free: optimal for intervals (Kleinberg
    and Tardos, Algorithm Design, 4.1), and the busiest places come first. An item that comes too late,
    after one that began later, gets a place that was free by then, or a new one.
    """

    __slots__ = ("_began", "_busy", "_free", "ends")

    def __init__(self) -> None:
        """Have none."""
        self.ends: list[float] = []  # of the last item in each
        self._free: list[int] = []
        self._busy: list[tuple[float, int]] = []
        self._began = float("-inf")

    def take(self, started: float, ended: float) -> int:
        """Give an item its place."""
        busy, free, ends = self._busy, self._free, self.ends
        while busy and busy[0][0] <= started + OVERLAP_S:
            heappush(free, heappop(busy)[1])
        slot = free[0] if free else len(ends)
        if started < self._began:
            was_free = (n for n in free if ends[n] <= started + OVERLAP_S)
            slot = min(was_free, default=len(ends))
        if slot == len(ends):
            ends.append(ended)
        elif slot == free[0]:
            heappop(free)
        else:
            free.remove(slot)
            heapify(free)
        ends[slot] = ended
        heappush(busy, (ended, slot))
        self._began = max(self._began, started)
        return slot

    def copy(self) -> Slots:
        """Return others that go on from here."""
        other = Slots()
        other.ends, other._free, other._busy = self.ends[:], self._free[:], self._busy[:]
        other._began = self._began
        return other


def partition(started: Sequence[float], ended: Sequence[float]) -> list[int]:
    """Return a place for each interval, so that none overlap and there are as few as can be."""
    slots, found = Slots(), [0] * len(started)
    for n in sorted(range(len(started)), key=started.__getitem__):
        found[n] = slots.take(started[n], ended[n])
    return found


@dataclass(slots=True, frozen=True)
class PictureRow:
    """One row of a picture: a few lanes of one worker and kind, drawn as one by their amounts.

    `sampled` says that something in it is known by amount alone, or from outside.
    """

    name: str
    worker: int
    lanes: tuple[int, ...]
    sampled: bool


def rows(timeline: Timeline, most: int) -> list[PictureRow]:
    """Put the lanes into rows: one each if that makes no more than `most`, else several in one.

    Every worker keeps a row at least, so there can be more than `most` of them.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    order = sorted(range(len(timeline.lanes)), key=lambda n: _standing(timeline.lanes[n]))
    for n in order:
        lane = timeline.lanes[n]
        groups.setdefault((lane.worker, lane.kind), []).append(n)
    each = 1
    while sum(-(-len(group) // each) for group in groups.values()) > most and each < max(
        map(len, groups.values())
    ):
        each += 1
    several = len({worker for worker, _ in groups}) > 1
    by_lane = zip(timeline.intervals.lane, timeline.intervals.sampled, strict=True)
    sampled = {lane for lane, looked_at in by_lane if looked_at}
    return [
        PictureRow(
            _row_name([timeline.lanes[n] for n in part], several=several),
            timeline.lanes[part[0]].worker,
            tuple(part),
            sampled=not sampled.isdisjoint(part),
        )
        for group in groups.values()
        for part in (group[at : at + each] for at in range(0, len(group), each))
    ]


def _standing(lane: Lane) -> tuple[int, bool, int]:
    """Say where a lane stands: by worker, the loop before its slots."""
    return lane.worker, lane.kind != "loop", lane.number


def _row_name(lanes: list[Lane], *, several: bool) -> str:
    """Name a row after the lanes in it, and after their worker if there are several."""
    first, last = lanes[0], lanes[-1]
    name = first.name if first is last else f"{first.kind}s {first.number}-{last.number}"
    return f"{first.worker}: {name}" if several and first.kind != "process" else name
