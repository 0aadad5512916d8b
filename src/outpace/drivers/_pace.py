"""What items cost the loop that they share, step by step.

A step that is shorter than a millisecond counts as on the CPU for all of its length: code that gives way
so soon has hardly waited. For a longer one the CPU clock is read, and once a millisecond of short ones,
so that it is known how much of the next long one is its own. A switch costs 0.3 us more than without
(`bench/record.py`). Tested by `tests/drivers/test_pace.py`.
"""

from __future__ import annotations

import os
import time
from array import array
from typing import Any

from outpace.drivers._meter import FINE, thread_id
from outpace.drivers._watch import LoopWatch
from outpace.flow.board import Board, Place
from outpace.flow.protocol import Call
from outpace.flow.trace import LONG, Load, Trace

clock = time.perf_counter
cpu_clock = time.thread_time


class Pace:
    """Be the account of one loop.

    `on_loop` is where it says which item has it. `loose` are seconds of work since the CPU clock was
    read. `spent` is what the item that has just left `drive` has cost, in `steps` steps. `intervals` are
    its steps, where they are wanted.
    """

    __slots__ = (
        "_busy_s",
        "_is_shared",
        "_last",
        "_open_s",
        "_out",
        "_ready_s",
        "_since",
        "_steps",
        "_watch",
        "_who",
        "fine",
        "intervals",
        "is_full",
        "loose",
        "on_loop",
        "spent",
        "steps",
    )

    def __init__(self, call: Call, board: Board, lanes: int, loop: Any) -> None:
        """Have read nothing; `loop` is given where it is ours alone.

        With one lane nobody waits for anybody, however busy the loop is.
        """
        self._is_shared = lanes > 1
        assert board.on_loop is not None
        self.on_loop: Place = board.on_loop
        self.is_full = call.record == "full"
        self.fine = float("inf") if call.record == "off" else FINE
        self._watch = None if call.record == "off" else LoopWatch(board, loop)
        self._out = 0  # items that have come and not been reported
        self._since: float | None = None  # when there began to be any, while the loop could run
        self.loose = self.spent = 0.0
        self.steps = 0
        self.intervals: array[float] | None = None
        self._busy_s = self._open_s = 0.0
        self._steps = 0
        self._last = cpu_clock()
        self._who = (0, 0)
        self._ready_s = 0.0

    def read(self, began: float, took: float) -> float:
        """Return the CPU seconds of a step that was long, or is one too many to go unread."""
        cpu = self._read(took)
        if took > LONG and self._watch is not None:
            self._watch.ended(began, took, cpu)
        return cpu

    def _read(self, took: float) -> float:
        """Read the clock; return the CPU seconds of the work that has just ended, which took so long."""
        now = cpu_clock()
        before = self.loose - took
        cpu = min(took, max(0.0, now - self._last - before)) if took > FINE else took
        self._busy_s += self.loose
        self._last, self.loose = now, 0.0
        return cpu

    def step(self, began: float) -> tuple[float, float]:
        """Count the first step of an item, which ends now; return how long it was, and its CPU time."""
        cpu = took = clock() - began
        self.loose = loose = self.loose + took
        if loose > self.fine:
            cpu = self.read(began, took)
        return took, cpu

    def item(self, started: float, took: float, cpu: float) -> tuple[float, array[float] | None]:
        """Return what the item that has just ended has cost, its first step included, and its steps."""
        cost = self.spent + cpu
        self._steps += self.steps + 1
        steps = self.intervals
        if steps is not None:
            steps = array("d", (started, started + took, cpu)) + steps
        return cost, steps

    def mark(self, trace: Trace, times: memoryview[float], stop: int) -> None:
        """Note what the items of a row before a position have cost, since the last mark."""
        assert trace.stops is not None
        began = times[trace.stops[-1] if trace.stops else 0]
        took, last = times[stop] - began, times[stop] - times[stop - 1]
        self.loose += took
        cpu = self._read(took)
        if last > LONG and self._watch is not None:
            self._watch.ended(times[stop - 1], last, min(cpu, last))
        trace.stops.append(stop)
        trace.cpus.append(cpu)

    def end_row(self, trace: Trace, times: memoryview[float], count: int) -> None:
        """Count a row that is over; what came after the last mark was short, and all of it work."""
        assert trace.stops is not None
        last = trace.stops[-1] if trace.stops else 0
        if last < count:
            took = times[count] - times[last]
            self.loose += took
            trace.stops.append(count)
            trace.cpus.append(took)
        self._steps += count

    def begin(self) -> None:
        """Note that the loop runs from here on, in this thread: what was before is not its doing."""
        if self._watch is not None:
            self._watch.start()
        self._last, self.loose = cpu_clock(), 0.0
        self._ready_s = self._watch.ready_s if self._watch else 0.0
        self._who = (thread_id(), os.getpid()) if self.is_full else (0, 0)

    def more(self, items: int) -> None:
        """Note that there are so many more items to be carried out."""
        self._out += items
        if self._since is None:
            self._since = clock()
        if self._watch is not None:
            self._watch.look()

    def runs(self) -> None:
        """Note that the loop runs from now on; what its thread did before was not its doing."""
        self._since = clock() if self._out else None
        self._busy_s += self.loose
        self._last, self.loose = cpu_clock(), 0.0

    def end(self) -> None:
        """Note that nothing more comes: nobody has to watch the loop."""
        if self._watch is not None:
            self._watch.close()

    def unreported(self) -> Trace | None:
        """Return what is known of the loop that no report has said."""
        return None if self._watch is None else Trace(sightings=self._watch.take())

    def trace(
        self, count: int, cpus: list[float], steps: array[float], owners: array[int]
    ) -> Trace | None:
        """Return what is known of the items of the next report; so many are reported with it."""
        self._out -= count
        if self._since is not None:
            now = clock()
            self._open_s += now - self._since
            self._since = now
        if self.fine > FINE:
            return None
        busy_s = self._busy_s + self.loose
        trace = Trace(array("d", cpus))
        if self._is_shared:
            ready_s, before = (self._watch.ready_s if self._watch else 0.0), self._ready_s
            trace.load = Load(busy_s, self._steps, max(0.0, self._open_s - ready_s + before))
            self._ready_s = ready_s
        self._busy_s, self._steps, self._open_s = -self.loose, 0, 0.0
        if self._watch is not None:
            trace.sightings = self._watch.take()
        if self.is_full:
            self.note_steps(trace, steps, owners)
        return trace

    def note_steps(self, trace: Trace, steps: array[float], owners: array[int]) -> None:
        """Put the steps of items into their trace, and which thread it was."""
        trace.steps, trace.owners = steps, owners
        trace.thread, trace.process = self._who
