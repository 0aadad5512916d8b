"""What the lanes of a timeline were doing: item by item, and in the lanes of the loops themselves.

Pure. Tested by `tests/record/test_intervals.py` and `tests/record/test_many.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from outpace.flow.trace import LONG, Trace
from outpace.record import states
from outpace.record.collect import Gathered, Kept, Whence
from outpace.record.lane_intervals import TOUCHING, Filling, Samples, Step, steps_of
from outpace.record.metrics import spread
from outpace.record.thin import FewIntervals, about_intervals, columns
from outpace.record.timeline import Intervals, Lane, Timeline

COLUMNS = 2_000  # that the past of a loop is summed up in; a screen has fewer

FROM_STEPS = (
    "from the loop itself: when each item had it, to the microsecond, and how much of that was on the "
    "CPU; what an item waits for between is not known"
)
FROM_SAMPLES = (
    "from outside, by a process that looked every few milliseconds: how long each thread was on a CPU "
    "or ready for one is exact within a bin, its order is not, and what it waited for is a sample"
)
FROM_ITEMS = (
    "from the items' own clocks: when each began and ended, and its CPU time; within an item the height "
    "is the share of time on the CPU, and the order is not known"
)


Sampled = Mapping[tuple[int, int], Samples]  # by process and thread


def fill(timeline: Timeline, found: Gathered, sampled: Sampled) -> None:
    """Say what each lane of a timeline was doing, as well as it is known; and what was added up."""
    items, few = timeline.items, FewIntervals()
    how: set[str] = set()
    loops = _Loops(timeline, few, sampled)
    for lane, state, was_sampled, *rest in zip(*columns(found.past), strict=True):
        few.add(lane, state, *rest, sampled=bool(was_sampled))
    loops.add_past(found.past)
    for row, (whence, position) in enumerate(found.of):
        filling = Filling(few, items.lane[row])
        began, ended = items.started[row], items.ended[row]
        if ended <= began:
            continue
        trace = whence.trace if isinstance(whence, Kept) else None
        who = trace if trace is not None else whence if isinstance(whence, Whence) else None
        samples = None if who is None else sampled.get((who.process, who.thread))
        if trace is not None and trace.steps is not None:
            how.add(FROM_STEPS)
            steps = steps_of(trace, position)
            filling.steps(began, ended, steps, samples)
            loops.add(timeline.lanes[items.lane[row]].worker, trace, steps)
        elif isinstance(whence, Whence) and whence.stepped:
            how.add(FROM_STEPS)  # it is in the past, which is there
        elif samples is not None:
            how.add(FROM_SAMPLES)
            busy = min(1.0, items.wall_s[row] / (ended - began))
            filling.samples(began, ended, samples, busy=busy)
        else:
            how.add(FROM_ITEMS)
            filling.share(began, ended, items.wall_s[row], items.cpu_s[row])
    loops.fill()
    timeline.intervals = few.rows()
    timeline.how = "; ".join(text for text in (FROM_STEPS, FROM_SAMPLES, FROM_ITEMS) if text in how)
    finest = max(few.finest, found.finest)
    timeline.notes = found.notes + ([about_intervals(finest)] if finest else [])


class _Loops:
    """The lanes of the loops themselves: what the slots show, one after another."""

    def __init__(self, timeline: Timeline, few: FewIntervals, sampled: Sampled) -> None:
        """Have none."""
        self._timeline, self._few, self._sampled = timeline, few, sampled
        self._lanes: dict[int, int] = {}  # by worker
        self._steps: dict[tuple[int, int, int], list[Step]] = {}

    def add_past(self, past: Intervals) -> None:
        """Add up, in short stretches, what the slots of each loop had of it, where that is all."""
        if not past:
            return
        began, ended = min(past.began), max(past.ended)
        scale = COLUMNS / (ended - began)
        lines: dict[int, dict[int, list[float]]] = {}
        for lane, state, _, since, until, share in zip(*columns(past), strict=True):
            if state != states.WAITING:
                of_worker = lines.setdefault(self._timeline.lanes[lane].worker, {})
                line = of_worker.setdefault(state, [0.0] * COLUMNS)
                spread(line, (since - began) * scale, (until - began) * scale, share)
        for worker, by_state in lines.items():
            lane = self._lane(worker)
            for n, shares in enumerate(zip(*by_state.values(), strict=True)):
                whole = max(1.0, sum(shares))
                times = began + n / scale, began + (n + 1) / scale
                for state, share in zip(by_state, shares, strict=True):
                    if share > 0:
                        self._few.add(lane, state, *times, share / whole, sampled=True)

    def add(self, worker: int, trace: Trace, steps: list[Step]) -> None:
        """Take in an item's steps. A worker that was replaced has had several loops."""
        self._steps.setdefault((worker, trace.process, trace.thread), []).extend(steps)

    def fill(self) -> None:
        """Say what each loop was doing, by all the steps that it has had."""
        for loop in self._steps.values():
            loop.sort()
        for (worker, *who), steps in sorted(self._steps.items(), key=itemgetter(1)):
            samples = self._sampled.get((who[0], who[1]))
            filling = Filling(self._few, self._lane(worker))
            for step in _joined(steps):
                filling.step(step, samples)

    def _lane(self, worker: int) -> int:
        """Return the lane of a worker's loop, which is added when it is wanted."""
        if worker not in self._lanes:
            self._lanes[worker] = len(self._timeline.lanes)
            self._timeline.lanes.append(Lane("loop", worker))
        return self._lanes[worker]


def _joined(steps: Iterable[Step]) -> Iterator[Step]:
    """Join what touches, as long as none of it is long."""
    current: Step | None = None
    for began, ended, cpu_s in steps:
        cpu = min(cpu_s, ended - began)
        if current is not None and began - current[1] < TOUCHING and ended - current[0] < LONG / 2:
            current = current[0], ended, current[2] + cpu
            continue
        if current is not None:
            yield current
        current = began, ended, cpu
    if current is not None:
        yield current
