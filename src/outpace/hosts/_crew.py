"""The worker processes of a run: who gets what, what they say, and what becomes of them.

No manager thread, no queue or lock shared between workers: one thread here listens to reports and
deaths alike.

Guarantees: it is ready when every worker has opened its setup; a worker that dies is noticed at once
and replaced (`_places`), only the item that is to blame is lost (`_blame`), and everything else that
it had goes back; an item that takes longer than its timeout costs its worker and nobody else
(`_deadlines`); a worker that has had its share of items or memory is replaced between items; after
`close` no process, descriptor or shared memory is left (`_goodbye`). Tested by
`tests/hosts/test_processes.py` and over every model by `tests/conformance`.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from outpace.drivers._late import GRACE, setup_patience
from outpace.drivers._setup import needs_loop
from outpace.errors import SetupError, UsageError, WorkerStartError
from outpace.flow.board import Shape
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.forks import in_a_fork
from outpace.flow.protocol import Call, Care, Driver, Usage
from outpace.flow.signals import undisturbed
from outpace.hosts._deadlines import Deadlines
from outpace.hosts._goodbye import say_goodbye
from outpace.hosts._group import CUT_OFF, KILL, Process, describe_exit
from outpace.hosts._inquest import Inquest
from outpace.hosts._launch import Death, Launched, Launcher, launcher
from outpace.hosts._peer import Peer, failures
from outpace.hosts._places import Places
from outpace.hosts._shared import Shared, launch_sharing
from outpace.hosts.channel.by_value import by_value
from outpace.hosts.channel.codec import Message, decode, encode, untransferable
from outpace.hosts.channel.framing import Channel, Packed
from outpace.hosts.channel.handshake import needed, pack_call, surroundings
from outpace.hosts.channel.messages import (
    Bye,
    Done,
    Failed,
    Hello,
    Logged,
    Printed,
    Ready,
    Unreadable,
    Unsendable,
    Warned,
    Work,
)
from outpace.hosts.channel.selector import Ear
from outpace.hosts.channel.stdio import Relay

DYING = 0.3  # seconds between the end of the socket of a process that dies and its own
LAST_WORD = 1.0  # seconds from a worker's last word to its end: for what it does at exit

clock = time.perf_counter


class Crew:
    """Be the worker processes, and what is out to each."""

    def __init__(self, call: Call, driver: Driver, slots: int, workers: int, care: Care) -> None:
        """Have none yet: `launch` starts them, and `wait_ready` waits until they are."""
        self.slots = slots
        self.usage = Usage()
        self._call = call
        self._driver = driver
        self._care = care
        self._by_value = by_value(call)
        self._hello = pack_call(call, self._by_value)
        self._imports = needed(call, driver)
        self._ear = Ear()
        try:
            self._launcher: Launcher = launcher(self._imports)
        except BaseException:
            self._ear.close()
            raise
        # The mutable state: the workers, what waits for one, and what is known but not yet said.
        self._workers: dict[int, Peer] = {}
        self._backlog: deque[Chunk] = deque()
        self._news: list[Report | Returned] = []
        self._deadlines: Deadlines | None = None
        self._places = Places(care.max_crashes)
        self._count = workers
        self._inquest = Inquest(workers, call.timeout)
        self._relay = Relay()
        self._exit_error: BaseException | None = None
        self._closed = self._hurry = False
        in_a_fork(self, Crew._disown)

    def launch(self, places: list[tuple[int, int]], suspects: deque[Chunk] | None = None) -> None:
        """Start a worker for each (number, lanes), and say hello to it.

        With `suspects` it is one for these, each alone, and for nothing else.
        """
        shapes = [Shape.of(lanes, scattered=self._driver.scattered) for _, lanes in places]
        processes = launch_sharing(self._launcher, shapes)
        self._ear.watch(self._launcher.watched())
        for (process, memory), (number, lanes) in zip(processes, places, strict=True):
            self._greet(process, number, lanes, memory).suspects = suspects

    def _greet(self, launched: Launched, number: int, lanes: int, shared: Shared) -> Peer:
        """Tell a new worker what to be."""
        launched.sock.setblocking(False)  # noqa: FBT003 - its only form
        worker = Peer(number, lanes, Process(launched.pid), Channel(launched.sock), shared)
        self._workers[worker.pid] = worker
        self._ear.add(worker.channel, worker)
        meta = surroundings(self._imports, lanes, shared, weigh=self._care.max_memory is not None)
        self._write(worker, encode(Hello(meta, self._hello)))
        return worker

    def wait_ready(self) -> None:
        """Wait until every worker is; raise `SetupError` or `WorkerStartError` when one is not."""
        patience = setup_patience(self._call)
        until = None if patience is None else clock() + patience
        while not all(worker.ready for worker in self._workers.values()):
            self._turn(None if until is None else max(0.0, until - clock()))
            if until is not None and clock() >= until:
                msg = f"setup has not opened within {patience:g} s in a worker process"
                raise SetupError(msg)
        if self._call.timeout is not None:
            loops = self._driver.scattered or needs_loop(self._call)
            self._deadlines = Deadlines(self._call.timeout, GRACE if loops else 0.0, clock())

    # Working.

    @undisturbed
    def start(self, chunk: Chunk) -> None:
        """Send a chunk to the worker that has the least to do."""
        able = [worker for worker in self._workers.values() if worker.takes_work]
        worker = min(able, key=lambda w: w.out.chunks / w.lanes, default=None)
        another_is_coming = not all(w.ready for w in self._workers.values() if w.suspects is None)
        if worker is None or (another_is_coming and worker.out.chunks >= worker.lanes):
            self._backlog.append(chunk)
            return
        if (most := self._care.max_items) is not None and len(chunk) > most - worker.sent:
            part, rest = chunk.split(most - worker.sent)  # two: this one is the dispatcher's, too
            self._send(worker, part)
            self.start(rest)
            return
        self._send(worker, chunk)

    @undisturbed
    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report or death; return it and all others that are there."""
        if not self._news:
            self._turn(timeout)
        news, self._news = self._news, []
        return news

    def wake(self) -> None:
        """End the current wait."""
        self._ear.wake()

    def running(self) -> Iterator[tuple[int, int, float]]:
        """Yield, for every item that runs now, its worker, its index, and since when."""
        for worker in self._workers.values():
            for index, since in worker.running():
                yield worker.number, index, since

    def processes(self) -> list[int]:
        """List the workers' processes, for whoever looks at them from outside."""
        return list(self._workers)

    def _send(self, worker: Peer, chunk: Chunk) -> None:
        """Send a chunk to a worker."""
        try:
            frame = encode(Work(chunk), self._by_value)
        except Unsendable as error:
            self._split(worker, chunk, error.why)
            return
        worker.out.add(chunk)
        worker.sent += len(chunk)
        self._write(worker, frame)
        if worker.suspects is None and worker.sent >= (self._care.max_items or worker.sent + 1):
            self._retire(worker)

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
        for worker, reading, room in self._ear.listen(self._patience(timeout)):
            if worker is None:
                continue  # the launcher: see below
            if room:
                self._flush(worker)
            if reading and not self._read(worker):
                self._hang_up(worker)
        deaths = self._launcher.deaths()
        self._ear.watch(self._launcher.watched())
        for pid, death in deaths.items():
            if (worker := self._workers.get(pid)) is not None:
                self._read(worker)  # what it said before it died
                self._bury(worker, death)
        if self._deadlines is not None and self._deadlines.look_at <= (now := clock()):
            self._deadlines.look(self._workers.values(), now)

    def _patience(self, timeout: float | None) -> float | None:
        """Return how long to listen before something could be late."""
        if self._deadlines is None:
            return timeout
        look = max(0.0, self._deadlines.look_at - clock())
        return look if timeout is None else min(look, timeout)

    def _read(self, worker: Peer) -> bool:
        """Take in what a worker has said; say whether it may say more."""
        try:
            while (frame := worker.channel.receive()) is not None:
                self._hear(worker, decode(frame))
        except EOFError:
            return False
        return True

    def _hear(self, worker: Peer, message: Message) -> None:  # noqa: C901 - a table
        """Take in one message."""
        worker.heard = clock()
        match message:
            case Done():
                report = worker.report(message)
                if worker.late:
                    self._inquest.too_late(worker, report)
                if len(report.failures) < len(report):
                    self._places.something_ended_well()
                self._news.append(report)
            case Returned(indexes):
                worker.out.take_chunk(indexes[0])
                worker.sent -= len(indexes)
                self._news.append(message)
            case Ready(there, weight):
                self._is_ready(worker, there, weight)
            case Unreadable(first, error, text):
                self._resend(worker, first, error, text)
            case Failed():
                if not self._closed:
                    raise worker.start_error(message)
                return
            case Bye(cpu_s, peak, failed):
                worker.said_bye = True
                self.usage.add(cpu_s, peak)
                self._exit_error = self._exit_error or failed
                return
            case Printed() | Logged() | Warned():
                self._relay.say_again(message)
                return
            case _:
                return
        self._advance(worker)

    def _is_ready(self, worker: Peer, there: float, weight: int) -> None:
        """Note that a worker is ready, and give it what waits."""
        worker.is_ready(there, weight)
        self._places.somebody_is_ready()
        most = self._care.max_memory
        if most is not None and weight > most:
            msg = (
                f"a fresh worker process takes {weight / 1e6:.0f} MB already, with its imports and its "
                f"setup; a max_memory of {most / 1e6:.0f} MB cannot be kept"
            )
            raise UsageError(msg)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give out what waits for a worker."""
        for _ in range(len(self._backlog)):
            self.start(self._backlog.popleft())

    def _advance(self, worker: Peer) -> None:
        """Do what is next with a worker that has said something: another suspect, or its end."""
        if not worker.ready or self._closed:
            return
        if worker.takes_work and worker.weight > (self._care.max_memory or worker.weight):
            self._retire(worker)
        while worker.suspects and not worker.out.chunks:
            self._send(worker, worker.suspects.popleft())
        if worker.suspects is not None and not worker.out.chunks:
            worker.retiring = True  # whoever else becomes a suspect needs another
        if worker.retiring and not worker.out.chunks:
            with contextlib.suppress(OSError):
                worker.channel.sock.shutdown(socket.SHUT_WR)

    def _retire(self, worker: Peer) -> None:
        """Let a worker end after what it has; another takes its place at once."""
        worker.retiring = True
        self.launch([(worker.number, worker.lanes)])

    def _resend(self, worker: Peer, first: int, error: BaseException, text: str) -> None:
        """Deal with a chunk that the worker could not read: find the item that it is."""
        chunk = worker.out.take_chunk(first)
        if len(chunk) > 1:
            self._split(worker, chunk, error)
            return
        failure = untransferable("the item cannot be read in a worker process", error, text)
        self._news.append(failures(chunk, failure, worker.number))

    # Writing, with what the socket does not take at once waiting for the selector.

    def _write(self, worker: Peer, frame: tuple[object, Packed]) -> None:
        """Send a message, now or as soon as the worker reads."""
        with contextlib.suppress(OSError):  # it is dead; its death will be reported
            if not worker.channel.send(*frame):
                self._ear.expect_room(worker.channel, worker, expected=True)

    def _flush(self, worker: Peer) -> None:
        """Send more of what waits."""
        done = True  # also if it is dead, or told that it is over
        with contextlib.suppress(OSError):
            done = worker.channel.flush()
        if done:
            self._ear.expect_room(worker.channel, worker, expected=False)

    # Dying.

    def _hang_up(self, worker: Peer) -> None:
        """Deal with a socket that has ended, or makes no sense: the process is dead, or about to be."""
        death = self._launcher.wait_death(worker.pid, LAST_WORD if worker.said_bye else DYING)
        if death is None:
            worker.process.kill_group()
            death = self._launcher.wait_death(worker.pid, LAST_WORD) or Death(None)
            # Killed by us, it seems; else it was dying after all.
            worker.cut_off = death.exitcode in (None, -KILL) and not worker.said_bye
        self._bury(worker, death)

    def _bury(self, worker: Peer, death: Death) -> None:
        """Account for what a dead worker had, and replace it."""
        del self._workers[worker.pid]
        worker.cut_off = worker.cut_off or death.exitcode == CUT_OFF
        self._ear.remove(worker.channel)
        worker.channel.close()
        worker.process.close()
        try:
            if self._closed or worker.said_bye:
                return
            found = self._inquest.hold(worker, death)
        finally:
            worker.shared.close()
        self._news += found.news
        self._replace(worker, death)
        self._try_alone(found.suspects)

    def _replace(self, dead: Peer, death: Death) -> None:
        """Start a worker in the place of a dead one, unless it is to be without."""
        if dead.suspects is not None and dead.ready:
            return  # it was there for suspects, and they are seen to
        again = dead.was_killed or self._places.died(dead.number, death.exitcode, ready=dead.ready)
        if again and not dead.retiring and dead.suspects is None:
            self.launch([(dead.number, dead.lanes)])
        elif not any(worker.suspects is None for worker in self._workers.values()):
            msg = (
                "the last of the worker processes has died, as often as max_crashes= allows: "
                f"it {describe_exit(death.exitcode)}"
            )
            raise WorkerStartError(msg)

    def _try_alone(self, suspects: list[Chunk]) -> None:
        """Run each of these again with nothing beside it, in workers of their own.

        The others go on meanwhile; there are at most as many such workers as there are others.
        """
        for suspect in suspects:
            everybody = self._workers.values()
            apart = [w for w in everybody if w.suspects is not None and not w.retiring]
            idlest = min(apart, key=lambda w: len(w.suspects or ()) + w.out.chunks, default=None)
            load = 0 if idlest is None else len(idlest.suspects or ()) + idlest.out.chunks
            if idlest is None or (load and len(apart) < self._count):
                self.launch([(self._count + len(apart), 1)], deque([suspect]))
            elif idlest.suspects is not None:
                idlest.suspects.append(suspect)

    # Ending.

    def interrupt(self) -> None:
        """Have `close` wait for nobody for long."""
        self._hurry = True

    @undisturbed
    def close(self) -> None:
        """Let idle workers close their setups; make busy ones stop; leave nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            late = say_goodbye(self._workers, self._turn, hurry=self._hurry)
            self._exit_error = self._exit_error or late
        finally:
            for worker in self._workers.values():
                worker.process.kill_group()
            self._let_go(self._launcher.close, self._ear.close)
        if self._exit_error is not None:
            raise self._exit_error

    def _disown(self) -> None:
        """Let go of everything, in a fork of the caller: the workers are not its to end."""
        self._closed = True
        self._let_go(self._launcher.disown, self._ear.disown)

    def _let_go(self, of_launcher: Callable[[], None], of_ear: Callable[[], None]) -> None:
        """Close all that is ours."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        of_launcher()
        of_ear()
