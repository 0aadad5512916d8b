"""Workers in virtual time: a transport of the pool's that starts no process and waits for nothing.

An item is a `Deed`: how long it takes, and how it ends. So a run of many hours with hundreds of deaths
takes a moment, and is the same every time. What a worker's lanes are on stands on a real board.
"""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from outpace.errors import OutpaceError
from outpace.flow.board import Board, Shape
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.deadlines import Deadlines
from outpace.flow.protocol import Care
from outpace.hosts.channel.messages import (
    Bye,
    Died,
    Done,
    Event,
    Locate,
    Lost,
    Over,
    Ping,
    Pong,
    Ready,
    Recall,
    ToWorker,
    Unreadable,
    Unsendable,
    Work,
)
from outpace.hosts.pool.pool import Patience
from outpace.hosts.pool.transport import Place, Traits
from outpace.hosts.pool.workers import PoolWorkers

MOMENT = 1e-6  # seconds: clocks never stand still
NEVER = 1e9


class Deed(NamedTuple):
    """What an item does: it takes so many seconds, and then this happens."""

    seconds: float = 0.01
    end: str = "done"  # or: fails, dies, hangs, severs, stops, unsendable, unreadable

    def __repr__(self) -> str:
        return f"{self.end} after {self.seconds:g} s"


@dataclass
class Habits:
    """What workers do beside their items, in seconds."""

    starts: float = 0.05
    exits: float = 0.01  # what the exit of a setup takes
    recalled: float = NEVER  # from being recalled to the end of whatever it is on
    killed: float = 0.001
    stillborn: set[int] = field(default_factory=set)  # of the workers ever launched, by number
    weight: Callable[[int], int] = lambda _items: 0  # after so many items


class Lane:
    """One lane of a worker: the chunk it is on."""

    def __init__(self) -> None:
        self.chunk: Chunk | None = None
        self.values: list[Any] = []
        self.failures: dict[int, Failure] = {}


class VirtualLink:
    """The way to a worker that does not exist."""

    def __init__(self, world: VirtualTransport, place: Place, serial: int) -> None:
        self.world, self.place, self.serial = world, place, serial
        self.pid: int | None = 1000 + serial
        self.board = Board(Shape.of(place.lanes, scattered=False))
        self.moved = 0
        self.lanes = [Lane() for _ in range(place.lanes)]
        self.queue: deque[Chunk] = deque()
        self.items = 0  # that have ended
        self.is_ready = self.is_over = self.is_stopped = self.is_mute = False
        self.is_alive = True
        self.is_closed = False
        self.heard: list[ToWorker] = []
        self.killed_because: list[str] = []

    def send(self, message: ToWorker) -> None:
        assert not self.is_closed, "the pool speaks to a worker that it has let go of"
        if isinstance(message, Work) and any(d.end == "unsendable" for d in message.chunk.items):
            raise Unsendable(TypeError("cannot be pickled"))
        self.heard.append(message)
        self.moved += 1
        if not self.is_alive or self.is_stopped:
            return
        match message:
            case Work(chunk):
                assert not self.is_over, "the pool gives work to a worker that it has dismissed"
                self.queue.append(chunk)
                self.look()
            case Ping():
                self.say(Pong(), MOMENT)
            case Locate():
                pass
            case Over():
                self.is_over = True
                self.look()
            case Recall():
                self.world.after(self.world.habits.recalled, self.leave)

    def kill(self, why: str) -> None:
        self.killed_because.append(why)
        self.world.after(self.world.habits.killed, lambda: self.die(-9))

    def running(self) -> Iterator[tuple[int, float]]:
        return self.board.running()

    def last_words(self) -> str | None:
        return None

    def close(self) -> None:
        self.is_closed = True

    # The worker itself.

    def say(self, event: Event, later: float = 0.0) -> None:
        if self.is_alive and not self.is_mute:
            self.moved += 1
            self.world.tell(self, event, later)

    def start(self) -> None:
        if not self.is_alive:
            return
        if self.serial in self.world.habits.stillborn:
            self.die(1)
            return
        self.is_ready = True
        self.say(Ready(self.world.now, self.world.habits.weight(0)))
        self.look()

    def look(self) -> None:
        """Give idle lanes what waits; go, if that is all."""
        if not self.is_ready:
            return
        for number, lane in enumerate(self.lanes):
            while lane.chunk is None and self.queue and not self.is_stopped:
                self.begin(number, lane, self.queue.popleft())
        if self.is_over and not self.queue and all(lane.chunk is None for lane in self.lanes):
            self.world.after(self.world.habits.exits, self.leave)

    def begin(self, number: int, lane: Lane, chunk: Chunk) -> None:
        if any(deed.end == "unreadable" for deed in chunk.items):
            self.say(Unreadable(chunk.first, ValueError("cannot be read"), "trace"))
            return
        lane.chunk, lane.values, lane.failures = chunk, [], {}

        def begin() -> None:
            self.board.rows[number].begin(chunk.first, len(chunk), self.world.now)
            self.carry(number, lane, chunk)

        if chunk.items[0].end == "stops":
            self.is_stopped = self.is_mute = True
            return
        self.world.after(MOMENT, begin, of=self)

    def carry(self, number: int, lane: Lane, chunk: Chunk) -> None:
        deed = chunk.items[len(lane.values)]

        def end() -> None:
            if self.is_stopped:
                return
            match deed.end:
                case "dies":
                    self.die(3)
                    return
                case "severs":
                    self.say(Lost())
                    self.is_mute = True
                case "fails":
                    lane.failures[len(lane.values)] = Failure(ValueError("failed"))
            lane.values.append(None if deed.end == "fails" else deed)
            self.items += 1
            self.board.rows[number].times[len(lane.values)] = self.world.now
            if len(lane.values) < len(chunk):
                self.carry(number, lane, chunk)
            else:
                self.report(number, lane, chunk)

        if deed.end != "hangs":
            self.world.after(deed.seconds, end, of=self)

    def report(self, number: int, lane: Lane, chunk: Chunk) -> None:
        times = self.board.rows[number].column(len(chunk))
        self.board.rows[number].clear()
        started, ended = array("d", times[:-1]), array("d", times[1:])
        report = Report(chunk.indexes, lane.values, started, ended, lane.failures, lane=number)
        lane.chunk = None
        self.say(Done(report, self.world.habits.weight(self.items)))
        self.look()

    def leave(self) -> None:
        """End in peace."""
        self.say(Bye(1.0, 10))
        self.die(0)

    def die(self, exitcode: int) -> None:
        if self.is_alive:
            if not self.is_mute:
                self.world.tell(self, Lost())
            self.world.tell(self, Died(exitcode), MOMENT)
            self.is_alive = False


class VirtualTransport:
    """Workers in virtual time, and the time."""

    def __init__(self, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.now = 1000.0
        self.traits = Traits(can_kill=True, isolated=True, shares_memory=True, starts_s=0.05)
        self.links: list[VirtualLink] = []
        self.is_closed = False
        self._order = itertools.count()
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._told: list[tuple[VirtualLink, Event]] = []

    def clock(self) -> float:
        return self.now

    def launch(self, places: Sequence[Place]) -> list[VirtualLink]:
        links = [VirtualLink(self, place, len(self.links) + n) for n, place in enumerate(places)]
        self.links += links
        for link in links:
            self.after(self.habits.starts, link.start)
        return links

    def after(
        self, seconds: float, what: Callable[[], None], *, of: VirtualLink | None = None
    ) -> None:
        """Have something happen later, if whose it is still lives then."""

        def happen() -> None:
            if of is None or of.is_alive:
                what()

        if seconds < NEVER:
            heapq.heappush(self._coming, (self.now + seconds, next(self._order), happen))

    def tell(self, link: VirtualLink, event: Event, later: float = 0.0) -> None:
        self.after(later, lambda: self._told.append((link, event)))

    def wait(self, timeout: float | None) -> list[tuple[VirtualLink, Event]]:
        until = self.now + NEVER if timeout is None else self.now + timeout
        while not self._told and self._coming and self._coming[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._coming)
            happen()
        if not self._told:
            assert timeout is not None, "the pool waits for what will never come"
            self.now = max(self.now + MOMENT, until)
        told, self._told = self._told, []
        return told

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def disown(self) -> None:
        self.is_closed = True

    @property
    def alive(self) -> list[VirtualLink]:
        return [link for link in self.links if link.is_alive]


class VirtualRun:
    """A job on a pool in virtual time, with the simplest dispatcher that there can be."""

    def __init__(
        self,
        deeds: Sequence[Deed],
        *,
        workers: int = 2,
        lanes: int = 1,
        chunk: int = 1,
        care: Care | None = None,
        timeout: float | None = None,
        setup: float | None = None,
        habits: Habits | None = None,
    ) -> None:
        self.deeds, self.chunk = list(deeds), chunk
        self.waiting = deque(
            Chunk(n, self.deeds[n : n + chunk]) for n in range(0, len(self.deeds), chunk)
        )
        self.world = VirtualTransport(habits)
        patience = Patience(timeout, 0.0, setup)
        self.workers = PoolWorkers(self.world, care or Care(), patience, self.world.clock)
        self.settings = workers, workers * lanes
        self.timeout = timeout
        self.deadlines: Deadlines | None = None
        self.kinds: dict[int, str] = {}
        self.reported: Counter[int] = Counter()
        self.out = 0
        self.given_up: OutpaceError | None = None

    def open(self) -> VirtualRun:
        self.workers.open(*self.settings)
        if self.timeout is not None:
            self.deadlines = Deadlines(self.timeout, self.world.now)
        return self

    def run(self, *, stop_after: int | None = None) -> dict[int, str]:
        """Carry out everything, or so many items; return how each has ended."""
        try:
            while (self.waiting or self.out) and (
                stop_after is None or len(self.kinds) < stop_after
            ):
                self.start_all()
                for report in self.workers.reports(self.look_for_late()):
                    self.take(report)
        except OutpaceError as error:
            self.given_up = error
        return self.kinds

    run_rest = run

    def look_for_late(self) -> float | None:
        """Put an end to what is late, as the engine does; return when to look again."""
        deadlines, now = self.deadlines, self.world.now
        if deadlines is None:
            return None
        if deadlines.look_at <= now:
            running = [((worker, index), since) for worker, index, since in self.workers.running()]
            for late in deadlines.late(running, now):
                self.workers.cancel(*late)
        return deadlines.look_at - now

    def start_all(self) -> None:
        """Hand out what there is room for."""
        while self.waiting and self.out < 2 * max(1, self.workers.slots) * self.chunk:
            chunk = self.waiting.popleft()
            self.out += len(chunk)
            self.workers.start(chunk)

    def take(self, report: Report | Returned) -> None:
        self.out -= len(report.indexes)
        if isinstance(report, Returned):
            self.waiting.extendleft(Chunk(n, [self.deeds[n]]) for n in reversed(report.indexes))
            return
        for position, index in enumerate(report.indexes):
            failure = report.failures.get(position)
            self.reported[index] += 1
            self.kinds[index] = "done" if failure is None else failure.kind

    def close(self, *, hurry: bool = False) -> float:
        """Close it; return how long that took."""
        before = self.world.now
        if hurry:
            self.workers.interrupt()
        self.workers.close()
        return self.world.now - before
