"""What a worker does, in whatever it lives: take chunks, put a driver to work, send what ended.

One loop for every driver. One that works inside `reports` is given the next message when it has nothing
to do. One that is an event loop reads on that loop, so nothing stops it for a chunk that arrives. For
any other a thread reads, and wakes it; the chunks are unpacked in the thread that serves all the same,
because that runs the user's code.

A host of another kind (`docs/writing-a-host.md`) calls `serve` with a `Caller` of its own.
Tested by `tests/hosts/test_serve.py` and `tests/conformance`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from outpace.errors import WorkerStartError
from outpace.flow.data import Report, Returned
from outpace.flow.protocol import Workers
from outpace.hosts.channel.messages import (
    Cancel,
    Done,
    FromWorker,
    Ping,
    Pong,
    Ready,
    ToWorker,
    Work,
)
from outpace.machine.ulimits import more_threads

Weigh = Callable[[], int]


class Caller(Protocol):
    """A worker's end of its link: where messages come from and reports go."""

    def receive(self, *, wait: bool = True) -> Any:
        """Return what has come next, None if nothing has and it is not to wait.

        Raises EOFError when it is over: the caller has said so (`Over`), or is gone.
        """
        ...

    def unpack(self, parcel: Any) -> ToWorker | None:
        """Return the message that it is; None for a chunk that cannot be read, once that is said."""
        ...

    def send(self, message: FromWorker) -> None:
        """Send a message. Any thread may call this."""
        ...


@runtime_checkable
class ReadsOnLoop(Protocol):
    """Workers of a driver whose event loop can watch a descriptor."""

    def watch(self, fd: int, call: Callable[[], object] | None) -> bool:
        """Have this called on the loop when there is something to read; say whether that can be."""
        ...


@runtime_checkable
class HasDescriptor(Protocol):
    """A caller whose messages come from a descriptor."""

    def fileno(self) -> int:
        """Return it."""
        ...


def no_weight() -> int:
    """Return 0: nobody has asked, and asking the system costs 7 us."""
    return 0


def serve(caller: Caller, workers: Workers, *, inline: bool, weigh: Weigh = no_weight) -> None:
    """Say that the workers are ready, and carry out what comes until the caller says that it is over.

    Raises `WorkerStartError` where the thread that reads cannot be started, and whatever `workers`
    raise. Closing them is left to who has opened them.
    """
    server = _Server(caller, workers, weigh)
    look: Callable[[bool], None] = server.take_next
    if not inline:
        look = server.look_at_nothing if server.read_on_loop() else server.read_beside()
    try:
        caller.send(Ready(time.perf_counter(), weigh()))
        server.run(look)
    finally:
        server.stop_reading()


class _Server:
    """One worker at work, and what carrying its items has cost."""

    def __init__(self, caller: Caller, workers: Workers, weigh: Weigh) -> None:
        """Have heard nothing."""
        self._caller, self._workers, self._weigh = caller, workers, weigh
        self._over = False
        self._carried = 0.0  # CPU seconds since the last report
        self._inbox: deque[tuple[Any, float]] = (
            deque()
        )  # what a thread has read, and what that cost
        self._fd = -1  # what the loop watches

    def run(self, look: Callable[[bool], None]) -> None:
        """Take what comes and send what ends, until it is over."""
        idle = True
        while True:
            look(idle)
            if self._over:
                return
            idle = True
            for report in self._workers.reports(None):
                idle = False
                self._tell(report)
                del report  # nor does what it holds stay while there is nothing to do

    # How messages come.

    def take_next(self, idle: bool) -> None:  # noqa: FBT001 - see `run`
        """Wait for a message, if there is nothing else to do."""
        if idle:
            self._receive(wait=True)

    def take_waiting(self, _idle: bool) -> None:  # noqa: FBT001
        """Take what a thread has read."""
        while self._inbox:
            parcel, cost = self._inbox.popleft()
            if parcel is None:
                self._over = True
                return
            self._take(parcel, cost)
            del parcel  # what it holds does not stay while there is nothing to do

    def look_at_nothing(self, _idle: bool) -> None:  # noqa: FBT001
        """Do nothing: the loop reads."""

    def read_beside(self) -> Callable[[bool], None]:
        """Start a thread that reads; return how to take that, or raise `WorkerStartError`."""

        def read() -> None:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    before = time.thread_time()
                    parcel = self._caller.receive()
                    self._inbox.append((parcel, time.thread_time() - before))
                    del parcel
                    self._workers.wake()
            self._inbox.append((None, 0.0))
            self._workers.wake()

        try:
            threading.Thread(target=read, name="outpace-read", daemon=True).start()
        except RuntimeError as error:
            msg = f"the thread that reads its items could not be started: {error}; {more_threads()}"
            raise WorkerStartError(msg) from error
        return self.take_waiting

    def read_on_loop(self) -> bool:
        """Have the driver's loop read, if it has one that can."""
        if isinstance(self._workers, ReadsOnLoop) and isinstance(self._caller, HasDescriptor):
            fd = self._caller.fileno()
            if self._workers.watch(fd, self._read_on_loop):
                self._fd = fd
                return True
        return False

    def _read_on_loop(self) -> None:
        """Take what there is, on the loop."""
        while not self._over:
            if not self._receive(wait=False):
                return
        self.stop_reading()
        self._workers.wake()

    def stop_reading(self) -> None:
        """Have the loop read no longer."""
        self._over = True
        if self._fd >= 0 and isinstance(self._workers, ReadsOnLoop):
            self._workers.watch(self._fd, None)
            self._fd = -1

    def _receive(self, *, wait: bool) -> bool:
        """Take one message; say whether there was any."""
        before = time.thread_time()
        try:
            parcel = self._caller.receive(wait=wait)
        except (EOFError, OSError):  # the caller has closed its side, or an item has closed ours
            self._over = True
            return True
        if parcel is None:
            return False
        self._take(parcel, time.thread_time() - before)
        return True

    def _take(self, parcel: Any, cost: float) -> None:
        """Do what a message says."""
        before = time.thread_time()
        match self._caller.unpack(parcel):
            case Work(chunk):
                self._workers.start(chunk)
            case Cancel(index):
                self._workers.cancel(0, index)
            case Ping():
                self._caller.send(Pong())
                return
            case _:
                pass  # no worker is told that twice, or it is the transport that sees to it
        self._carried += cost + time.thread_time() - before

    def _tell(self, report: Report | Returned) -> None:
        """Send a report, with what carrying has cost so far; this one counts for the next."""
        if isinstance(report, Returned):
            self._caller.send(report)
            return
        before = time.thread_time()
        report.carried_s = self._carried
        self._caller.send(Done(report, self._weigh()))
        self._carried = time.thread_time() - before
