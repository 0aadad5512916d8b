"""What the lanes of a timeline were doing: item by item, and in the lanes of the loops themselves.

Pure. Tested by `tests/record/test_intervals.py` and `tests/record/test_many.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from outpace.flow.trace import LONG, Trace
from outpace.record import states
from outpace.record.collect import Collected, Origin, ReportColumns
from outpace.record.lane_intervals import STEPS_TOUCH_S, LaneIntervals, Samples, Step, steps_of
from outpace.record.metrics import add_to_bins
from outpace.record.thin import FewIntervals, about_intervals, columns
from outpace.record.timeline import Intervals, Lane, Timeline

PAST_COLUMNS = 2_000  # that the past of a loop is summed up in; a screen has fewer

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


SamplesOf = Mapping[tuple[int, int], Samples]  # by process and thread


def add_intervals(timeline: Timeline, collected: Collected, samples_of: SamplesOf) -> None:
    """Say what each lane of a timeline was doing, as well as it is known; and what was added up."""
    items, thinned = timeline.items, FewIntervals()
    how: set[str] = set()
    loops = _LoopLanes(timeline, thinned, samples_of)
    for lane, state, was_sampled, *rest in zip(*columns(collected.past), strict=True):
        thinned.add(lane, state, *rest, sampled=bool(was_sampled))
    loops.add_past(collected.past)
    for row, (origin, position) in enumerate(collected.of):
        of_lane = LaneIntervals(thinned, items.lane[row])
        began, ended = items.started[row], items.ended[row]
        if ended <= began:
            continue
        trace = origin.trace if isinstance(origin, ReportColumns) else None
        who = trace if trace is not None else origin if isinstance(origin, Origin) else None
        samples = None if who is None else samples_of.get((who.process, who.thread))
        if trace is not None and trace.steps is not None:
            how.add(FROM_STEPS)
            steps = steps_of(trace, position)
            of_lane.add_steps(began, ended, steps, samples)
            loops.add(timeline.lanes[items.lane[row]].worker, trace, steps)
        elif isinstance(origin, Origin) and origin.stepped:
            how.add(FROM_STEPS)  # it is in the past, which is there
        elif samples is not None:
            how.add(FROM_SAMPLES)
            busy = min(1.0, items.wall_s[row] / (ended - began))
            of_lane.add_samples(began, ended, samples, busy=busy, cpu_s=items.cpu_s[row])
        else:
            how.add(FROM_ITEMS)
            of_lane.add_share(began, ended, items.wall_s[row], items.cpu_s[row])
    loops.add_lanes()
    timeline.intervals = thinned.rows()
    timeline.how = "; ".join(text for text in (FROM_STEPS, FROM_SAMPLES, FROM_ITEMS) if text in how)
    finest = max(thinned.finest, collected.finest)
    timeline.notes = collected.notes + ([about_intervals(finest)] if finest else [])


class _LoopLanes:
    """The lanes of the loops themselves: what the slots show, one after another."""

    def __init__(self, timeline: Timeline, thinned: FewIntervals, samples_of: SamplesOf) -> None:
        """Have none."""
        self._timeline, self._thinned, self._samples_of = timeline, thinned, samples_of
        self._lanes: dict[int, int] = {}  # by worker
        self._steps: dict[tuple[int, int, int], list[Step]] = {}

    def add_past(self, past: Intervals) -> None:
        """Add up, in short stretches, what the slots of each loop had of it, where that is all."""
        if not past:
            return
        began, ended = min(past.began), max(past.ended)
        scale = PAST_COLUMNS / (ended - began)
        lines: dict[int, dict[int, list[float]]] = {}
        for lane, state, _, since, until, share in zip(*columns(past), strict=True):
            if state != states.WAITING:
                of_worker = lines.setdefault(self._timeline.lanes[lane].worker, {})
                line = of_worker.setdefault(state, [0.0] * PAST_COLUMNS)
                add_to_bins(line, (since - began) * scale, (until - began) * scale, share)
        for worker, by_state in lines.items():
            lane = self._lane(worker)
            for n, shares in enumerate(zip(*by_state.values(), strict=True)):
                whole = max(1.0, sum(shares))
                times = began + n / scale, began + (n + 1) / scale
                for state, share in zip(by_state, shares, strict=True):
                    if share > 0:
                        self._thinned.add(lane, state, *times, share / whole, sampled=True)

    def add(self, worker: int, trace: Trace, steps: list[Step]) -> None:
        """Take in an item's steps. A worker that was replaced has had several loops."""
        self._steps.setdefault((worker, trace.process, trace.thread), []).extend(steps)

    def add_lanes(self) -> None:
        """Say what each loop was doing, by all the steps that it has had."""
        for loop in self._steps.values():
            loop.sort()
        for (worker, *who), steps in sorted(self._steps.items(), key=itemgetter(1)):
            samples = self._samples_of.get((who[0], who[1]))
            of_lane = LaneIntervals(self._thinned, self._lane(worker))
            for step in _joined(steps):
                of_lane.add_step(step, samples)

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
        if (
            current is not None
            and began - current[1] < STEPS_TOUCH_S
            and ended - current[0] < LONG / 2
        ):
            current = current[0], ended, current[2] + cpu
            continue
        if current is not None:
            yield current
        current = began, ended, cpu
    if current is not None:
        yield current
