"""Lanes in threads of this process: for work that waits, and native code that lets go of the GIL.

All threads take chunks from one queue, so a slow item holds up nobody else. Queues are
`queue.SimpleQueue`, which is one C call; there is no other shared state.

A thread cannot be killed: closing waits for the items that are running now, except for coroutines,
which are cancelled. Threads are daemons, so that an interpreter that is shutting down does not wait
for them. Tested by `tests/drivers/test_threads.py`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence

from outpace.drivers._lane import Lane
from outpace.errors import WorkerStartError
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.protocol import Call, Usage


class Threads:
    """Keep one item in flight in each of n threads."""

    name = "threads"
    summary = "threads of one process"
    native_async = False
    overlaps = True
    scattered = False
    inline = False

    def unavailable(self) -> str | None:
        """Return None: it runs everywhere."""
        return None

    def open(self, call: Call, lanes: int) -> ThreadWorkers:
        """Start that many threads; wait until each has opened the setup."""
        workers = ThreadWorkers(call, lanes)
        try:
            for _ in range(lanes):
                workers.wait_ready()
        except BaseException:
            workers.close()
            raise
        return workers


class ThreadWorkers:
    """Be the threads, the queue they take from, and the queue they report to."""

    def __init__(self, call: Call, lanes: int) -> None:
        """Start the threads."""
        self.slots = lanes
        self.usage = Usage()
        self._call = call
        self._inbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Report | Returned | BaseException | None] = (
            queue.SimpleQueue()
        )
        self._closing = threading.Event()
        self._exit_error: BaseException | None = None
        self._lanes: list[Lane] = []
        self._threads: list[threading.Thread] = []
        for n in range(lanes):
            name = f"outpace-{n}"
            thread = threading.Thread(target=self._work, args=(n,), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self.close()
                msg = (
                    f"only {n} of {lanes} threads could be started: {error}; use a lower in_flight="
                )
                raise WorkerStartError(msg) from error
            self._threads.append(thread)

    def wait_ready(self) -> None:
        """Wait until one more thread is ready; raise what kept it from it."""
        self._raise_or(self._outbox.get())

    def start(self, chunk: Chunk) -> None:
        """Put a chunk in line for whichever thread is free first."""
        self._inbox.put(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report; return it and all others that are there."""
        found: list[Report | Returned] = []
        with contextlib.suppress(queue.Empty):
            self._raise_or(self._outbox.get(timeout=timeout), found)
            while True:
                self._raise_or(self._outbox.get_nowait(), found)
        return found

    def wake(self) -> None:
        """Put an empty account in the queue."""
        self._outbox.put(None)

    def close(self) -> None:
        """Let each thread end after the item it is on, and wait for that."""
        self._closing.set()
        for _ in self._threads:
            self._inbox.put(None)
        for lane in self._lanes:
            lane.interrupt()
        while (
            self._threads and threading.main_thread().is_alive()
        ):  # else the interpreter is ending
            self._threads[-1].join()
            self._threads.pop()
        if self._exit_error is not None:
            error, self._exit_error = self._exit_error, None
            raise error

    def _raise_or(
        self,
        account: Report | Returned | BaseException | None,
        into: list[Report | Returned] | None = None,
    ) -> None:
        """Raise an account that is an error of a lane itself; collect one that is a report."""
        if isinstance(account, BaseException):
            raise account
        if account is not None and into is not None:
            into.append(account)

    def _work(self, number: int) -> None:
        """Be one thread: open a lane, carry chunks until told to end."""
        try:
            lane = Lane(self._call, number)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller is waiting
            self._outbox.put(error)
            return
        self._lanes.append(lane)
        self._outbox.put(None)
        try:
            self._carry(lane)
        except BaseException as error:  # noqa: BLE001 - not an item's, but the lane's: a broken loop
            if not self._closing.is_set():
                self._outbox.put(error)
        finally:
            try:
                lane.close()
            except BaseException as error:  # noqa: BLE001 - it is raised by `close`
                self._exit_error = error

    def _carry(self, lane: Lane) -> None:
        """Carry chunks from the queue until told to end."""
        while (chunk := self._inbox.get()) is not None and not self._closing.is_set():
            for report in lane.carry(chunk):
                self._outbox.put(report)
                if self._closing.is_set():
                    return
            del chunk


driver = Threads()
