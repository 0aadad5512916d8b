"""An event loop in a thread of its own, so that it can be given up when an item blocks it for too long.

Nothing can interrupt an item that never gives up the loop. Where items have a timeout, the loop lives
here: the item that has it beyond its time is timed out, its thread is left to itself, and all other
items of that loop that have not ended go on, from the beginning, on a fresh loop in another thread. If
it lets go of the loop just then, the loop is kept, and what that has done is told once. For `map` and
`run`; with `amap` the loop is the caller's own. Tested by `tests/drivers/test_abandon.py`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from outpace.drivers._late import ABANDONED, timed_out
from outpace.flow.data import Report, Returned
from outpace.flow.deadlines import GRACE
from outpace.flow.ending import HURRY
from outpace.flow.outstanding import Outstanding
from outpace.flow.protocol import InThisProcess, Running

if TYPE_CHECKING:
    from outpace.drivers._tasks import AsyncioWorkers
    from outpace.flow.data import Chunk

clock = time.perf_counter


class Abandonable(InThisProcess):
    """Be the workers of a loop, and of another when that one is given up."""

    def __init__(self, open_workers: Callable[[], AsyncioWorkers], timeout: float) -> None:
        """Open the first loop in its thread."""
        self._open_workers = open_workers
        self._timeout = timeout
        self._out = Outstanding()
        self._closed = self._hurry = False
        self._asked = False  # the loop runs, or has run, and nobody has got what came of it
        self._held: list[Chunk] = []  # to be put in line when it stands still
        self._accounts: list[Report | Returned] = []  # of a loop that was given up
        self._thread = _LoopThread(open_workers)

    @property
    def slots(self) -> int:
        """Say how many items can run at once."""
        return self._thread.inner.slots

    def start(self, chunk: Chunk) -> None:
        """Put items in line, now or as soon as the loop stands still."""
        self._out.add(chunk)
        if self._asked:
            self._held.append(chunk)
        else:
            self._thread.inner.start(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Run the loop until something ended; what a loop had that was given up comes first."""
        if self._accounts:
            accounts, self._accounts = self._accounts, []
            return accounts
        if not self._asked:
            held, self._held, self._asked = self._held, [], True
            for chunk in held:
                self._thread.inner.start(chunk)
            self._thread.ask(lambda inner: inner.reports(timeout))
        try:
            reports: Sequence[Report] = self._thread.answer(timeout)
        except queue.Empty:
            return ()  # somebody has the loop; or nobody, and there is an answer the next time
        except BaseException:
            self._asked = False
            raise
        self._asked = False
        for report in reports:
            self._out.match(report.indexes)
        return reports

    def cancel(self, worker: int, index: int) -> None:  # noqa: ARG002 - there is one
        """Give up the loop if that item has it, and has had the time to be cancelled."""
        found = self._thread.inner.has_loop()
        if found is None or found[0] != index or clock() < found[1] + self._timeout + GRACE:
            return
        ended = self._thread.give_up(found)
        if ended is not None:
            self._asked = False
            self._held.clear()
            self._accounts = self._abandon(found, ended)

    def wake(self) -> None:
        """Make `reports` return early."""
        self._thread.inner.wake()

    def running(self) -> Iterable[Running]:
        """Yield, for every item that runs or waits now, its worker, its index, and since when."""
        return self._thread.inner.running()

    def interrupt(self) -> None:
        """Have `close` wait for nobody for long."""
        self._hurry = True
        self._thread.inner.interrupt()

    def close(self) -> None:
        """Close the loop and its thread; wait for an item that blocks it, unless in a hurry."""
        if self._closed:
            return
        self._closed = True
        inner = self._thread.inner
        inner.wake()
        self._thread.ask(lambda workers: workers.close())
        with contextlib.suppress(queue.Empty):
            self._thread.end(HURRY if self._hurry else None)

    def _abandon(self, late: tuple[int, float], ended: list[Report]) -> list[Report | Returned]:
        """Account for all that a loop had that has been given up; go on with another."""
        accounts: list[Report | Returned] = [*ended]
        for report in accounts:
            self._out.match(report.indexes)
        index, since = late
        failure = timed_out(self._timeout, ABANDONED)
        stuck = Report([index], [None], _one(since), _one(clock()), {0: failure})
        stuck.trace = self._thread.inner.unreported()
        self._out.match(stuck.indexes)
        accounts.append(stuck)
        accounts += [Returned(chunk.indexes) for chunk in self._out.drain()]
        self._thread = _LoopThread(self._open_workers)
        return accounts


class _LoopThread:
    """Be a daemon thread that does, in turn, what it is asked to with the workers on its loop."""

    def __init__(self, open_workers: Callable[[], AsyncioWorkers]) -> None:
        """Start it, and open the workers there; raise what keeps them from it."""
        self._asked: queue.SimpleQueue[Callable[[Any], Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="outpace-loop", daemon=True)
        self._thread.start()
        self.ask(lambda _: open_workers())
        try:
            self.inner: AsyncioWorkers = self.answer(None)
        except BaseException:
            self._asked.put(None)
            raise

    def ask(self, what: Callable[[Any], Any]) -> None:
        """Have something done."""
        self._asked.put(what)

    def answer(self, timeout: float | None) -> Any:
        """Wait for what came of it; raise what it raised, or `queue.Empty` when time is up."""
        value, error = self._answers.get(timeout=timeout)
        if error is not None:
            raise error
        return value

    def end(self, timeout: float | None) -> None:
        """Wait for the answers to all that was asked, and for the end of the thread."""
        self._asked.put(None)
        self._thread.join(timeout)
        while not self._answers.empty():
            self.answer(0)

    def give_up(self, stuck: tuple[int, float]) -> list[Report] | None:
        """Leave it to itself, if that item has it still; return what it had done and not said."""
        if (ended := self.inner.give_up(stuck)) is not None:
            self._asked.put(lambda workers: workers.close())
            self._asked.put(None)
        return ended

    def _work(self) -> None:
        """Do what is asked, until told to end."""
        inner = None
        while (what := self._asked.get()) is not None:
            try:
                value = what(inner)
                inner = value if inner is None else inner
                self._answers.put((value, None))
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
                self._answers.put((None, error))
            del what


def _one(time: float) -> Any:
    """Make a column of one time."""
    from array import array  # noqa: PLC0415 - for an item that was given up

    return array("d", (time,))
