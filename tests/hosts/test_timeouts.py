"""The timeouts of items in workers, in virtual time: who is asked, who is killed, and when one looks."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from array import array
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.flow.board import Board, Shape
from outpace.flow.data import Chunk
from outpace.flow.deadlines import Deadlines
from outpace.hosts.channel.messages import Locate
from outpace.hosts.pool import timeouts
from outpace.hosts.pool.pool import Pool
from outpace.hosts.pool.state import Doubt, Happened
from outpace.hosts.pool.timeouts import ANSWER, ASKED, Timeouts
from outpace.hosts.pool.transport import Place
from outpace.hosts.pool.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outpace.flow.data import Chunk

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="asks by a Unix signal")


class Told:
    """Be a link to a worker that exists on its board only."""

    def __init__(self, name: int, board: Board) -> None:
        self.name, self.board, self.moved = name, board, 0
        self.asked = self.killed = 0

    def send(self, message: object) -> None:
        self.moved += 1
        self.asked += isinstance(message, Locate)

    def kill(self, _why: str) -> None:
        self.killed += 1

    def running(self) -> Iterator[tuple[int, float]]:
        return self.board.running()


def fake(name: int, lanes: int = 1, *, scattered: bool = False, ready: bool = True) -> Any:
    board = Board(Shape.of(lanes, scattered=scattered))
    for n in range(board.shape.rows):
        row = board.rows[n]
        row.times[:] = memoryview(array("d", [-1.0] * len(row.times)))  # before all times here
    worker = Worker(Place(name, lanes), Told(name, board))  # type: ignore[arg-type]
    if ready:
        worker.state.happened(Happened.READY)
    worker.out.add(Chunk(0, [0]))
    return worker


def begin(worker: Any, index: int, now: float, lane: int = 0) -> None:
    worker.link.board.rows[lane].begin(index, 1, now)


def end(worker: Any, now: float, lane: int = 0) -> None:
    worker.link.board.rows[lane].times[1] = now


class Kept:
    """The engine's deadlines and the pool's timeouts, as they work together."""

    def __init__(self, timeout: float, grace: float, now: float) -> None:
        self.deadlines, self.timeouts = Deadlines(timeout, now), Timeouts(timeout, grace, now)

    @property
    def look_at(self) -> float:
        return min(self.deadlines.look_at, self.timeouts.look_at)

    def look(self, workers: list[Any], now: float) -> None:
        since = {(w, index): at for w in workers for index, at in w.link.running()}
        for worker, index in self.deadlines.late(since.items(), now):
            self.timeouts.late(worker, index, since[worker, index], now)
        self.timeouts.look(workers, now)


def test_nobody_looks_before_the_first_item_could_be_late() -> None:
    assert Timeouts(2.0, 0.0, now=10.0).look_at == 12.0
    assert Timeouts(2.0, 0.25, now=10.0).look_at == 12.25


def test_a_late_item_has_its_worker_asked_and_then_killed() -> None:
    worker, kept = fake(100), Kept(2.0, 0.0, now=0.0)
    begin(worker, 5, 1.0)
    kept.look([worker], 2.0)
    assert worker.link.asked == 0
    assert kept.look_at == 3.0  # when this one would be late
    kept.look([worker], 3.0)
    assert (worker.link.asked, worker.link.killed) == (1, 0)
    assert worker.late == {5: 1.0}
    assert kept.look_at == 3.0 + ASKED
    kept.look([worker], 3.0 + ASKED)
    assert worker.link.killed == 1


def test_it_is_killed_once() -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    begin(worker, 5, 0.0)
    for tick in range(100, 300):
        kept.look([worker], tick / 100)
    assert (worker.link.asked, worker.link.killed) == (1, 1)


def test_an_item_that_ends_while_its_worker_is_asked_saves_the_worker() -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    begin(worker, 5, 0.0)
    kept.look([worker], 1.0)
    end(worker, 1.0 + ASKED / 2)
    kept.look([worker], 1.0 + ASKED)
    assert worker.link.killed == 0
    assert (worker.due, worker.state.doubt) == (None, Doubt.TRUSTED)
    assert worker.late == {5: 0.0}  # it was too late all the same: `Inquest.too_late`


def test_one_look_costs_whoever_begins_after_it_nothing() -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    looks, now = 0, 0.0
    for index in range(1000):  # items of 10 ms
        begin(worker, index, now)
        now += 0.01
        if kept.look_at <= now:
            looks += 1
            kept.look([worker], now)
        end(worker, now)
    assert looks <= 11
    assert worker.link.asked == 0


def test_no_item_is_late_longer_than_nobody_looked() -> None:
    """Whenever an item begins, the look that finds it late comes within a timeout of its deadline."""
    for began in (0.0, 0.3, 0.99, 1.0, 1.7):
        worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
        now = 0.0
        while not worker.link.asked:
            now = kept.look_at
            if now >= began and not list(worker.link.running()):
                begin(worker, 1, began)
            kept.look([worker], now)
        assert began + 1.0 <= now <= began + 2.0 + 1e-9


def test_workers_that_are_still_starting_have_nobody_late() -> None:
    worker, kept = fake(100, ready=False), Kept(1.0, 0.0, now=0.0)
    begin(worker, 5, 0.0)
    kept.look([worker], 5.0)
    assert worker.link.asked == 0


def test_each_worker_has_its_own_deadline() -> None:
    one, two, kept = fake(1), fake(2), Kept(1.0, 0.0, now=0.0)
    begin(one, 10, 0.0)
    begin(two, 20, 0.5)
    kept.look([one, two], 1.0)
    assert (one.link.asked, two.link.asked) == (1, 0)
    kept.look([one, two], kept.look_at)
    assert (one.link.killed, two.link.killed) == (1, 0)
    kept.look([one, two], 1.5)
    assert (one.link.asked, two.link.asked) == (1, 1)


def test_of_several_lanes_all_that_are_late_are_guilty() -> None:
    worker, kept = fake(1, lanes=3), Kept(1.0, 0.0, now=0.0)
    begin(worker, 10, 0.0, lane=0)
    begin(worker, 20, 0.0, lane=1)
    begin(worker, 30, 0.8, lane=2)
    kept.look([worker], 1.0)
    assert set(worker.late) == {10, 20}


def test_on_an_event_loop_only_whoever_has_the_loop_is_guilty() -> None:
    worker = fake(1, lanes=4, scattered=True)
    kept = Kept(1.0, 0.25, now=0.0)
    for n in range(3):
        worker.link.board.places[n].take(n, 0.0)
    worker.link.board.on_loop.take(2, 0.5)
    kept.look([worker], 1.25)
    assert worker.late == {2: 0.0}


def test_nobody_is_guilty_while_somebody_who_is_not_late_has_the_loop() -> None:
    worker = fake(1, lanes=4, scattered=True)
    kept = Kept(1.0, 0.25, now=0.0)
    worker.link.board.places[0].take(0, 0.0)
    worker.link.board.places[1].take(1, 1.2)
    worker.link.board.on_loop.take(1, 1.2)
    kept.look([worker], 1.25)
    assert worker.link.asked == 0
    assert kept.look_at <= 1.25 + 1.25


def test_items_that_nobody_can_cancel_are_guilty_together() -> None:
    worker = fake(1, lanes=4, scattered=True)
    kept = Kept(1.0, 0.25, now=0.0)
    worker.link.board.places[0].take(0, 0.0)
    worker.link.board.places[1].take(1, 0.0)
    kept.look([worker], 1.25)
    assert set(worker.late) == {0, 1}


# Workers that stand still.


def test_a_worker_that_has_items_and_does_nothing_is_asked_and_then_killed_once() -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    times = []
    while kept.look_at < 30.0:
        times.append(kept.look_at)
        kept.look([worker], kept.look_at)
    assert times[:3] == [1.0, 2.0, 3.0]
    assert worker.state.doubt is Doubt.KILLED_STILL
    assert 2.0 + ANSWER in times
    assert (worker.link.asked, worker.link.killed) == (0, 1)


def test_a_worker_without_items_may_do_nothing() -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    worker.out.drain()
    for now in range(1, 50):
        kept.look([worker], now)
    assert (worker.due, worker.link.killed) == (None, 0)


@pytest.mark.parametrize("sign", ["it answers", "it begins an item"])
def test_a_sign_of_life_saves_a_worker_that_stood_still(sign: str) -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    kept.look([worker], 1.0)
    kept.look([worker], 2.0)
    assert worker.due == 2.0 + ANSWER
    if sign == "it answers":
        worker.link.moved += 1
    else:
        begin(worker, 5, 2.5)
    kept.look([worker], 3.0)
    assert (worker.due, worker.state.doubt, worker.link.killed) == (None, Doubt.TRUSTED, 0)
    kept.look([worker], 3.5)
    assert worker.link.asked == (sign == "it begins an item")  # which is late by now


def test_what_moves_now_and_then_does_not_stand_still() -> None:
    worker, kept = fake(100), Kept(1.0, 0.0, now=0.0)
    for now in range(1, 50):
        worker.link.moved += 1  # of a large value, say
        kept.look([worker], now)
    assert (worker.due, worker.link.killed) == (None, 0)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["processes", "processes+threads", "processes+asyncio"])
def test_a_worker_that_is_stopped_between_two_items_holds_up_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "ANSWER", 0.5)
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
    monkeypatch.setattr(timeouts, "ANSWER", 0.5)
    items = [1, Stuck(), 3]
    run = outpace.run(type, items, model="processes", workers=1, chunk=3, timeout=0.5)
    assert [o.kind for o in run] == ["done", "timed-out", "done"]


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
    monkeypatch.setattr(timeouts, "ASKED", 1.0)  # to answer, on a busy machine
    monkeypatch.setattr(Pool, "_try_alone", lambda _, suspects: tried.extend(suspects))
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
