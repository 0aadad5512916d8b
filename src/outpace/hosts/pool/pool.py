"""Who gets what, who is suspect, who is replaced, and how it all ends: the pool, which only decides.

    start    a chunk goes to the worker with the least to do, or waits for one
    told     a worker says something, or its transport says something of it
    tick     time has passed: who is late, who does not end
    close    idle workers go in peace, busy ones are made to

Guarantees: every item that was started is reported or returned exactly once; a worker that dies is
replaced as often as `restart` allows, only the item that is to blame is lost (`crash.blame`) and
everything else that it had goes back; an item that takes longer than its timeout costs its worker and
nobody else (`timeouts`); a worker that has had its share of items or memory is replaced between items;
`close` comes to an end whatever the workers do (`shutdown`). In what state a worker is, and what may
happen to it there, is in `state`.

Pure: no clock, no socket, no process. Time is an argument, and the rest is the transport's. Tested in
virtual time by `tests/hosts/test_pool.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from outpace.errors import SetupError, UsageError, WorkerStartError
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.protocol import Care, Usage
from outpace.hosts.channel.codec import untransferable
from outpace.hosts.channel.messages import (
    Bye,
    Cancel,
    Died,
    Done,
    Event,
    Failed,
    Lost,
    Ready,
    Refused,
    Unreadable,
    Unsendable,
    Work,
)
from outpace.hosts.crash.exits import CUT_OFF, KILL, describe_exit
from outpace.hosts.pool.restart import RestartPolicy
from outpace.hosts.pool.settle import Inquest
from outpace.hosts.pool.shutdown import Shutdown, Stage
from outpace.hosts.pool.state import Happened, Impossible, Phase
from outpace.hosts.pool.timeouts import Timeouts
from outpace.hosts.pool.transport import Link, Place, Transport
from outpace.hosts.pool.worker import Worker, failures

DYING = 0.3  # seconds between the end of the connection of a worker that dies and its own
GONE = 10.0  # seconds from the killing of a worker to its death: some hang in the kernel, and never die
LAST_WORD = 1.0  # seconds from a worker's last word to its end: for what it does at exit
OF_WORKER = (Died, Lost, Refused)  # said by the transport, and not by the worker
AT_WORK = (Phase.READY, Phase.RETIRING)


@dataclass(slots=True, frozen=True)
class Patience:
    """How long is waited for an item, for a coroutine to unwind, for a setup to open; None: for ever."""

    timeout: float | None = None
    grace: float = 0.0
    setup: float | None = None


class Pool:
    """The workers of a run, and what is out to each."""

    def __init__(self, transport: Transport, care: Care, patience: Patience) -> None:
        """Have none yet: `open` starts them."""
        self.usage = Usage()
        self._transport = transport
        self._care = care
        self._patience = patience
        # The mutable state: the places and workers, what waits for one, what is known but not yet said.
        self._places: dict[int, Place] = {}
        self._workers: dict[Link, Worker] = {}
        self._backlog: deque[Chunk] = deque()
        self._news: list[Report | Returned] = []
        self._due: dict[Worker, float] = {}  # when those are to be ready, or dead, at last
        self._now = 0.0
        self._numbers = 0  # those of places are below; whoever tries suspects has one from there on
        self._restarts = RestartPolicy(care.max_crashes)
        self._timeouts: Timeouts | None = None
        self._inquest = Inquest(0, patience.timeout)
        self._shutdown: Shutdown | None = None
        self._exit_error: BaseException | None = None
        self.is_open = False  # every worker that it was opened with has become ready

    def open(self, places: list[Place], now: float) -> None:
        """Have a worker started in each place."""
        self._now = now
        self._inquest = Inquest(len(places), self._patience.timeout)
        self._settle_places(places)
        self._launch(places)

    @property
    def slots(self) -> int:
        """Say how many items can run at once, where every place has its worker."""
        return sum(place.lanes for place in self._places.values())

    @property
    def has_news(self) -> bool:
        """Say whether there is anything to be taken."""
        return bool(self._news)

    def take_news(self) -> list[Report | Returned]:
        """Return what has been reported and returned since the last call."""
        news, self._news = self._news, []
        return news

    def running(self) -> Iterator[tuple[int, int, float]]:
        """Yield, for every item that runs now, its worker, its index, and since when."""
        for link, worker in self._workers.items():
            for index, since in link.running():
                yield worker.place.number, index, since

    def links(self) -> Collection[Link]:
        """Return the links to all workers that have not died."""
        return self._workers.keys()

    # Working.

    def start(self, chunk: Chunk, now: float) -> None:
        """Send a chunk to the worker that has the least to do."""
        self._now = now
        able = [worker for worker in self._workers.values() if worker.takes_work]
        worker = min(able, key=Worker.load, default=None)
        if worker is None or (worker.load() >= 1 and self._another_is_coming()):
            self._backlog.append(chunk)
            return
        if (most := self._care.max_items) is not None and len(chunk) > most - worker.sent:
            part, rest = chunk.split(most - worker.sent)  # two: this one is the dispatcher's, too
            self._send(worker, part)
            self.start(rest, now)
            return
        self._send(worker, chunk)

    def resize(self, places: list[Place], now: float) -> None:
        """Have these places from now on: new ones get a worker, those that are gone lose theirs.

        Nothing is interrupted: a worker that is not needed any more ends after what it has.
        """
        self._now = now
        new = [place for place in places if self._places.get(place.number) != place]
        self._settle_places(places)
        for worker in self._ordinary():
            if (
                not worker.state.is_retired
                and self._places.get(worker.place.number) != worker.place
            ):
                worker.state.happened(Happened.RETIRED)
                self._advance(worker)
        self._launch(new)
        self._hand_out()

    def _settle_places(self, places: list[Place]) -> None:
        """Note which places there are."""
        self._places = {place.number: place for place in places}
        self._numbers = max(self._numbers, *(number + 1 for number in self._places), 0)

    def _ordinary(self) -> list[Worker]:
        """Return the workers that are not there for suspects."""
        return [worker for worker in self._workers.values() if worker.suspects is None]

    def _another_is_coming(self) -> bool:
        """Say whether a worker is starting that will take work."""
        return any(worker.is_starting for worker in self._workers.values())

    def _launch(self, places: list[Place], suspects: deque[Chunk] | None = None) -> None:
        """Have workers started. With `suspects`, for these, each alone, and for nothing else."""
        if not places:
            return
        for place, link in zip(places, self._transport.launch(places), strict=True):
            self._workers[link] = worker = Worker(place, link, suspects)
            if self._patience.setup is not None:
                self._due[worker] = self._now + self._patience.setup

    def _send(self, worker: Worker, chunk: Chunk) -> None:
        """Send a chunk to a worker."""
        try:
            worker.link.send(Work(chunk))
        except Unsendable as error:
            self._split(worker, chunk, error.why)
            return
        worker.out.add(chunk)
        worker.sent += len(chunk)
        if worker.suspects is None and worker.sent >= (self._care.max_items or worker.sent + 1):
            self._retire(worker)

    def _split(self, worker: Worker, chunk: Chunk, error: BaseException) -> None:
        """Send the items of a chunk one by one; the one that cannot travel is its own failure."""
        if len(chunk) > 1:
            for index, item in zip(chunk.indexes, chunk.items, strict=True):
                self.start(Chunk(index, [item], chunk.queued, chunk.attempt), self._now)
            return
        what = f"the item, a {type(chunk.items[0]).__name__}, cannot be sent to a worker process"
        failure = untransferable(what, error)
        self._news.append(failures(chunk, failure, worker.place.number, self._now))

    def _hand_out(self) -> None:
        """Give out what waits for a worker."""
        for _ in range(len(self._backlog)):
            self.start(self._backlog.popleft(), self._now)

    # Hearing.

    def told(self, link: Link, event: Event, now: float) -> None:
        """Take in what a worker says, or what its transport says of it."""
        self._now = now
        worker = self._workers.get(link)
        if worker is None:
            return  # it is dead, and settled
        try:
            if isinstance(event, OF_WORKER):
                self._learn(worker, event)
            else:
                worker.heard = now
                self._hear(worker, event)
        except Impossible:
            worker.is_cut_off = True
            link.kill("it makes no sense")

    def _hear(self, worker: Worker, event: Event) -> None:
        """Take in what a worker says."""
        match event:
            case Done(report, weight):
                worker.weight = weight
                self._has_ended(worker, report)
            case Returned(indexes):
                worker.out.take_chunk(indexes[0])
                worker.sent -= len(indexes)
                self._news.append(event)
            case Ready(_, weight):
                worker.weight = weight
                self._is_ready(worker)
            case Unreadable(first, error, text):
                if self._shutdown is None:
                    self._resend(worker, first, error, text)
            case Failed():
                if self._shutdown is None:
                    raise worker.start_error(event)
            case Bye(cpu_s, peak_bytes, failed):
                worker.state.happened(Happened.SAID_BYE)
                self.usage.add(cpu_s, peak_bytes)
                self._exit_error = self._exit_error or failed
            case _:
                return  # an answer to a question, or what items print, which somebody else repeats
        self._advance(worker)

    def _has_ended(self, worker: Worker, report: Report) -> None:
        """Take in items that have ended."""
        report.worker = worker.place.number
        worker.out.match(report.indexes)
        if worker.late:
            self._inquest.too_late(worker, report)
        if len(report.failures) < len(report):
            self._restarts.something_ended_well()
        self._news.append(report)
        if self._backlog and worker.load() < 1:
            self._hand_out()

    def _is_ready(self, worker: Worker) -> None:
        """Note that a worker is ready, and give it what waits."""
        worker.state.happened(Happened.READY)
        self._due.pop(worker, None)
        if self._shutdown is not None:
            return
        self._restarts.somebody_is_ready()
        most = self._care.max_memory
        if most is not None and worker.weight > most:
            msg = (
                f"a fresh worker process takes {worker.weight / 1e6:.0f} MB already, with its imports "
                f"and its setup; a max_memory of {most / 1e6:.0f} MB cannot be kept"
            )
            raise UsageError(msg)
        if not self.is_open and not self._another_is_coming():
            self.is_open = True
            if (timeout := self._patience.timeout) is not None and self._transport.traits.can_kill:
                self._timeouts = Timeouts(timeout, self._patience.grace, self._now)
        self._hand_out()

    def _resend(self, worker: Worker, first: int, error: BaseException, text: str) -> None:
        """Deal with a chunk that the worker could not read: find the item that it is."""
        chunk = worker.out.take_chunk(first)
        if len(chunk) > 1:
            self._split(worker, chunk, error)
            return
        failure = untransferable("the item cannot be read in a worker process", error, text)
        self._news.append(failures(chunk, failure, worker.place.number, self._now))

    def _advance(self, worker: Worker) -> None:
        """Do what is next with a worker: another suspect, or its end."""
        state = worker.state
        if self._shutdown is not None or state.phase not in (*AT_WORK, Phase.STARTING):
            return
        if worker.takes_work and worker.weight > (self._care.max_memory or worker.weight):
            self._retire(worker)
        if worker.suspects is not None and state.phase is Phase.READY:
            while worker.suspects and not worker.out.chunks:
                self._send(worker, worker.suspects.popleft())
            if not worker.out.chunks:  # whoever else becomes a suspect needs another
                state.happened(Happened.RETIRED)
        if state.phase is Phase.RETIRING and not worker.out.chunks:
            worker.dismiss()

    def _retire(self, worker: Worker) -> None:
        """Let a worker end after what it has; another takes its place at once."""
        worker.state.happened(Happened.RETIRED)
        self._launch([worker.place])

    # Dying.

    def _learn(self, worker: Worker, event: Died | Lost | Refused) -> None:
        """Take in what is said of a worker."""
        match event:
            case Died():
                self._bury(worker, event)
            case Lost():
                worker.state.happened(Happened.LOST)
                said_bye = worker.state.phase is Phase.DONE
                self._due[worker] = self._now + (LAST_WORD if said_bye else DYING)
            case Refused(error):
                self._forget(worker)
                if self._shutdown is None:
                    raise error

    def _bury(self, worker: Worker, death: Died) -> None:
        """Account for what a dead worker had, and replace it."""
        state, exitcode = worker.state, death.exitcode
        said_bye, was_severed = state.phase is Phase.DONE, state.phase is Phase.SEVERED
        worker.is_cut_off = (
            exitcode == CUT_OFF
            or (was_severed and exitcode is None)
            # Killed by us for it, it seems; else it was dying after all.
            or (worker.is_cut_off and exitcode in (None, -KILL))
        )
        del self._workers[worker.link]
        self._due.pop(worker, None)
        state.happened(Happened.DIED)
        try:
            if self._shutdown is not None or (said_bye and not worker.out.chunks):
                return
            found = self._inquest.hold(worker, death, self._now)
        finally:
            worker.link.close()
        self._news += found.news
        self._replace(worker, death)
        self._try_alone(found.suspects)
        self._hand_out()

    def _forget(self, worker: Worker) -> None:
        """Let go of a worker of which nothing more is expected."""
        del self._workers[worker.link]
        self._due.pop(worker, None)
        worker.link.close()

    def _replace(self, dead: Worker, death: Died) -> None:
        """Start a worker in the place of a dead one, unless it is to be without."""
        place, was_ready = dead.place, dead.state.was_ready
        if dead.suspects is not None and was_ready:
            return  # it was there for suspects, and they are seen to
        again = dead.was_killed or self._restarts.died(
            place.number, death.exitcode, ready=was_ready
        )
        if dead.suspects is None and not dead.state.is_retired:
            if again:
                self._launch([place])
                return
            self._places.pop(place.number, None)
        if not self._ordinary():
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
            apart = [
                (len(worker.suspects) + worker.out.chunks, worker.suspects)
                for worker in self._workers.values()
                if worker.suspects is not None
                and worker.state.phase in (Phase.STARTING, Phase.READY)
            ]
            load, line = min(apart, key=lambda one: one[0], default=(0, None))
            if line is None or (load and len(apart) < len(self._places)):
                self._launch([Place(self._numbers + len(apart), 1)], deque([suspect]))
            else:
                line.append(suspect)

    def cancel(self, number: int, index: int, now: float) -> None:
        """Put an end to an item whose time is up: with its worker, or by asking that."""
        self._now = now
        for worker in self._workers.values():
            since = None
            if worker.place.number == number:
                since = dict(worker.link.running()).get(index)
            if since is None:
                continue
            if self._timeouts is not None:
                self._timeouts.late(worker, index, since, now)
            elif not self._transport.traits.can_kill:
                worker.link.send(Cancel(index))

    # Waiting.

    def due(self) -> float | None:
        """Return when to call `tick` at the latest, None for never."""
        due = min(self._due.values()) if self._due else None
        also = self._timeouts.look_at if self._timeouts is not None else None
        if self._shutdown is not None:
            also = self._shutdown.due
        return due if also is None else also if due is None else min(due, also)

    def tick(self, now: float) -> None:
        """Do what is due; raise `SetupError` for a setup that does not open."""
        self._now = now
        if self._due:
            for worker in [worker for worker, due in self._due.items() if due <= now]:
                self._is_due(worker)
        if self._shutdown is not None:
            self._shutdown.look(list(self._workers.values()), now)
        elif self._timeouts is not None and self._timeouts.look_at <= now:
            self._timeouts.look(list(self._workers.values()), now)
            for worker in self._workers.values():
                if worker.state.is_killed and worker not in self._due:
                    self._due[worker] = now + GONE

    def _is_due(self, worker: Worker) -> None:
        """Deal with a worker that is still not ready, or still has not died."""
        if worker.state.is_killed:
            self._bury(worker, Died())  # nobody can see how, or whether
        elif worker.state.phase not in (Phase.SEVERED, Phase.DONE):
            del self._due[worker]
            if self._shutdown is None:
                msg = f"setup has not opened within {self._patience.setup:g} s in a worker process"
                raise SetupError(msg)
        elif not worker.is_cut_off:
            worker.is_cut_off = True
            worker.link.kill("nothing more is heard of it")
            self._due[worker] = self._now + LAST_WORD
        else:
            self._bury(worker, Died())

    # Ending.

    def close(self, now: float, *, hurry: bool) -> None:
        """Let idle workers close their setups, and make busy ones stop; `is_over` says when."""
        self._now = now
        if self._shutdown is None:
            self._backlog.clear()
            self._shutdown = Shutdown(list(self._workers.values()), now, hurry=hurry)

    @property
    def is_over(self) -> bool:
        """Say whether nobody is left who is to be waited for."""
        return self._shutdown is not None and self._shutdown.stage is Stage.OVER

    @property
    def exit_error(self) -> BaseException | None:
        """Return what has gone wrong at the exits of setups, if anything."""
        return self._exit_error or (None if self._shutdown is None else self._shutdown.error)

    def let_go(self, *, kill: bool) -> None:
        """Let go of every worker, dead or alive; in a fork without a word to them."""
        for link in self._workers if kill else ():
            link.kill("all is over")
            link.close()
        self._workers.clear()
        self._due.clear()
