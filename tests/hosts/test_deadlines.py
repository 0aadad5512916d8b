"""The timeouts of items in workers, in virtual time: who is asked, who is killed, and when one looks."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from array import array
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import outpace
from outpace.drivers._late import Watch
from outpace.flow.board import Board, Shape
from outpace.hosts import _deadlines
from outpace.hosts._crew import Crew
from outpace.hosts._deadlines import ANSWER, ASKED, Deadlines
from outpace.hosts._group import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outpace.flow.data import Chunk

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="asks by a Unix signal")


class FakeProcess(Process):
    """Be a process that does not exist, and so is sent nothing."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


@dataclass(eq=False)
class FakePeer:
    """Be a worker that exists on its board only."""

    pid: int
    lanes: int = 1
    scattered: bool = False
    ready: bool = True
    late: dict[int, float] = field(default_factory=dict)
    kill_at: float | None = None
    silent: int | None = None
    channel: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(moved=0))
    out: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(chunks=1))

    def __post_init__(self) -> None:
        board = Board(Shape.of(self.lanes, scattered=self.scattered))
        for n in range(board.shape.rows):
            row = board.rows[n]
            row.times[:] = memoryview(array("d", [-1.0] * len(row.times)))  # before all times here
        self.shared = SimpleNamespace(board=board)

    @property
    def process(self) -> FakeProcess:
        return FakeProcess(self.pid)

    def ask(self, now: float) -> None:
        self.channel.moved += 1

    def running(self) -> Iterator[tuple[int, float]]:
        return self.shared.board.running()

    def begin(self, index: int, now: float, lane: int = 0) -> None:
        row = self.shared.board.rows[lane]
        row.begin(index, 1, now)

    def end(self, now: float, lane: int = 0) -> None:
        self.shared.board.rows[lane].times[1] = now


class Signals:
    """Be what has been sent to whom."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.killed: list[int] = []


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Signals:
    seen = Signals()

    monkeypatch.setattr(FakeProcess, "ask_where", lambda process: seen.asked.append(process.pid))
    monkeypatch.setattr(FakeProcess, "kill_group", lambda process: seen.killed.append(process.pid))
    return seen


def test_nobody_looks_before_the_first_item_could_be_late() -> None:
    assert Deadlines(2.0, 0.0, now=10.0).look_at == 12.0
    assert Deadlines(2.0, 0.25, now=10.0).look_at == 12.25


def test_a_late_item_has_its_worker_asked_and_then_killed(signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(2.0, 0.0, now=0.0)
    peer.begin(5, 1.0)
    deadlines.look([peer], 2.0)
    assert signals.asked == []
    assert deadlines.look_at == 3.0  # when this one would be late
    deadlines.look([peer], 3.0)
    assert (signals.asked, signals.killed) == ([100], [])
    assert peer.late == {5: 1.0}
    assert deadlines.look_at == 3.0 + ASKED
    deadlines.look([peer], 3.0 + ASKED)
    assert signals.killed == [100]


def test_it_is_killed_once(signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    peer.begin(5, 0.0)
    for tick in range(100, 300):
        deadlines.look([peer], tick / 100)
    assert (signals.asked, signals.killed) == ([100], [100])


def test_an_item_that_ends_while_its_worker_is_asked_saves_the_worker(signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    peer.begin(5, 0.0)
    deadlines.look([peer], 1.0)
    peer.end(1.0 + ASKED / 2)
    deadlines.look([peer], 1.0 + ASKED)
    assert signals.killed == []
    assert peer.kill_at is None
    assert peer.late == {5: 0.0}  # it was too late all the same: `Inquest.too_late`


def test_one_look_costs_whoever_begins_after_it_nothing(signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    looks, now = 0, 0.0
    for index in range(1000):  # items of 10 ms
        peer.begin(index, now)
        now += 0.01
        if deadlines.look_at <= now:
            looks += 1
            deadlines.look([peer], now)
        peer.end(now)
    assert looks <= 11
    assert signals.asked == []


def test_no_item_is_late_longer_than_nobody_looked(signals: Signals) -> None:
    """Whenever an item begins, the look that finds it late comes within a timeout of its deadline."""
    for began in (0.0, 0.3, 0.99, 1.0, 1.7):
        peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
        now = 0.0
        while not signals.asked:
            now = deadlines.look_at
            if now >= began and not list(peer.running()):
                peer.begin(1, began)
            deadlines.look([peer], now)
        assert began + 1.0 <= now <= began + 2.0 + 1e-9
        signals.asked.clear()


def test_workers_that_are_still_starting_have_nobody_late(signals: Signals) -> None:
    peer, deadlines = FakePeer(100, ready=False), Deadlines(1.0, 0.0, now=0.0)
    peer.begin(5, 0.0)
    deadlines.look([peer], 5.0)
    assert signals.asked == []


def test_each_worker_has_its_own_deadline(signals: Signals) -> None:
    one, two, deadlines = FakePeer(1), FakePeer(2), Deadlines(1.0, 0.0, now=0.0)
    one.begin(10, 0.0)
    two.begin(20, 0.5)
    deadlines.look([one, two], 1.0)
    assert signals.asked == [1]
    deadlines.look([one, two], deadlines.look_at)
    assert signals.killed == [1]
    deadlines.look([one, two], 1.5)
    assert signals.asked == [1, 2]


def test_of_several_lanes_all_that_are_late_are_guilty(signals: Signals) -> None:
    peer, deadlines = FakePeer(1, lanes=3), Deadlines(1.0, 0.0, now=0.0)
    peer.begin(10, 0.0, lane=0)
    peer.begin(20, 0.0, lane=1)
    peer.begin(30, 0.8, lane=2)
    deadlines.look([peer], 1.0)
    assert set(peer.late) == {10, 20}


def test_on_an_event_loop_only_whoever_has_the_loop_is_guilty(signals: Signals) -> None:
    peer = FakePeer(1, lanes=4, scattered=True)
    deadlines = Deadlines(1.0, 0.25, now=0.0)
    for n in range(3):
        peer.shared.board.places[n].take(n, 0.0)
    peer.shared.board.on_loop.take(2, 0.5)
    deadlines.look([peer], 1.25)
    assert peer.late == {2: 0.0}


def test_nobody_is_guilty_while_somebody_who_is_not_late_has_the_loop(signals: Signals) -> None:
    peer = FakePeer(1, lanes=4, scattered=True)
    deadlines = Deadlines(1.0, 0.25, now=0.0)
    peer.shared.board.places[0].take(0, 0.0)
    peer.shared.board.places[1].take(1, 1.2)
    peer.shared.board.on_loop.take(1, 1.2)
    deadlines.look([peer], 1.25)
    assert signals.asked == []
    assert deadlines.look_at <= 1.25 + 1.25


def test_items_that_nobody_can_cancel_are_guilty_together(signals: Signals) -> None:
    peer = FakePeer(1, lanes=4, scattered=True)
    deadlines = Deadlines(1.0, 0.25, now=0.0)
    peer.shared.board.places[0].take(0, 0.0)
    peer.shared.board.places[1].take(1, 0.0)
    deadlines.look([peer], 1.25)
    assert set(peer.late) == {0, 1}


# Workers that stand still.


def test_a_worker_that_has_items_and_does_nothing_is_asked_and_then_killed_once(
    signals: Signals,
) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    times = []
    while deadlines.look_at < 30.0:
        times.append(deadlines.look_at)
        deadlines.look([peer], deadlines.look_at)
    assert times[:3] == [1.0, 2.0, 3.0]
    assert peer.kill_at == float("inf")
    assert 2.0 + ANSWER in times
    assert (signals.asked, signals.killed) == ([], [100])


def test_a_worker_without_items_may_do_nothing(signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    peer.out.chunks = 0
    for now in range(1, 50):
        deadlines.look([peer], now)
    assert (peer.kill_at, signals.killed) == (None, [])


@pytest.mark.parametrize("sign", ["it answers", "it begins an item"])
def test_a_sign_of_life_saves_a_worker_that_stood_still(sign: str, signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    deadlines.look([peer], 1.0)
    deadlines.look([peer], 2.0)
    assert peer.kill_at == 2.0 + ANSWER
    if sign == "it answers":
        peer.channel.moved += 1
    else:
        peer.begin(5, 2.5)
    deadlines.look([peer], 3.0)
    assert (peer.kill_at, peer.silent, signals.killed) == (None, None, [])
    deadlines.look([peer], 3.5)
    assert signals.asked == ([100] if sign == "it begins an item" else [])  # which is late by now


def test_what_moves_now_and_then_does_not_stand_still(signals: Signals) -> None:
    peer, deadlines = FakePeer(100), Deadlines(1.0, 0.0, now=0.0)
    for now in range(1, 50):
        peer.channel.moved += 1  # of a large value, say
        deadlines.look([peer], now)
    assert (peer.kill_at, signals.killed) == (None, [])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["processes", "processes+threads", "processes+asyncio"])
def test_a_worker_that_is_stopped_between_two_items_holds_up_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_deadlines, "ANSWER", 0.5)
    place = tmp_path / "pid"

    def say_who(item: int) -> int:
        if item == 0:
            place.with_suffix(".new").write_text(str(os.getpid()))
            place.with_suffix(".new").rename(place)
        return item

    def items() -> Iterator[int]:
        time.sleep(0.02)  # so that the first is handed out before another is asked for
        yield 0
        while not place.exists():
            time.sleep(0.01)
        time.sleep(0.1)  # it is between items by now, or the test shows nothing
        os.kill(int(place.read_text()), signal.SIGSTOP)
        yield from range(1, 20)

    run = outpace.run(say_who, items(), model=model, workers=2, in_flight=2, chunk=1, timeout=0.5)
    assert [(o.index, o.kind, o.value) for o in run] == [(n, "done", n) for n in range(20)]


class Stuck:
    def __reduce__(self) -> tuple[object, ...]:
        return time.sleep, (60,)


@pytest.mark.slow
def test_an_item_that_cannot_be_unpickled_in_time_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_deadlines, "ANSWER", 0.5)
    items = [1, Stuck(), 3]
    run = outpace.run(type, items, model="processes", workers=1, chunk=3, timeout=0.5)
    assert [o.kind for o in run] == ["done", "timed-out", "done"]


# When to look.


def test_a_watch_looks_when_the_oldest_would_be_late() -> None:
    watch = Watch(1.0, now=0.0)
    assert watch.late([("a", 0.2), ("b", 0.4)], now=1.0) == []
    assert watch.look_at == 1.2
    assert watch.late([("a", 0.2), ("b", 0.4)], now=1.2) == ["a"]
    assert watch.look_at == 1.4


def test_a_watch_with_nobody_running_looks_a_timeout_later() -> None:
    watch = Watch(1.0, now=0.0)
    assert watch.late([], now=7.0) == []
    assert watch.look_at == 8.0


def keep_the_gil_or_sleep(item: int) -> int:
    if item == 0:
        ctypes.PyDLL(None).sleep(60)
    time.sleep(0.05)
    return item


@pytest.mark.slow
def test_whoever_stands_still_because_another_keeps_the_gil_is_not_late() -> None:
    """Both lanes are late when one is looked at: the second cannot wake up from its sleep."""
    run = outpace.run(
        keep_the_gil_or_sleep,
        range(3),
        model="processes+threads",
        workers=1,
        in_flight=2,
        timeout=1.0,  # on a busy machine 50 ms take long
    )
    assert [(o.index, o.kind) for o in run] == [(0, "timed-out"), (1, "done"), (2, "done")]


@pytest.mark.slow
def test_of_several_that_are_late_by_themselves_none_is_tried_again_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Chunk] = []
    monkeypatch.setattr(_deadlines, "ASKED", 1.0)  # to answer, on a busy machine
    monkeypatch.setattr(Crew, "_try_alone", lambda _, suspects: tried.extend(suspects))
    run = outpace.run(
        lambda _: time.sleep(60),
        range(4),
        model="processes+threads",
        workers=1,
        in_flight=4,
        timeout=0.5,
    )
    assert [o.kind for o in run] == ["timed-out"] * 4
    assert tried == []
