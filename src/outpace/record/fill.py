"""What lanes were doing, from what was recorded: steps on a loop, samples from outside, or CPU shares.

* steps: exact. Between two steps an item waits, for what is not known.
* samples: amounts a bin of a few milliseconds; what a thread did while no item was on it is left out.
* neither: within an item only its CPU share is known.

Pure. Tested by `tests/record/test_fill.py`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from outpace.flow.trace import LONG, Trace
from outpace.record import states
from outpace.record.gather import Gathered
from outpace.record.timeline import Intervals, Lane, Timeline
from outpace.record.waits import WAITS

Step = tuple[float, float, float]  # when it began and ended, and its CPU seconds

# What a thread runs or waits for, as states of its lane: usually, and in a step that blocks a loop. A
# sample that says "running" and is on no CPU is of a thread that was ready.
USUAL: dict[str, int] = {
    "running": states.RUNNING,
    "network": states.NETWORK,
    "disk": states.DISK,
    "sleep": states.SLEEP,
    "lock": states.LOCK,
    "child": states.CHILD,
    "gil": states.GIL,
    "unknown": states.WAITING,
}
LONG_STEP = dict.fromkeys(USUAL, states.BLOCKED) | {"running": states.BLOCKING}
PURE = 0.98  # a share from which a step is all on the CPU
TRACE = 0.02  # a share of a sample below which a state is not shown
SHORT = 0.001  # seconds of a step that is on the CPU for all of its length
TOUCHING = 1e-5  # seconds between two steps of a loop that are drawn as one

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


@dataclass(slots=True)
class Samples:
    """Be what one thread did, in bins one after another: seconds on a CPU and ready, and the wait."""

    began: array[float] = field(default_factory=lambda: array("d"))
    ended: array[float] = field(default_factory=lambda: array("d"))
    cpu_s: array[float] = field(default_factory=lambda: array("f"))
    ready_s: array[float] = field(default_factory=lambda: array("f"))
    wait: array[int] = field(default_factory=lambda: array("b"))


Sampled = Mapping[tuple[int, int], Samples]  # by process and thread


def fill(timeline: Timeline, found: Gathered, sampled: Sampled) -> None:
    """Say what each lane of a timeline was doing, as well as it is known."""
    items = timeline.items
    how: set[str] = set()
    loops = _Loops(timeline, sampled)
    for row, (kept, position) in enumerate(found.of):
        filling = Filling(timeline.intervals, items.lane[row])
        began, ended = items.started[row], items.ended[row]
        trace = None if kept is None else kept.trace
        if ended <= began:
            continue
        samples = None if trace is None else sampled.get((trace.process, trace.thread))
        if trace is not None and trace.steps is not None:
            how.add(FROM_STEPS)
            steps = _steps_of(trace.steps, trace.owners or (), position)
            filling.steps(began, ended, steps, samples)
            loops.add(timeline.lanes[items.lane[row]].worker, trace, steps)
        elif samples is not None:
            how.add(FROM_SAMPLES)
            filling.samples(began, ended, samples)
        else:
            how.add(FROM_ITEMS)
            filling.share(began, ended, items.wall_s[row], items.cpu_s[row])
    loops.fill()
    timeline.how = "; ".join(text for text in (FROM_STEPS, FROM_SAMPLES, FROM_ITEMS) if text in how)


def _steps_of(steps: array[float], owners: Sequence[int], position: int) -> list[Step]:
    """Return an item's steps; all of an item stand together, in the order of the positions."""
    n = bisect_left(owners, position)
    found = []
    while n < len(owners) and owners[n] == position:
        found.append((steps[3 * n], steps[3 * n + 1], steps[3 * n + 2]))
        n += 1
    return found


class _Loops:
    """Be the lanes of the loops themselves: what the slots show, one after another."""

    def __init__(self, timeline: Timeline, sampled: Sampled) -> None:
        """Have none."""
        self._timeline, self._sampled = timeline, sampled
        self._steps: dict[tuple[int, int, int], list[Step]] = {}

    def add(self, worker: int, trace: Trace, steps: list[Step]) -> None:
        """Take in an item's steps. A worker that was replaced has had several loops."""
        self._steps.setdefault((worker, trace.process, trace.thread), []).extend(steps)

    def fill(self) -> None:
        """Add the lanes, a worker each."""
        lanes: dict[int, int] = {}
        for (worker, *who), steps in sorted(self._steps.items()):
            if worker not in lanes:
                lanes[worker] = len(self._timeline.lanes)
                self._timeline.lanes.append(Lane("loop", worker))
            samples = self._sampled.get((who[0], who[1]))
            filling = Filling(self._timeline.intervals, lanes[worker])
            for step in _joined(sorted(steps)):
                filling.step(step, samples)


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


class Filling:
    """Say what one lane was doing."""

    __slots__ = ("_intervals", "_lane")

    def __init__(self, intervals: Intervals, lane: int) -> None:
        """Have said nothing."""
        self._intervals, self._lane = intervals, lane

    def steps(
        self, began: float, ended: float, steps: Iterable[Step], samples: Samples | None
    ) -> None:
        """Add an item's steps on its loop, and its waiting between."""
        now = began
        for step in steps:
            if step[0] > now:
                self._intervals.add(self._lane, states.WAITING, now, step[0])
            self.step(step, samples)
            now = max(now, step[1])
        if ended > now:
            self._intervals.add(self._lane, states.WAITING, now, ended)

    def step(self, step: Step, samples: Samples | None) -> None:
        """Add one step: on the CPU, or partly, and as blocking the loop when it was long."""
        began, ended, cpu_s = step
        took = ended - began
        if took <= 0:
            return
        how = LONG_STEP if took >= LONG else USUAL
        share = 1.0 if took < SHORT else min(1.0, cpu_s / took)
        if share >= PURE:
            self._intervals.add(self._lane, how["running"], began, ended)
        elif samples is None:
            self._shares(began, ended, ((how["running"], share), (how["unknown"], 1.0 - share)))
        else:
            self.samples(began, ended, samples, how)

    def samples(
        self, began: float, ended: float, samples: Samples, how: Mapping[str, int] | None = None
    ) -> None:
        """Add what a thread was seen to do; what nobody saw is waiting, for what is not known."""
        how, now = how or USUAL, began
        for n in range(bisect_left(samples.ended, began), len(samples.began)):
            since, until = max(now, samples.began[n]), min(ended, samples.ended[n])
            if since >= ended:
                break
            if since > now + TOUCHING:
                self._intervals.add(self._lane, how["unknown"], now, since, sampled=True)
            if until > since:
                whole = samples.ended[n] - samples.began[n]
                cpu = min(1.0, samples.cpu_s[n] / whole)
                ready = min(1.0 - cpu, samples.ready_s[n] / whole)
                wait = WAITS[samples.wait[n]]
                other = states.READY if wait == "running" else how[wait]
                shares = (how["running"], cpu), (states.READY, ready), (other, 1.0 - cpu - ready)
                self._shares(since, until, shares, sampled=True)
                now = until
        if ended > now + TOUCHING:
            self._intervals.add(self._lane, how["unknown"], now, ended, sampled=True)

    def share(self, began: float, ended: float, wall_s: float, cpu_s: float) -> None:
        """Add the CPU share of an item; in a row of several, what lies between is idle."""
        stretch = ended - began
        filled = min(1.0, wall_s / stretch)
        running = min(filled, max(0.0, cpu_s) / stretch)
        for state, share in ((states.RUNNING, running), (states.WAITING, filled - running)):
            if share > 0:
                self._intervals.add(self._lane, state, began, ended, share, sampled=True)

    def _shares(
        self,
        began: float,
        ended: float,
        shares: Sequence[tuple[int, float]],
        *,
        sampled: bool = False,
    ) -> None:
        """Add a stretch in which the lane was in several states, each for a share of the time.

        Of samples, what is hardly anything is left out, in favour of the rest.
        """
        least = TRACE if sampled else 1e-9
        kept = [(state, share) for state, share in shares if share > least]
        scale = sum(share for _, share in shares) / (sum(share for _, share in kept) or 1.0)
        for state, share in kept:
            known = min(1.0, share * scale)
            is_part = known < 1.0 - 1e-9
            self._intervals.add(self._lane, state, began, ended, known, sampled=sampled or is_part)
