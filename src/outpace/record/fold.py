"""Many items into few lanes, many lanes into few rows.

Pure. Tested by `tests/record/test_fold.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from outpace.record.timeline import Lane, Timeline

TOUCHING = 1e-6  # seconds by which two items may overlap and still follow one another


def partition(started: Sequence[float], ended: Sequence[float]) -> list[int]:
    """Return a lane for each interval, so that none overlap in a lane and there are as few as can be.

    Greedy by start, into the lane of the lowest number that is free: optimal for intervals (Kleinberg
    and Tardos, Algorithm Design, 4.1), and the busiest lanes come first.
    """
    lanes = [0] * len(started)
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    used = 0
    for n in sorted(range(len(started)), key=started.__getitem__):
        while busy and busy[0][0] <= started[n] + TOUCHING:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        else:
            lane, used = used, used + 1
        lanes[n] = lane
        heappush(busy, (ended[n], lane))
    return lanes


@dataclass(slots=True, frozen=True)
class Row:
    """Be a row of a picture: a few lanes of one worker and kind, drawn as one by their amounts.

    `sampled` says that something in it is known by amount alone, or from outside.
    """

    name: str
    worker: int
    lanes: tuple[int, ...]
    sampled: bool


def rows(timeline: Timeline, most: int) -> list[Row]:
    """Put the lanes into rows: one each if that makes no more than `most`, else several in one.

    Every worker keeps a row at least, so there can be more than `most` of them.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    order = sorted(range(len(timeline.lanes)), key=lambda n: _place(timeline.lanes[n]))
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
        Row(
            _name([timeline.lanes[n] for n in part], several=several),
            timeline.lanes[part[0]].worker,
            tuple(part),
            sampled=not sampled.isdisjoint(part),
        )
        for group in groups.values()
        for part in (group[at : at + each] for at in range(0, len(group), each))
    ]


def _place(lane: Lane) -> tuple[int, bool, int]:
    """Say where a lane stands: by worker, the loop before its slots."""
    return lane.worker, lane.kind != "loop", lane.number


def _name(lanes: list[Lane], *, several: bool) -> str:
    """Name a row after the lanes in it, and after their worker if there are several."""
    first, last = lanes[0], lanes[-1]
    name = first.name if first is last else f"{first.kind}s {first.number}-{last.number}"
    return f"{first.worker}: {name}" if several and first.kind != "process" else name
