"""Workers that live in a thread of their own.

For a caller whose thread is not free: one in which an event loop runs already (a notebook, an
asynchronous framework), where no second loop can run. Every method is carried out in that one thread,
in turn, so the workers inside still see a single user.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.ending import LAST
from outpace.flow.protocol import Running, Usage, Workers


class Elsewhere:
    """Be workers, opened and used in a thread of their own."""

    def __init__(self, open_workers: Callable[[], Workers]) -> None:
        """Start the thread and open the workers there."""
        self._thread = _Thread()
        self._open_workers = open_workers
        self._inner: Workers | None = None
        self._asked: Any = None  # the future of reports that nobody has got yet
        self._closed = False

    def open(self) -> Elsewhere:
        """Open the workers, waiting for it."""
        opening = self._thread.submit(self._open_workers)
        try:
            self._inner = opening.result()
        except BaseException:  # its own error; or a Ctrl-C, and then it may still succeed
            self._thread.shutdown()
            if opening.exception() is None:
                opening.result().close()
            raise
        return self

    async def aopen(self) -> Elsewhere:
        """Open the workers, awaiting it; a cancelled opening is seen to its end and closed again.

        However often it is cancelled: the thread does that by itself, also when the loop has ended.
        """
        import asyncio  # noqa: PLC0415 - a plain program should not pay for it

        opening = self._thread.submit(self._open_workers)
        try:
            self._inner = await asyncio.shield(asyncio.wrap_future(opening))
        except BaseException:
            self._closed = True
            closing = self._thread.submit(lambda: opening.exception() or opening.result().close())
            self._thread.shutdown(wait=False)
            await asyncio.wait([asyncio.wrap_future(closing)])
            if not opening.exception() and (error := closing.exception()):
                raise error from None
            raise
        return self

    @property
    def inner(self) -> Workers:
        """Return the workers inside."""
        assert self._inner is not None
        return self._inner

    @property
    def slots(self) -> int:
        """Say how many items can run at once."""
        return self.inner.slots

    @property
    def usage(self) -> Usage:
        """Say what workers outside this process used."""
        return self.inner.usage

    def processes(self) -> list[int]:
        """List the processes that the workers are in."""
        return self.inner.processes()

    def start(self, chunk: Chunk) -> None:
        """Hand over items; the thread is idle now, for only `reports` works there."""
        self.inner.start(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for reports; a Ctrl-C ends the wait in the thread too, so that it is free again."""
        waiting: Future[Sequence[Report | Returned]]
        waiting = self._thread.submit(self.inner.reports, timeout)
        try:
            return waiting.result()
        except BaseException:
            self.interrupt()
            raise

    async def areports(self, timeout: float | None) -> Sequence[Report | Returned]:  # noqa: ASYNC109 - as `reports`
        """Await reports; where that is cancelled, the next one awaits the same."""
        import asyncio  # noqa: PLC0415

        if self._asked is None:
            self._asked = asyncio.wrap_future(self._thread.submit(self.inner.reports, timeout))
        try:
            reports: Sequence[Report | Returned] = await asyncio.shield(self._asked)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._asked = None
            raise
        self._asked = None
        return reports

    def cancel(self, worker: int, index: int) -> None:
        """Put an end to an item whose time is up, once `reports` has left the thread."""
        self._thread.submit(self.inner.cancel, worker, index)
        self.inner.wake()

    def wake(self) -> None:
        """Make `reports` return early."""
        self.inner.wake()

    def running(self) -> Iterable[Running]:
        """Yield every item that runs now."""
        return self.inner.running()

    def interrupt(self) -> None:
        """End what the thread waits for, for good: the workers are about to be closed."""
        self.inner.wake()
        self.inner.interrupt()

    def close(self) -> None:
        """Close the workers and end the thread."""
        if not self._closed:
            self._closed = True
            try:
                self._thread.submit(self.inner.close).result()
            finally:
                self._thread.shutdown()

    async def aclose(self) -> None:
        """Do the same without blocking the loop; once begun it is carried out, cancelled or not."""
        import asyncio  # noqa: PLC0415

        if not self._closed:
            self._closed = True
            if self._asked is not None and not self._asked.done():
                self.interrupt()  # whoever awaited them did not wait for that
            closing = asyncio.wrap_future(self._thread.submit(self.inner.close))
            try:
                await asyncio.shield(closing)
            finally:
                self._thread.shutdown(wait=closing.done())


_left: weakref.WeakSet[threading.Thread] = weakref.WeakSet()  # they may still be closing


@atexit.register
def _see_off() -> None:
    """Give those that are closing a moment, at the end of the program."""
    until = time.monotonic() + LAST
    for thread in list(_left):
        thread.join(max(0.0, until - time.monotonic()))


class _Thread:
    """A thread that does one thing after another.

    A daemon, unlike those of the standard pool, for which an interpreter waits when it ends.
    """

    def __init__(self) -> None:
        """Start it."""
        self._asked: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._asked = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="outpace-loop", daemon=True)
        self._thread.start()

    def submit(self, what: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have something done; return the future of what comes of it."""
        future: Future[Any] = Future()
        self._asked.put((future, lambda: what(*args)))
        return future

    def shutdown(self, *, wait: bool = True) -> None:
        """Have it end after what it was asked for."""
        self._asked.put(None)
        if wait:
            self._thread.join()
        else:
            _left.add(self._thread)

    def _work(self) -> None:
        """Do what is asked, until told to end."""
        while (asked := self._asked.get()) is not None:
            future, what = asked
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(what())
                except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
                    future.set_exception(error)
            del asked, future, what  # of what was done nothing is kept
