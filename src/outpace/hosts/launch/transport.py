"""Worker processes as a transport: a launcher, a socket and shared memory for each, one selector.

Nothing here decides. A process is asked for, told at once what it is to be (the socket keeps that until
there is somebody to read it), and listened to from when its number is known. How it died is heard of
from the launcher; that its socket has ended usually comes first (`Lost`).

Tested by `tests/hosts/test_transport.py`, and by all that runs in processes.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from outpace.flow.board import Board, Shape
from outpace.flow.data import Report
from outpace.flow.protocol import Call, Driver
from outpace.hosts.channel.by_value import by_value
from outpace.hosts.channel.codec import decode, encode
from outpace.hosts.channel.framing import Channel
from outpace.hosts.channel.handshake import needed, pack_call, surroundings
from outpace.hosts.channel.messages import (
    Died,
    Done,
    Event,
    Hello,
    Locate,
    Lost,
    Over,
    Ready,
    Recall,
    ToWorker,
)
from outpace.hosts.channel.selector import Ear
from outpace.hosts.crash.exits import KILL, Memory
from outpace.hosts.launch.launcher import START_PATIENCE, Began, Launched, Launcher, launcher
from outpace.hosts.launch.process_group import FEWER, Process
from outpace.hosts.launch.shared_memory import DESCRIPTORS, Shared
from outpace.hosts.pool.transport import Place, Traits
from outpace.machine.ulimits import enough_descriptors

REAPING = 0.005  # seconds between looks at a process that dies, where nothing tells when it has

clock = time.perf_counter


class ProcessLink:
    """The way to one worker process."""

    def __init__(self, launched: Launched, shared: Shared, values: by_value, ear: Ear) -> None:
        """Own the socket and the memory from now on."""
        launched.sock.setblocking(False)  # noqa: FBT003 - its only form
        self.launched = launched
        self.channel = Channel(launched.sock)
        self._shared = shared
        self._values = values
        self._ear = ear
        self._process: Process | None = None
        self._due: int | None = None  # the signal for a process whose number is not known yet
        self._is_heard = False  # it is listened to
        self._waits = False  # some of what it is to be sent waits for room
        self._born = clock()
        self._offset = 0.0  # of its clock from ours

    @property
    def pid(self) -> int | None:
        """Return its number, as soon as that is known."""
        return self.launched.pid

    @property
    def board(self) -> Board:
        """Return what its lanes write on."""
        return self._shared.board

    @property
    def moved(self) -> int:
        """Count the bytes that have gone either way."""
        return self.channel.moved

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield every item that runs there now, and since when by our clock."""
        for index, since in self._shared.board.running():
            yield index, since + self._offset

    def last_words(self) -> str | None:
        """Return what it has written of where it is, or was when it crashed."""
        return self._shared.last_words()

    def send(self, message: ToWorker) -> None:
        """Send a message; as a signal where the worker may be too busy to read."""
        match message:
            case Over():
                with contextlib.suppress(OSError):
                    self.channel.sock.shutdown(socket.SHUT_WR)
            case Recall():
                self._signal(signal.SIGTERM)
            case Locate():
                if self._process is not None:
                    self._process.ask_where()
            case _:
                frame = encode(message, self._values)
                with contextlib.suppress(OSError):  # it is dead; its death will be reported
                    self._wait_for_room(needed=not self.channel.send(*frame))

    def kill(self, why: str) -> None:  # noqa: ARG002 - for whoever traces it
        """Kill it with its whole process group."""
        self._signal(KILL)

    def disown(self) -> None:
        """Let go of it in a fork, whose parent goes on to listen with the selector that both have."""
        self._is_heard = False
        self.close()

    def close(self) -> None:
        """Let go of the socket, the memory and the process."""
        self.end_hearing()
        self.channel.close()
        if self._process is not None:
            self._process.close()
        self._shared.close()

    def _signal(self, number: int) -> None:
        """Send a signal to its process group, now or as soon as that has a number."""
        if self._process is None:
            self._due = KILL if KILL in (self._due, number) else number
        else:
            self._process.kill_group(number)

    # For the transport.

    def began(self) -> None:
        """Learn that the process is there."""
        assert self.launched.pid is not None
        self._process = Process(self.launched.pid)
        self._ear.add(self.channel, self)
        self._is_heard = True
        self.flush()
        if self._due is not None:
            self._process.kill_group(self._due)

    def end_hearing(self) -> None:
        """Listen no longer."""
        if self._is_heard:
            self._is_heard = False
            self._ear.remove(self.channel)

    def flush(self) -> None:
        """Send more of what waits."""
        done = True  # also if it is dead, or told that it is over
        with contextlib.suppress(OSError):
            done = self.channel.flush()
        self._wait_for_room(needed=not done)

    def _wait_for_room(self, *, needed: bool) -> None:
        """Hear also of room in the socket, or no longer."""
        if self._is_heard and needed != self._waits:
            self._waits = needed
            self._ear.expect_room(self.channel, self, expected=needed)

    def said(self) -> Iterator[Event]:
        """Yield what it has said; `Lost` when nothing more can come."""
        if not self._is_heard:
            return
        try:
            while (frame := self.channel.receive()) is not None:
                message: Any = decode(frame)
                if isinstance(message, Ready):
                    self._compare_clocks(message.now)
                elif isinstance(message, Done) and self._offset:
                    _move(message.report, self._offset)
                yield message
        except EOFError:
            self.end_hearing()
            yield Lost()

    def _compare_clocks(self, there: float) -> None:
        """Note how its clock and ours differ."""
        now = clock()
        # A moment between its birth and now is one of our own clock, as on every Unix.
        self._offset = 0.0 if self._born <= there <= now else now - there


def _move(report: Report, by: float) -> None:
    """Have the times of a report be of our clock."""
    report.started = array("d", (t + by for t in report.started))
    report.ended = array("d", (t + by for t in report.ended))
    if report.trace is not None:
        report.trace.moved(by)


class ProcessTransport:
    """Worker processes of this machine."""

    def __init__(self, call: Call, driver: Driver, *, weigh: bool) -> None:
        """Get ready to start workers for this call; raise `TransferError` where it cannot travel."""
        self._scattered = driver.scattered
        self._weigh = weigh
        self._values = by_value(call)
        self._job = pack_call(call, self._values)
        self._imports = needed(call, driver)
        self._memory = Memory()
        self._links: dict[Launched, ProcessLink] = {}
        self._dying: set[ProcessLink] = set()  # lost, and not heard of their deaths
        self._closed = False
        self._ear = Ear()
        try:
            self._launcher: Launcher = launcher(self._imports)
        except BaseException:
            self._ear.close()
            raise

    @property
    def traits(self) -> Traits:
        """Say what processes can do."""
        return Traits(can_kill=True, isolated=True, shares_memory=True, starts_s=0.05)

    def launch(self, places: Sequence[Place]) -> list[ProcessLink]:
        """Ask for a process for each place, and say hello to it."""
        shapes = [Shape.of(place.lanes, scattered=self._scattered) for place in places]
        needs = f"starting worker processes ({len(places)}) takes about {DESCRIPTORS * len(places)}"
        shared: list[Shared] = []
        with enough_descriptors(needs, FEWER):
            try:
                shared.extend(map(Shared, shapes))
                launched = self._launcher.launch([memory.fd for memory in shared])
            except BaseException:
                for unused in shared:
                    unused.close()
                raise
            finally:
                self._ear.watch(self._launcher.watched())
        links = []
        for place, one, memory in zip(places, launched, shared, strict=True):
            self._links[one] = link = ProcessLink(one, memory, self._values, self._ear)
            seen = surroundings(
                self._imports, place.lanes, memory.shape, memory.name, weigh=self._weigh
            )
            link.send(Hello(seen, self._job))
            links.append(link)
        return links

    def wait(self, timeout: float | None) -> list[tuple[ProcessLink, Event]]:
        """Wait until somebody has said something, or has died."""
        if self._launcher.has_news:  # it would not be heard again
            return self._news()
        events: list[tuple[ProcessLink, Event]] = []
        look = self._launcher.watched() is None or self._launcher.is_starting
        for link, reading, room in self._ear.listen(self._patience(timeout)):
            if link is None:
                look = True  # the launcher has something to say: after what the workers have said
                continue
            if room:
                link.flush()
            if reading:
                events += self._said(link)
        return events + self._news() if look else events

    def _said(self, link: ProcessLink) -> list[tuple[ProcessLink, Event]]:
        """Return what a worker has said."""
        events: list[tuple[ProcessLink, Event]] = []
        for event in link.said():
            events.append((link, event))
            if isinstance(event, Lost):
                if self._launcher.hears_of(link.launched):
                    self._dying.add(link)
                else:
                    events.append(self._unseen(link))
        return events

    def _news(self) -> list[tuple[ProcessLink, Event]]:
        """Return what the launcher has to say of workers."""
        events: list[tuple[ProcessLink, Event]] = []
        for launched, what in self._launcher.news():
            link = self._links.get(launched)
            if link is None:
                continue
            if isinstance(what, Began):
                link.began()
                continue
            del self._links[launched]
            events += [(link, event) for event in link.said()]  # what it said before it died
            self._dying.discard(link)
            if isinstance(what, Died):
                oom = what.exitcode == -KILL and self._memory.ran_out()
                death = what._replace(last_words=link.last_words(), out_of_memory=oom)
                events.append((link, death))
            else:
                events.append((link, what))
        for link in [one for one in self._dying if not self._launcher.hears_of(one.launched)]:
            events.append(self._unseen(link))  # the launcher has died meanwhile
        self._ear.watch(self._launcher.watched())
        return events

    def _unseen(self, link: ProcessLink) -> tuple[ProcessLink, Event]:
        """Say of a worker that it has died, as far as anybody can see."""
        link.kill("nobody can say whether it has died")
        self._dying.discard(link)
        self._links.pop(link.launched, None)
        return link, Died(last_words=link.last_words())

    def _patience(self, timeout: float | None) -> float | None:
        """Return how long to listen: not long where a death can be seen only by looking."""
        if self._launcher.is_starting:
            most = START_PATIENCE  # then it is stuck
        elif self._dying and self._launcher.watched() is None:
            most = REAPING
        else:
            return timeout
        return most if timeout is None else min(timeout, most)

    def wake(self) -> None:
        """End the current wait."""
        self._ear.wake()

    def close(self) -> None:
        """Let the launcher end what is left, and let go of everything."""
        if not self._closed:
            self._closed = True
            self._launcher.close()
            self._let_go()

    def disown(self) -> None:
        """Let go of everything and end nothing."""
        if not self._closed:
            self._closed = True
            self._launcher.disown()
            self._let_go(disown=True)

    def _let_go(self, *, disown: bool = False) -> None:
        """Close all that is ours."""
        for link in self._links.values():
            if disown:
                link.disown()
            else:
                link.close()
        self._links.clear()
        if disown:
            self._ear.disown()
        else:
            self._ear.close()
