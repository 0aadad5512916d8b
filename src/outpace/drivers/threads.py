"""Lanes in threads of this process: for work that waits, and native code that lets go of the GIL.

All threads take chunks from one queue, so a slow item holds up nobody else. Queues are
`queue.SimpleQueue`, which is one C call; there is no other shared state. The first thread is opened
at once; another is hired for each chunk that finds no thread idle, up to the number that there may be.

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
import warnings
from collections.abc import Iterator, Sequence

from outpace.drivers._lane import Lane
from outpace.errors import WorkerStartError
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.ending import HURRY
from outpace.flow.forks import in_a_fork
from outpace.flow.protocol import Call, Driver, InThisProcess, Running
from outpace.flow.signals import Terminated, interruptible, undisturbed
from outpace.machine.ulimits import more_threads


class Threads(Driver):
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
        """Start the first of that many threads; wait until it has opened the setup."""
        workers = ThreadWorkers(call, lanes)
        try:
            workers.hire()
            workers.wait_ready()
        except (KeyboardInterrupt, Terminated):
            workers.interrupt()  # a setup may never open
            workers.close()
            raise
        except BaseException:
            workers.close()
            raise
        return workers


HIRING = 0.005  # seconds of starting threads, 50 or so, after which reports are looked for

Account = Report | Returned | BaseException | None
clock = time.perf_counter


class ThreadWorkers(InThisProcess):
    """Be the threads, the queue they take from, and the queue they report to."""

    def __init__(self, call: Call, lanes: int) -> None:
        """Have no threads yet."""
        self.slots = lanes
        self._call = call
        self._inbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        # What lanes say: None when one is open, and for `wake`.
        self._outbox: queue.SimpleQueue[Account] = queue.SimpleQueue()
        # While more lanes may be hired: one for each that is idle and that no chunk counts on, and how
        # many chunks have found none.
        self._idle: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._wanted = 0
        self._closing = threading.Event()
        self._hurry = False
        self._exit_error: BaseException | None = None
        # Those that are open, and not abandoned: they put themselves in.
        self._lanes: dict[int, Lane] = {}
        self._threads: dict[int, threading.Thread] = {}
        in_a_fork(self, ThreadWorkers._let_go)

    def hire(self) -> None:
        """Start one more thread, or go on with those that there are; raise when there is none."""
        number = len(self._threads)
        try:
            self._start(number)
        except WorkerStartError as error:
            if not number:
                raise
            if threading.main_thread().is_alive():  # else the interpreter ends, and none can start
                warnings.warn(str(error), RuntimeWarning, stacklevel=2)

    @interruptible
    def wait_ready(self) -> None:
        """Wait until a thread is ready; raise what kept it from it."""
        self._take(self._outbox.get())

    def start(self, chunk: Chunk) -> None:
        """Put a chunk in line for whichever thread is free first."""
        self._inbox.put(chunk)
        if len(self._threads) < self.slots and not self._is_idle():
            self._wanted += 1

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report; return it and all others that are there."""
        found: list[Report | Returned] = []
        if self._wanted and not self._hire_wanted():
            timeout = 0.0
        with contextlib.suppress(queue.Empty):
            found += self._take(self._outbox.get(timeout=timeout))
            while True:
                found += self._take(self._outbox.get_nowait())
        return found

    def wake(self) -> None:
        """Put an empty account in the queue."""
        self._outbox.put(None)

    def running(self) -> Iterator[Running]:
        """Yield, for every item that runs now, its worker, its index, and since when."""
        for lane in list(self._lanes.values()):
            if (found := lane.row.running()) is not None:
                yield lane.number, *found

    @undisturbed
    def cancel(self, worker: int, index: int) -> None:  # noqa: ARG002 - there is one
        """Give up the lane that is on a late item; a coroutine is cancelled by its loop at first."""
        now = clock()
        for lane in list(self._lanes.values()):
            found = lane.row.running()
            if found is None or found[0] != index or now < found[1] + lane.may_take:
                continue
            with lane.lock:
                given_up = lane.give_up(found, now)
            if given_up is not None:
                del self._lanes[lane.number]
                self._start(lane.number)
                for account in given_up:
                    self._outbox.put(account)

    def interrupt(self) -> None:
        """Have `close` wait for nobody who goes on for long."""
        self._hurry = True

    def close(self) -> None:
        """Let each thread end after the item it is on, and wait for that, unless in a hurry."""
        self._closing.set()
        self._inbox.put(None)  # each that ends puts another, so that there are enough for all
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

    def _let_go(self) -> None:
        """Have no lanes, in a fork: at most one thread is there, and ends with the item that forked."""
        for lane in self._lanes.values():
            lane.end_with_item()
        self._lanes.clear()

    def _is_idle(self) -> bool:
        """Say whether there is an idle thread to count on, and count on it."""
        if self._idle.empty():  # nobody else takes from it
            return False
        self._idle.get_nowait()
        return True

    def _hire_wanted(self) -> bool:
        """Hire a thread for each chunk that found none; return False when that takes too long."""
        until = clock() + HIRING
        while self._wanted and (before := len(self._threads)) < self.slots:
            if clock() > until:
                return False
            self._wanted -= 1
            if not self._is_idle():
                self.hire()
                if len(self._threads) == before:  # nor can another: until the next chunk is due
                    break
        self._wanted = 0
        return True

    @undisturbed
    def _start(self, number: int) -> None:
        """Start one thread. A signal raised in there could leave a lock of `threading` held for good."""
        if self._call.board is not None:
            # Laid out here, since threads must not do so side by side.
            self._call.board.rows[number]
        name = f"outpace-{number}"
        thread = threading.Thread(target=self._work, args=(number,), name=name, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            msg = (
                f"only {len(self._threads)} of {self.slots} threads could be started: {error}; "
                f"use a lower in_flight=, or {more_threads()}"
            )
            raise WorkerStartError(msg) from error
        self._threads[number] = thread

    def _take(self, account: Account) -> Sequence[Report | Returned]:
        """Return an account that is a report; raise one that is an error of a lane itself."""
        if isinstance(account, BaseException):
            raise account
        return () if account is None else (account,)

    def _work(self, number: int) -> None:
        """Be one thread: open a lane, carry chunks until told to end."""
        try:
            lane = Lane(self._call, number)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller is waiting
            self._outbox.put(error)
            return
        self._lanes[number] = lane
        try:
            self._carry(lane)
        except BaseException as error:  # noqa: BLE001 - not an item's, but the lane's: a broken loop
            self._say(lane, error)
        finally:
            if self._closing.is_set():
                self._inbox.put(None)
            try:
                lane.close()
            except BaseException as error:  # noqa: BLE001 - it is raised by `close`
                if not lane.abandoned:
                    self._exit_error = error

    def _carry(self, lane: Lane) -> None:
        """Say that it is ready; carry chunks from the queue until told to end."""
        chunk = self._waiting()
        self._outbox.put(None)
        while not self._closing.is_set():
            if chunk is None and (chunk := self._inbox.get()) is None:
                return
            for report in lane.carry(chunk):
                if not self._say(lane, report):
                    return
            chunk = self._waiting()

    def _waiting(self) -> Chunk | None:
        """Return a chunk that waits; None without one, and then this lane is idle."""
        if len(self._threads) >= self.slots:
            return None
        if not self._inbox.empty():
            with contextlib.suppress(queue.Empty):
                return self._inbox.get_nowait()
        self._idle.put(None)
        return None

    def _say(self, lane: Lane, account: Account) -> bool:
        """Put an account of a lane's in the queue; return False when nobody listens any more."""
        with lane.lock:
            if lane.abandoned or self._closing.is_set():
                return False
            self._outbox.put(account)
            return True


driver = Threads()
