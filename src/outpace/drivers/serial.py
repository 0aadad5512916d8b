"""One item at a time, where the caller is: the reference that every other model is compared with.

Inside a host it is what a plain worker process runs. With a timeout the one lane is a thread of its
own, since the caller's can't be abandoned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from outpace.drivers._lane import Lane
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.ending import HURRY
from outpace.flow.forks import in_a_fork
from outpace.flow.protocol import Call, Driver, InThisProcess, Running, Workers


class Serial(Driver):
    """Carry out items one at a time inside `reports`."""

    name = "serial"
    summary = "one item at a time"
    native_async = False
    overlaps = False
    scattered = False
    inline = True

    def unavailable(self) -> str | None:
        """Return None: it runs everywhere."""
        return None

    def open(self, call: Call, lanes: int) -> Workers:  # noqa: ARG002 - there is one lane
        """Open the one lane."""
        if call.timeout is not None and not call.supervised:
            from outpace.drivers import threads  # noqa: PLC0415 - only then

            return threads.driver.open(call, 1)
        return SerialWorkers(call)


class SerialWorkers(InThisProcess):
    """Be the one lane, and the chunks that wait for it."""

    slots = 1

    def __init__(self, call: Call) -> None:
        """Open the lane."""
        self._lane = lane = Lane(call)
        self._chunks: deque[Chunk] = deque()
        self._current: Iterator[Report | Returned] = iter(())
        self._closed = self._interrupted = False
        if call.supervised:  # else the run goes on in this very thread, and refuses to
            in_a_fork(lane, Lane.end_with_item)

    def start(self, chunk: Chunk) -> None:
        """Put a chunk in line."""
        self._chunks.append(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:  # noqa: ARG002
        """Carry out the next items, without waiting for anything, and return their report."""
        try:
            while True:
                for report in self._current:
                    return (report,)
                if not self._chunks:
                    return ()
                self._current = self._lane.carry(self._chunks.popleft())
        except BaseException:
            if not self._interrupted:
                raise
            return ()  # it is our own cancellation of what was awaited

    def wake(self) -> None:
        """Do nothing: `reports` never waits."""

    def running(self) -> Iterator[Running]:
        """Yield the item that runs now: its worker, its index, and since when."""
        if (found := self._lane.row.running()) is not None:
            yield 0, *found

    def interrupt(self) -> None:
        """Cancel the item if it is a coroutine, and wait no longer; for any thread, before `close`."""
        self._interrupted = True
        self._lane.patience = HURRY
        self._lane.interrupt()

    def close(self) -> None:
        """Close the lane."""
        if not self._closed:
            self._closed = True
            self._chunks.clear()
            self._lane.close()


driver = Serial()
