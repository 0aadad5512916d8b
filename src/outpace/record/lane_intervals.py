"""What one lane was doing, from what was recorded: steps on a loop, samples from outside, or CPU shares.

* steps: exact. Between two steps an item waits, for what is not known.
* samples: amounts a bin of a few milliseconds; what a thread did while no item was on it is left out.
* neither: within an item only its CPU share is known.

Pure. Tested by `tests/record/test_intervals.py`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from outpace.flow.trace import LONG, Trace
from outpace.record import states
from outpace.record.sampler.proc import WAIT_NAMES
from outpace.record.thin import FewIntervals
from outpace.record.timeline import Intervals

Step = tuple[float, float, float]  # when it began and ended, and its CPU seconds

# What a thread runs or waits for, as states of its lane: usually, and in a step that blocks a loop. A
# sample that says "running" and is on no CPU is of a thread that was ready.
STATE_OF_WAIT: dict[str, int] = {
    "running": states.RUNNING,
    "network": states.NETWORK,
    "disk": states.DISK,
    "sleep": states.SLEEP,
    "lock": states.LOCK,
    "child": states.CHILD,
    "gil": states.GIL,
    "unknown": states.WAITING,
}
STATE_IN_LONG_STEP = dict.fromkeys(STATE_OF_WAIT, states.BLOCKED) | {"running": states.BLOCKING}
ALL_ON_CPU = 0.98  # a share from which a step is all on the CPU
HARDLY_ANY = 0.02  # a share of a sample below which a state is not shown
SHORT_STEP_S = 0.001  # seconds of a step that is on the CPU for all of its length
STEPS_TOUCH_S = 1e-5  # seconds between two steps of a loop that are drawn as one


@dataclass(slots=True)
class Samples:
    """The bins of one thread, one after another: seconds on a CPU and ready for one, and the wait."""

    began: array[float] = field(default_factory=lambda: array("d"))
    ended: array[float] = field(default_factory=lambda: array("d"))
    cpu_s: array[float] = field(default_factory=lambda: array("f"))
    ready_s: array[float] = field(default_factory=lambda: array("f"))
    wait: array[int] = field(default_factory=lambda: array("b"))


def steps_of(trace: Trace, position: int) -> list[Step]:
    """Return an item's steps; all of an item stand together, in the order of the positions."""
    steps, owners = trace.steps or (), trace.owners or ()
    n = bisect_left(owners, position)
    found = []
    while n < len(owners) and owners[n] == position:
        found.append((steps[3 * n], steps[3 * n + 1], steps[3 * n + 2]))
        n += 1
    return found


class LaneIntervals:
    """The intervals of one lane, as they are made from what was recorded of it."""

    __slots__ = ("_intervals", "_lane")

    def __init__(self, intervals: FewIntervals | Intervals, lane: int) -> None:
        """Have said nothing."""
        self._intervals, self._lane = intervals, lane

    def add_steps(
        self, began: float, ended: float, steps: Iterable[Step], samples: Samples | None
    ) -> None:
        """Add an item's steps on its loop, and its waiting between."""
        now = began
        for step in steps:
            if step[0] > now:
                self._intervals.add(self._lane, states.WAITING, now, step[0])
            self.add_step(step, samples)
            now = max(now, step[1])
        if ended > now:
            self._intervals.add(self._lane, states.WAITING, now, ended)

    def add_step(self, step: Step, samples: Samples | None) -> None:
        """Add one step: on the CPU, or partly, and as blocking the loop when it was long."""
        began, ended, cpu_s = step
        took = ended - began
        if took <= 0:
            return
        how = STATE_IN_LONG_STEP if took >= LONG else STATE_OF_WAIT
        share = 1.0 if took < SHORT_STEP_S else min(1.0, cpu_s / took)
        if share >= ALL_ON_CPU:
            self._intervals.add(self._lane, how["running"], began, ended)
        elif samples is None:
            self._shares(began, ended, ((how["running"], share), (how["unknown"], 1.0 - share)))
        else:
            self.add_samples(began, ended, samples, how)

    def add_samples(
        self,
        began: float,
        ended: float,
        samples: Samples,
        how: Mapping[str, int] | None = None,
        *,
        busy: float = 1.0,
        cpu_s: float = 0.0,
    ) -> None:
        """Add what a thread was seen to do; what nobody saw is waiting, for what is not known.

        `busy` is how much of that time it had an item: what lies between several is idle. `cpu_s` is
        what it has used by its own clock: what was not seen of that is where nobody looked.
        """
        how, now = how or STATE_OF_WAIT, began
        unseen: list[tuple[float, float]] = []
        for n in range(bisect_left(samples.ended, began), len(samples.began)):
            since, until = max(now, samples.began[n]), min(ended, samples.ended[n])
            if since >= ended:
                break
            if since > now + STEPS_TOUCH_S:
                unseen.append((now, since))
            if until > since:
                whole = samples.ended[n] - samples.began[n]
                cpu = min(1.0, samples.cpu_s[n] / whole)
                ready = min(1.0 - cpu, samples.ready_s[n] / whole)
                wait = WAIT_NAMES[samples.wait[n]]
                other = states.READY if wait == "running" else how[wait]
                shares = (how["running"], cpu), (states.READY, ready), (other, 1.0 - cpu - ready)
                part = [(state, share * busy) for state, share in shares]
                self._shares(since, until, part, sampled=True)
                cpu_s -= cpu * busy * (until - since)
                now = until
        if ended > now + STEPS_TOUCH_S:
            unseen.append((now, ended))
        for since, until in unseen:
            running = min(busy, max(0.0, cpu_s) / sum(end - begin for begin, end in unseen))
            part = [(how["running"], running), (how["unknown"], busy - running)]
            self._shares(since, until, part, sampled=True)

    def add_share(self, began: float, ended: float, wall_s: float, cpu_s: float) -> None:
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
        least = HARDLY_ANY if sampled else 1e-9
        kept = [(state, share) for state, share in shares if share > least]
        scale = sum(share for _, share in shares) / (sum(share for _, share in kept) or 1.0)
        for state, share in kept:
            known = min(1.0, share * scale)
            is_part = known < 1.0 - 1e-9
            self._intervals.add(self._lane, state, began, ended, known, sampled=sampled or is_part)
