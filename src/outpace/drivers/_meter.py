"""What the CPU clock says of items, read so seldom that no item notices.

A reading costs ten times what the wall clock does. So it is read at most once a millisecond of work:
after every item (or step on a loop) that took that long, and once for the shorter ones between. Tested
by `tests/drivers/test_meter.py`.
"""

from __future__ import annotations

import os
import threading
import time
from array import array

from outpace.flow.protocol import Call
from outpace.flow.trace import Trace

FINE = 0.001  # seconds of work that may pass unread

clock = time.perf_counter
cpu_clock = time.thread_time


class Meter:
    """Read the CPU clock for a lane that carries out items one after another."""

    __slots__ = ("_cpus", "_last", "_stops", "fine", "is_full")

    def __init__(self, call: Call) -> None:
        """Have read nothing; `fine` is after how many seconds somebody is to call `mark`."""
        self.is_full = call.record == "full"
        self.fine = float("inf") if call.record == "off" else FINE
        self.begin()

    def begin(self) -> None:
        """Begin a group of items."""
        self._stops, self._cpus = array("l"), array("d")
        self._last = cpu_clock()

    def again(self) -> None:
        """Take back what was read: those were no items yet. What they have cost stays."""
        self._last -= sum(self._cpus)
        self._stops, self._cpus = array("l"), array("d")

    def mark(self, stop: int) -> None:
        """Note what the items before a position have cost, since the last mark."""
        now = cpu_clock()
        self._stops.append(stop)
        self._cpus.append(now - self._last)
        self._last = now

    def end(self, count: int) -> tuple[float, Trace | None]:
        """Return the CPU seconds of that many items, and what is known of each, if more than that."""
        if not self._stops or self._stops[-1] < count:
            self.mark(count)
        whole = sum(self._cpus)
        if self.is_full:
            return whole, Trace(self._cpus, self._stops, thread=thread_id(), process=os.getpid())
        return whole, Trace(self._cpus, self._stops) if len(self._stops) > 1 else None


def thread_id() -> int:
    """Return the system's number of this thread."""
    return threading.get_native_id()
