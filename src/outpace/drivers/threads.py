"""Lanes in threads of this process: for work that waits, and native code that lets go of the GIL.

All threads take chunks from one queue, so a slow item holds up nobody else. Queues are
`queue.SimpleQueue`, which is one C call; there is no other shared state.

A thread cannot be killed. An item that takes longer than the call's timeout is abandoned: its thread
is left to itself, says and begins nothing more, and another thread takes its place, and the rest of
its chunk. A lane says nothing without its lock, and whoever gives it up looks once more under that:
so an item that ends just then is told by its lane, and nobody is late in its stead
(`tests/drivers/test_late_threads.py`).

Closing waits for the items that are running now, except for coroutines, which are cancelled, and
except in a hurry (`interrupt`). Threads are daemons, so that an interpreter that is shutting down does
not wait for them. Tested by `tests/drivers/test_threads.py`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence

from outpace.drivers import _lane
from outpace.drivers._lane import Lane
from outpace.drivers._late import Watch
from outpace.errors import WorkerStartError
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.ending import HURRY, Terminated
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
        except (KeyboardInterrupt, Terminated):
            workers.interrupt()  # a setup may never open
            workers.close()
            raise
        except BaseException:
            workers.close()
            raise
        return workers


Account = Report | Returned | BaseException | None
clock = time.perf_counter


class ThreadWorkers:
    """Be the threads, the queue they take from, and the queue they report to."""

    def __init__(self, call: Call, lanes: int) -> None:
        """Start the threads."""
        self.slots = lanes
        self.usage = Usage()
        self._call = call
        self._inbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        # What lanes say: None when one is open, and for `wake`.
        self._outbox: queue.SimpleQueue[Account] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._hurry = False
        self._exit_error: BaseException | None = None
        self._lanes: dict[
            int, Lane
        ] = {}  # that are open, and not abandoned: they put themselves in
        self._threads: dict[int, threading.Thread] = {}
        # In a worker process it is the caller who keeps the time, since he can kill.
        keeps_time = call.timeout is not None and not _lane.worker_process
        self._watch = Watch(call.timeout, clock()) if keeps_time and call.timeout else None
        for n in range(lanes):
            try:
                self._start(n)
            except RuntimeError as error:
                self.close()
                msg = (
                    f"only {n} of {lanes} threads could be started: {error}; use a lower in_flight="
                )
                raise WorkerStartError(msg) from error

    def wait_ready(self) -> None:
        """Wait until one more thread is ready; raise what kept it from it."""
        self._take(self._outbox.get())

    def start(self, chunk: Chunk) -> None:
        """Put a chunk in line for whichever thread is free first."""
        self._inbox.put(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report; return it and all others that are there."""
        found: list[Report | Returned] = []
        with contextlib.suppress(queue.Empty):
            found += self._take(self._outbox.get(timeout=self._patience(timeout)))
            while True:
                found += self._take(self._outbox.get_nowait())
        if self._watch is not None and self._watch.look_at <= clock():
            found += self._abandon_late(self._watch)
        return found

    def wake(self) -> None:
        """Put an empty account in the queue."""
        self._outbox.put(None)

    def running(self) -> Iterator[tuple[int, int, float]]:
        """Yield, for every item that runs now, its worker, its index, and since when."""
        for lane in list(self._lanes.values()):
            if (found := lane.row.running()) is not None:
                yield lane.number, *found

    def interrupt(self) -> None:
        """Have `close` wait for nobody who goes on for long."""
        self._hurry = True

    def close(self) -> None:
        """Let each thread end after the item it is on, and wait for that, unless in a hurry."""
        self._closing.set()
        for _ in self._threads:
            self._inbox.put(None)
        for lane in list(self._lanes.values()):
            lane.interrupt()
        until = clock() + HURRY
        while self._threads and threading.main_thread().is_alive():  # else all is ending
            number, thread = next(iter(self._threads.items()))
            thread.join(max(0.0, until - clock()) if self._hurry else None)
            del self._threads[number]
        if self._exit_error is not None:
            error, self._exit_error = self._exit_error, None
            raise error

    def _start(self, number: int) -> None:
        """Start one thread."""
        name = f"outpace-{number}"
        thread = threading.Thread(target=self._work, args=(number,), name=name, daemon=True)
        thread.start()
        self._threads[number] = thread

    def _patience(self, timeout: float | None) -> float | None:
        """Return how long to wait for reports, before looking for items that take too long."""
        if self._watch is None:
            return timeout
        look = max(0.0, self._watch.look_at - clock())
        return look if timeout is None else min(look, timeout)

    def _take(self, account: Account) -> Sequence[Report | Returned]:
        """Return an account that is a report; raise one that is an error of a lane itself."""
        if isinstance(account, BaseException):
            raise account
        return () if account is None else (account,)

    def _abandon_late(self, watch: Watch) -> list[Report | Returned]:
        """Give up the lanes whose item takes too long; coroutines have been cancelled already."""
        now = clock()
        running = [
            ((lane, found), found[1] + lane.grace)
            for lane in list(self._lanes.values())
            if (found := lane.row.running()) is not None
        ]
        accounts: list[Report | Returned] = []
        for lane, found in watch.late(running, now):
            with lane.lock:
                given_up = lane.give_up(found, now)
            if given_up is not None:
                del self._lanes[lane.number]
                self._start(lane.number)
                accounts += given_up
        return accounts

    def _work(self, number: int) -> None:
        """Be one thread: open a lane, carry chunks until told to end."""
        try:
            lane = Lane(self._call, number)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller is waiting
            self._outbox.put(error)
            return
        self._lanes[number] = lane
        self._outbox.put(None)
        try:
            self._carry(lane)
        except BaseException as error:  # noqa: BLE001 - not an item's, but the lane's: a broken loop
            self._say(lane, error)
        finally:
            try:
                lane.close()
            except BaseException as error:  # noqa: BLE001 - it is raised by `close`
                if not lane.abandoned:
                    self._exit_error = error

    def _carry(self, lane: Lane) -> None:
        """Carry chunks from the queue until told to end."""
        while (chunk := self._inbox.get()) is not None and not self._closing.is_set():
            for report in lane.carry(chunk):
                if not self._say(lane, report):
                    return
            del chunk

    def _say(self, lane: Lane, account: Account) -> bool:
        """Put an account of a lane's in the queue; return False when nobody listens any more."""
        with lane.lock:
            if lane.abandoned or self._closing.is_set():
                return False
            self._outbox.put(account)
            return True


driver = Threads()
