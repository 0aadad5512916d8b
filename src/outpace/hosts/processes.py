"""Worker processes: our own interpreters, one socket each, on this machine.

No `if __name__ == "__main__"` guard is needed, because a worker never imports the caller's `__main__`;
functions from there, lambdas and closures travel by value. No manager thread, no queue or lock shared
between workers: one thread here waits on one selector for reports and deaths alike.

Guarantees: `open` returns when every worker has opened its setup; a worker that dies is reported at
once, its running chunk as lost, what it had not begun as returned, and it is replaced, up to
`CRASHES` times a worker; after `close` no process or descriptor is left. Idle workers close their
setups in peace; one that is still busy gets `GRACE` seconds to unwind before it is killed.
Tested by `tests/hosts/test_processes.py` and over every model by `tests/conformance`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

import outpace.drivers
from outpace.drivers import _lane
from outpace.errors import TransferError, UsageError, WorkerLostError, WorkerStartError
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.protocol import Call, Driver, Usage
from outpace.hosts._filters import named_filters
from outpace.hosts._group import kill_group
from outpace.hosts._launch import Launched, Launcher, launcher
from outpace.hosts._peer import Peer, failures, lost, untransferable, working_directory
from outpace.hosts._value import by_value
from outpace.hosts._wire import Channel, Message, Packed, pack

CRASHES = 5  # replacements per worker; arbitrary: enough for a few bad items, an end for a loop
EXIT_GRACE = 1.0  # seconds from a worker's last word to its end: for what it does at exit
GRACE = 0.25  # seconds that a busy worker has to unwind when the run is closed half-way


class Processes:
    """Give many workers in processes of this machine."""

    name = "processes"
    summary = "worker processes"

    def unavailable(self) -> str | None:
        """Say why processes cannot be started here, if so."""
        if sys.platform in ("emscripten", "wasi"):
            return "this platform has no processes; use serial or asyncio"
        return None

    def open(self, call: Call, driver: Driver, workers: int, slots: int) -> ProcessWorkers:
        """Start that many workers with a driver each, `slots` lanes in all."""
        if _lane.worker_loading:
            msg = (
                "a module that a worker process imports calls outpace as it is imported, so every "
                "worker would start workers; put that call into a function, or under "
                'if __name__ == "__main__"'
            )
            raise UsageError(msg)
        opened = ProcessWorkers(call, driver, slots, crashes=CRASHES * workers)
        try:
            share, extra = divmod(slots, workers)
            opened.launch([(n, share + (n < extra)) for n in range(workers)])
            opened.wait_ready()
        except BaseException:
            opened.close()
            raise
        return opened


class ProcessWorkers:
    """Be the worker processes, and what is out to each."""

    def __init__(self, call: Call, driver: Driver, slots: int, crashes: int) -> None:
        """Have none yet: `launch` starts them, and `wait_ready` waits until they are."""
        self.slots = slots
        self.usage = Usage()
        self._driver = driver
        self._by_value = by_value(call)
        self._hello = self._pack_call(call)
        # What every worker would import is imported once, before the fork.
        loop = ["asyncio"] if call.is_async else []
        self._launcher: Launcher = launcher([type(driver).__module__, *loop])
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        # The mutable state: the workers, what waits for one, and what is known but not yet said.
        self._workers: dict[int, Peer] = {}
        self._backlog: deque[Chunk] = deque()
        self._news: list[Report | Returned] = []
        self._crashes_left = crashes
        self._exit_error: BaseException | None = None
        self._closed = False
        self._watch()

    # Opening.

    def _pack_call(self, call: Call) -> Packed:
        """Pickle the job's call; say which function it is that cannot travel."""
        filters = named_filters()
        try:
            with self._by_value:
                packed = pack((call.fn, call.setup, call.is_async, filters), by_value=True)
        except Exception as error:
            name = getattr(call.fn, "__qualname__", repr(call.fn))
            msg = (
                f"{name} cannot be sent to a worker process: {type(error).__name__}: {error}; "
                "open what it holds in setup= (once per worker), or use threads"
            )
            raise TransferError(msg) from error
        return packed

    def _watch(self) -> None:
        """Listen to deaths, and to `wake`."""
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        if (control := self._launcher.watched()) is not None:
            self._selector.register(control, selectors.EVENT_READ)

    def launch(self, places: list[tuple[int, int]]) -> None:
        """Start a worker for each (number, lanes), and say hello to it."""
        for launched, (number, lanes) in zip(
            self._launcher.launch(len(places)), places, strict=True
        ):
            self._greet(launched, number, lanes)

    def _greet(self, launched: Launched, number: int, lanes: int) -> None:
        """Tell a new worker what to be."""
        launched.sock.setblocking(False)  # noqa: FBT003 - its only form
        worker = Peer(number, lanes, launched.pid, Channel(launched.sock))
        self._workers[worker.pid] = worker
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        meta = {
            "path": sys.path,
            "argv": sys.argv,
            "directory": working_directory(),
            "drivers": list(outpace.drivers.__path__),
            "driver": type(self._driver).__module__,
            "lanes": lanes,
        }
        self._write(worker, meta, self._hello)

    def wait_ready(self) -> None:
        """Wait until every worker is; raise `SetupError` or `WorkerStartError` when one is not."""
        while not all(worker.ready for worker in self._workers.values()):
            self._turn(None)
            if not self._workers:
                msg = "no worker process could be started; what they printed says why"
                raise WorkerStartError(msg)

    # Working.

    def start(self, chunk: Chunk) -> None:
        """Send a chunk to the worker that has the least to do."""
        worker = min(
            (w for w in self._workers.values() if w.ready),
            key=lambda w: w.out.chunks / w.lanes,
            default=None,
        )
        if worker is None:
            self._backlog.append(chunk)
            return
        try:
            with self._by_value:
                packed = pack(chunk.items, by_value=self._by_value.active)
        except Exception as error:  # noqa: BLE001 - pickling runs the user's code
            self._split(worker, chunk, error)
            return
        worker.out.add(chunk)
        self._write(worker, (chunk.first, chunk.attempt), packed)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report or death; return it and all others that are there."""
        if not self._news:
            self._turn(timeout)
        news, self._news = self._news, []
        return news

    def wake(self) -> None:
        """End the current wait."""
        with contextlib.suppress(OSError):
            os.write(self._wake_w, b"w")

    def _split(self, worker: Peer, chunk: Chunk, error: BaseException) -> None:
        """Send the items of a chunk one by one; the one that cannot travel is its own failure."""
        if len(chunk) > 1:
            for index, item in zip(chunk.indexes, chunk.items, strict=True):
                self.start(Chunk(index, [item], chunk.queued, chunk.attempt))
            return
        what = f"the item, a {type(chunk.items[0]).__name__}, cannot be sent to a worker process"
        self._news.append(failures(chunk, untransferable(what, error), worker.number))

    def _turn(self, timeout: float | None) -> None:
        """Wait once, and deal with everything that is there."""
        for key, events in self._selector.select(timeout):
            if isinstance(key.data, Peer):
                if events & selectors.EVENT_WRITE:
                    self._flush(key.data)
                if events & selectors.EVENT_READ and not self._read(key.data):
                    self._hang_up(key.data)
            elif key.fd == self._wake_r:
                os.read(self._wake_r, 4096)
        control = self._launcher.watched()
        for pid, exitcode in self._launcher.deaths().items():
            if (worker := self._workers.get(pid)) is not None:
                self._read(worker)  # what it said before it died
                self._bury(worker, exitcode)
        if control is not None and self._launcher.watched() is None:
            self._selector.unregister(control)

    def _read(self, worker: Peer) -> bool:
        """Take in what a worker has said; say whether it may say more."""
        try:
            while (message := worker.channel.receive()) is not None:
                self._hear(worker, message)
        except EOFError:
            return False
        return True

    def _hear(self, worker: Peer, message: Message) -> None:
        """Take in one message."""
        match message.meta:
            case ("report", *columns):
                self._news.append(worker.report(columns, message.payload))
            case ("ready", there):
                worker.is_ready(there)
                while self._backlog:
                    self.start(self._backlog.popleft())
            case ("unreadable", first, text):
                self._resend(worker, first, message.payload.load(), text)
            case ("failed", in_setup, text, trace) if not self._closed:
                raise worker.start_error(message.payload, text, trace, in_setup=in_setup)
            case ("bye", cpu_s, peak, error):
                worker.said_bye = True
                self.usage.cpu_s += cpu_s
                self.usage.peak_bytes += peak
                if error:
                    self._exit_error = Packed(error, []).load()
            case _:
                pass  # a worker that failed to start while all are being closed

    def _resend(self, worker: Peer, first: int, error: BaseException, text: str) -> None:
        """Deal with a chunk that the worker could not read: find the item that it is."""
        chunk = worker.out.take_chunk(first)
        if len(chunk) > 1:
            self._split(worker, chunk, error)
            return
        failure = untransferable("the item cannot be read in a worker process", error, text)
        self._news.append(failures(chunk, failure, worker.number))

    # Writing, with what the socket does not take at once waiting for the selector.

    def _write(self, worker: Peer, meta: object, payload: Packed) -> None:
        """Send a message, now or as soon as the worker reads."""
        try:
            done = worker.channel.send(meta, payload)
        except OSError:
            return  # it is dead; its death will be reported
        if not done:
            self._selector.modify(
                worker.channel, selectors.EVENT_READ | selectors.EVENT_WRITE, worker
            )

    def _flush(self, worker: Peer) -> None:
        """Send more of what waits."""
        with contextlib.suppress(OSError):
            if worker.channel.flush():
                self._selector.modify(worker.channel, selectors.EVENT_READ, worker)

    # Dying.

    def _hang_up(self, worker: Peer) -> None:
        """Deal with a socket that has ended: the process is dead, or about to be."""
        if not worker.said_bye:
            kill_group(worker.pid)
        exitcode = self._launcher.wait_death(worker.pid, EXIT_GRACE)
        if exitcode is None:
            kill_group(worker.pid)
            exitcode = self._launcher.wait_death(worker.pid, EXIT_GRACE)
        self._bury(worker, exitcode)

    def _bury(self, worker: Peer, exitcode: int | None) -> None:
        """Account for what a dead worker had, and replace it."""
        del self._workers[worker.pid]
        self._selector.unregister(worker.channel)
        worker.channel.close()
        if self._closed or worker.said_bye:
            return
        chunks = worker.out.drain()
        # A worker with one lane runs chunks in turn: only the first can have been begun.
        begun = chunks if self._driver.overlaps else chunks[:1]
        self._news.extend(lost(chunk, exitcode, worker.number) for chunk in begun)
        self._news.extend(Returned(chunk.indexes) for chunk in chunks[len(begun) :])
        self._replace(worker)

    def _replace(self, dead: Peer) -> None:
        """Start a worker in the place of a dead one, unless too many have died."""
        if not dead.ready and not dead.out.chunks and not self._news:
            self._crashes_left -= CRASHES  # it died before it did anything: it will again
        self._crashes_left -= 1
        if self._crashes_left >= 0:
            self.launch([(dead.number, dead.lanes)])
        elif not self._workers:
            msg = "the worker processes keep dying, so no more are started"
            while self._backlog:
                gone = Failure(WorkerLostError(msg), "lost")
                self._news.append(failures(self._backlog.popleft(), gone, dead.number))
            raise WorkerStartError(msg)

    # Ending.

    def close(self) -> None:
        """Let idle workers close their setups; make busy ones stop; leave nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._say_goodbye()
        finally:
            for worker in self._workers.values():
                kill_group(worker.pid)
                worker.channel.close()
            self._workers.clear()
            self._launcher.close()
            self._selector.close()
            os.close(self._wake_r)
            os.close(self._wake_w)
        if self._exit_error is not None:
            raise self._exit_error

    def _say_goodbye(self) -> None:
        """Tell every worker that it is over; wait for the idle ones, kill the busy ones."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                worker.channel.sock.shutdown(socket.SHUT_WR)
            if worker.is_busy:
                kill_group(worker.pid, signal.SIGTERM)
        until = time.perf_counter() + GRACE
        while self._workers:
            busy = [w for w in self._workers.values() if w.is_busy]
            self._turn(max(0.0, until - time.perf_counter()) if busy else None)
            if time.perf_counter() >= until:
                for worker in busy:
                    kill_group(worker.pid)


host = Processes()
