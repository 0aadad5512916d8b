"""The worker processes of a run: who gets what, what they say, and what becomes of them.

No manager thread, no queue or lock shared between workers: one thread here listens to reports and
deaths alike.

Guarantees: it is ready when every worker has opened its setup; a worker that dies is reported at
once, its running chunk as lost, what it had not begun as returned, and it is replaced, up to
`CRASHES` times a worker; after `close` no process or descriptor is left. Idle workers close their
setups in peace; one that is still busy gets `GRACE` seconds to unwind before it is killed.
Tested by `tests/hosts/test_processes.py` and over every model by `tests/conformance`.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections import deque
from collections.abc import Sequence

from outpace.errors import WorkerLostError, WorkerStartError
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.protocol import Call, Driver, Usage
from outpace.hosts._ear import Ear
from outpace.hosts._group import describe_exit, kill_group
from outpace.hosts._hello import pack_call, surroundings
from outpace.hosts._launch import Launched, Launcher, launcher
from outpace.hosts._peer import (
    Peer,
    failures,
    load_error,
    lost,
    untransferable,
)
from outpace.hosts._value import by_value
from outpace.hosts._wire import Channel, Message, Packed, pack

CRASHES = 5  # replacements per worker; arbitrary: enough for a few bad items, an end for a loop
EXIT_GRACE = 1.0  # seconds from a worker's last word to its end: for what it does at exit
GRACE = 0.25  # seconds that a busy worker has to unwind when the run is closed half-way


class Crew:
    """Be the worker processes, and what is out to each."""

    def __init__(self, call: Call, driver: Driver, slots: int, crashes: int) -> None:
        """Have none yet: `launch` starts them, and `wait_ready` waits until they are."""
        self.slots = slots
        self.usage = Usage()
        self._driver = driver
        self._by_value = by_value(call)
        self._hello = pack_call(call, self._by_value)
        # What every worker would import is imported once, before the fork.
        loop = ["asyncio"] if call.is_async else []
        self._ear = Ear()
        try:
            self._launcher: Launcher = launcher([type(driver).__module__, *loop])
        except BaseException:
            self._ear.close()
            raise
        # The mutable state: the workers, what waits for one, and what is known but not yet said.
        self._workers: dict[int, Peer] = {}
        self._backlog: deque[Chunk] = deque()
        self._news: list[Report | Returned] = []
        self._crashes_left = crashes
        self._exit_error: BaseException | None = None
        self._closed = False
        self._watched: socket.socket | None = None

    # Opening.

    def launch(self, places: list[tuple[int, int]]) -> None:
        """Start a worker for each (number, lanes), and say hello to it."""
        launched = self._launcher.launch(len(places))
        self._watch_launcher()
        for one, (number, lanes) in zip(launched, places, strict=True):
            self._greet(one, number, lanes)

    def _watch_launcher(self) -> None:
        """Listen to what tells of deaths now, if anything does."""
        watched = self._launcher.watched()
        if watched is not self._watched:
            if self._watched is not None:
                self._ear.remove(self._watched)
            if watched is not None:
                self._ear.add(watched)
            self._watched = watched

    def _greet(self, launched: Launched, number: int, lanes: int) -> None:
        """Tell a new worker what to be."""
        launched.sock.setblocking(False)  # noqa: FBT003 - its only form
        worker = Peer(number, lanes, launched.pid, Channel(launched.sock))
        self._workers[worker.pid] = worker
        self._ear.add(worker.channel, worker)
        self._write(worker, surroundings(self._driver, lanes), self._hello)

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
        self._write(worker, (chunk.first, chunk.attempt, chunk.divisible), packed)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report or death; return it and all others that are there."""
        if not self._news:
            self._turn(timeout)
        news, self._news = self._news, []
        return news

    def wake(self) -> None:
        """End the current wait."""
        self._ear.wake()

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
        for worker, reading, room in self._ear.listen(timeout):
            if worker is None:
                continue  # the launcher: see below
            if room:
                self._flush(worker)
            if reading and not self._read(worker):
                self._hang_up(worker)
        deaths = self._launcher.deaths()
        self._watch_launcher()
        for pid, exitcode in deaths.items():
            if (worker := self._workers.get(pid)) is not None:
                self._read(worker)  # what it said before it died
                self._bury(worker, exitcode)

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
            case ("returned", indexes):
                worker.out.take_chunk(indexes.start)
                self._news.append(Returned(indexes))
            case ("ready", there):
                worker.is_ready(there)
                while self._backlog:
                    self.start(self._backlog.popleft())
            case ("unreadable", first, text):
                self._resend(worker, first, load_error(message.payload, text), text)
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
            self._ear.expect_room(worker.channel, worker, expected=True)

    def _flush(self, worker: Peer) -> None:
        """Send more of what waits."""
        try:
            done = worker.channel.flush()
        except OSError:
            done = True  # it is dead, or told that it is over
        if done:
            self._ear.expect_room(worker.channel, worker, expected=False)

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
        self._ear.remove(worker.channel)
        worker.channel.close()
        if self._closed or worker.said_bye:
            return
        chunks = worker.out.drain()
        # A worker with one lane runs chunks in turn: only the first can have been begun.
        begun = chunks if self._driver.overlaps else chunks[:1]
        self._news.extend(lost(chunk, exitcode, worker.number) for chunk in begun)
        self._news.extend(Returned(chunk.indexes) for chunk in chunks[len(begun) :])
        self._replace(worker, exitcode)

    def _replace(self, dead: Peer, exitcode: int | None) -> None:
        """Start a worker in the place of a dead one, unless too many have died."""
        if not dead.ready:
            self._crashes_left -= CRASHES  # it died before it did anything: it will again
        self._crashes_left -= 1
        if self._crashes_left >= 0:
            self.launch([(dead.number, dead.lanes)])
        elif not self._workers:
            msg = (
                f"the worker processes keep dying: the last one {describe_exit(exitcode)}; "
                "no more are started"
            )
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
            self._ear.close()
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
