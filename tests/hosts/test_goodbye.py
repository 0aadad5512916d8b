"""How workers are sent away: the idle in peace, the busy soon, the deaf by force."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from string import Template
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.drivers.asyncio import driver
from outpace.errors import SetupError
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call
from outpace.flow.signals import Recalled
from outpace.hosts import _goodbye
from outpace.hosts._goodbye import EXIT_PATIENCE, HURRY, say_goodbye
from outpace.hosts.worker import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from tests.conftest import Gate, Stopwatch

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


class World:
    """Be workers in virtual time: each ends so long after it was told, or asked, or killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.workers: dict[int, Any] = {}
        self.ends: dict[int, float] = {}
        self.takes: dict[int, dict[int, float]] = {}
        self.signals: list[tuple[int, int]] = []
        self.sockets: list[socket.socket] = []
        monkeypatch.setattr(_goodbye, "clock", lambda: self.now)

    def worker(self, pid: int, *, busy: bool, stuck: bool | None = None, **takes: float) -> None:
        """Add one; `told`, `asked` and `killed` say how long it takes to end after that."""
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        channel = SimpleNamespace(sock=ours)
        process = SimpleNamespace(kill_group=partial(self.kill, pid))
        self.workers[pid] = SimpleNamespace(
            process=process,
            channel=channel,
            is_busy=busy,
            is_stuck=busy if stuck is None else stuck,
        )
        if "told" in takes:
            self.ends[pid] = takes["told"]
        self.takes[pid] = {signal.SIGTERM: takes.get("asked", 1e9), 9: takes.get("killed", 0.001)}

    def kill(self, pid: int, how: int = signal.SIGKILL) -> None:
        self.signals.append((pid, how))
        self.ends[pid] = min(self.ends.get(pid, 1e9), self.now + self.takes[pid][how])

    def turn(self, patience: float) -> None:
        """Let time pass until somebody ends, or for so long."""
        until = self.now + patience
        nearest = min((self.ends.get(pid, 1e9) for pid in self.workers), default=1e9)
        self.now = max(self.now, min(until, nearest))
        for pid in [pid for pid in self.workers if self.ends.get(pid, 1e9) <= self.now]:
            del self.workers[pid]

    def goodbye(self, *, hurry: bool = False) -> SetupError | None:
        return say_goodbye(self.workers, self.turn, hurry=hurry)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    yield made
    for sock in made.sockets:
        sock.close()


def test_idle_workers_are_told_and_get_no_signal(world: World) -> None:
    world.worker(1, busy=False, told=0.01)
    world.worker(2, busy=False, told=3.0)  # its setup's exit takes its time
    assert world.goodbye() is None
    assert world.signals == []
    assert world.now == 3.0


def test_busy_workers_are_asked_to_unwind(world: World) -> None:
    world.worker(1, busy=True, asked=0.1)
    assert world.goodbye() is None
    assert world.signals == [(1, signal.SIGTERM)]
    assert world.now == pytest.approx(0.1)


def test_busy_workers_that_do_not_are_killed(world: World) -> None:
    world.worker(1, busy=True)
    world.worker(2, busy=False, told=1.0)
    assert world.goodbye() is None
    assert world.signals == [(1, signal.SIGTERM), (1, signal.SIGKILL)]
    assert world.now == 1.0  # the idle one was waited for


def test_busy_workers_that_have_left_their_item_have_time_for_their_setups(world: World) -> None:
    world.worker(1, busy=True, stuck=False, asked=3.0)
    assert world.goodbye() is None
    assert world.signals == [(1, signal.SIGTERM)]
    assert world.now == pytest.approx(3.0)


def test_a_setup_that_does_not_close_is_an_error_and_killed(world: World) -> None:
    world.worker(1, busy=False)
    error = world.goodbye()
    assert isinstance(error, SetupError)
    assert "longer than 10 s" in str(error)
    assert world.signals == [(1, signal.SIGKILL)]
    assert world.now == pytest.approx(EXIT_PATIENCE, abs=0.01)


def test_in_a_hurry_nobody_is_waited_for_and_it_is_no_error(world: World) -> None:
    world.worker(1, busy=False)
    world.worker(2, busy=True)
    assert world.goodbye(hurry=True) is None
    assert {pid for pid, how in world.signals if how == signal.SIGKILL} == {1, 2}
    assert world.now < 2 * HURRY + 0.1


def test_without_workers_there_is_nothing_to_do(world: World) -> None:
    assert world.goodbye() is None
    assert world.now == 0.0


# In a run.


def test_a_run_that_is_left_takes_no_longer_than_its_setups_need(
    tmp_path: Path, stopwatch: Stopwatch
) -> None:
    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        time.sleep(2 * HURRY)
        (tmp_path / str(os.getpid())).touch()

    options: dict[str, Any] = {"model": "processes", "workers": 2, "chunk": 1, "setup": setup}
    with outpace.map(lambda *_: os.getpid(), itertools.count(), **options) as run:
        workers: set[int] = set()
        while len(workers) < 2:
            workers.add(next(run))
        seconds = stopwatch()
    assert seconds() < EXIT_PATIENCE / 2
    assert {int(path.name) for path in tmp_path.iterdir()} == workers


@pytest.mark.parametrize("step", range(1, 12))
def test_a_signal_between_two_steps_of_a_loop_costs_it_none(step: int) -> None:
    steps = itertools.count(1)

    async def waits(item: int) -> int:
        await asyncio.sleep(0)
        return item

    def arrives(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is asyncio.Handle._run.__code__ and next(steps) == step:
            sys.setprofile(None)
            process.terminate(signal.SIGTERM, frame)

    workers = driver.open(Call(waits, is_async=True), 4)
    workers.start(Chunk(0, list(range(20))))
    sys.setprofile(arrives)
    try:
        with pytest.raises(Recalled):
            list(iter(partial(workers.reports, 20.0), None))  # until it raises
    finally:
        sys.setprofile(None)
    late = threading.Timer(5.0, workers.interrupt)  # else it would wait for ever
    late.start()
    workers.close()
    assert late.is_alive()
    late.cancel()
    late.join()


def test_a_signal_in_the_library_waits_where_a_loop_has_called_it_and_not_where_the_user_has() -> (
    None
):
    found = []

    def looks() -> None:
        found.append(process.is_loops(sys._getframe()))  # the user's own
        Template("$x").substitute(Looking())  # what the user has called

    class Looking(dict[str, str]):
        def __getitem__(self, _: str) -> str:
            found.append(process.is_loops(sys._getframe(1)))
            return ""

    asyncio.run(asyncio.to_thread(looks))
    loop = asyncio.new_event_loop()
    loop.slow_callback_duration = 0  # it tells a log of every step
    loop.set_debug(True)
    told = logging.Handler()
    told.emit = lambda _: found.append(process.is_loops(sys._getframe(1)))  # type: ignore[method-assign]
    log = logging.getLogger("asyncio")
    log.addHandler(told)
    loop.run_until_complete(asyncio.sleep(0))
    log.removeHandler(told)
    loop.close()
    assert found[:2] == [False, False]
    assert found[2:]
    assert all(found[2:])


def deaf_at_the_gate(stop_at_the_gate: Callable[[Any], Any]) -> Callable[[int], int]:
    def deaf(item: int) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            with contextlib.suppress(BaseException):
                stop_at_the_gate(item)

    return deaf


def test_busy_workers_that_ignore_everything_are_gone_within_a_second(
    gate: Gate, stopwatch: Stopwatch
) -> None:
    run = outpace.map(
        deaf_at_the_gate(gate.plain()), range(4), model="processes", workers=2, chunk=1
    )
    reader = threading.Thread(target=lambda: list(run))
    reader.start()
    gate.arrivals(2)
    seconds = stopwatch()
    run.close()
    reader.join(120)
    assert seconds() < 1.0
    gate.wait_until_gone()


@pytest.mark.parametrize("model", ["processes", "processes+threads", "processes+asyncio"])
def test_a_signal_at_the_exit_of_a_setup_neither_ends_it_nor_is_complained_of(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Under `SIG_IGN`, Python prints a traceback if the signal has come just before that was set."""

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        os.kill(os.getpid(), signal.SIGTERM)
        (tmp_path / "handled").write_text(str(callable(signal.getsignal(signal.SIGTERM))))

    list(outpace.map(lambda item, _: item, range(2), model=model, workers=1, setup=setup))
    assert (tmp_path / "handled").read_text() == "True"
    assert capfd.readouterr().err == ""
