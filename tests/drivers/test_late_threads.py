"""Items in threads that end just when they are given up: each is told once, by one of the two.

The caller's clock and the lanes' are the test's, so time is up when a test says so; and what happens
between two steps of the caller is put there.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outpace.drivers import _lane, serial, threads
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.protocol import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = 30.0
SOON = 20.0  # seconds in which what is about to happen has happened, on however busy a machine


class Stage:
    """Items that say when they begin and end when they are let, and a caller whose time can be up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.began = [threading.Event() for _ in range(count)]
        self.may_end = [threading.Event() for _ in range(count)]
        self.begun: list[int] = []
        self._ahead = 0.0
        monkeypatch.setattr(threads, "clock", lambda: time.perf_counter() + self._ahead)
        # For lanes hardly any time passes: no chunk is reported in part.
        ticks = iter(range(10**9))
        start = time.perf_counter()
        monkeypatch.setattr(_lane, "clock", lambda: start + next(ticks) * 1e-9)

    def item(self, n: int) -> int:
        self.begun.append(n)
        self.began[n].set()
        assert self.may_end[n].wait(SOON)
        return n

    def time_is_up(self) -> None:
        self._ahead += TIMEOUT + 1.0


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(monkeypatch, 6)
    yield made
    for event in made.may_end:
        event.set()


def between_look_and_giving_up(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Have something happen after an item was found late, and before its lane is given up."""
    may_take = _lane.Lane.may_take.fget
    assert may_take is not None

    def take_then(lane: _lane.Lane) -> float:
        then()
        return may_take(lane)

    monkeypatch.setattr(_lane.Lane, "may_take", property(take_then))


def looked(workers: Any) -> list[Report | Returned]:
    """Do what the engine does when time is up; return what there is then."""
    for worker, index, _since in list(workers.running()):
        workers.cancel(worker, index)
    return list(workers.reports(0.0))


def kinds(accounts: list[Report | Returned]) -> dict[int, str]:
    """Say what became of each item; fail when one is told of twice."""
    found: list[tuple[int, str]] = []
    for account in accounts:
        for n, index in enumerate(account.indexes):
            if isinstance(account, Returned):
                found.append((index, "returned"))
            else:
                found.append((index, account.failures[n].kind if n in account.failures else "done"))
    assert len(dict(found)) == len(found)
    return dict(found)


def told(workers: Any, count: int) -> list[Report | Returned]:
    """Listen until so many items are told of, or nothing more comes."""
    accounts: list[Report | Returned] = []
    until = time.monotonic() + SOON
    while sum(len(a.indexes) for a in accounts) < count and time.monotonic() < until:
        accounts += workers.reports(0.01)
    return accounts


@pytest.fixture(params=[serial.driver, threads.driver], ids=["serial", "threads"])
def driver(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_an_item_that_ends_as_it_is_given_up_is_done_and_the_next_is_not_late(
    driver: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report is on the way, and the next piece has begun."""
    workers = driver.open(Call(stage.item, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0]))
    workers.start(Chunk(1, [1]))
    assert stage.began[0].wait(SOON)

    def goes_on() -> None:
        stage.may_end[0].set()
        assert stage.began[1].wait(SOON)

    between_look_and_giving_up(monkeypatch, goes_on)
    stage.time_is_up()
    accounts = looked(workers)
    stage.may_end[1].set()
    accounts += told(workers, 2 - len(kinds(accounts)))
    assert kinds(accounts) == {0: "done", 1: "done"}
    workers.close()


def test_nobody_else_in_its_chunk_is_late_in_the_stead_of_an_item_that_has_ended(
    driver: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of those that are done has grown since the look."""
    workers = driver.open(Call(stage.item, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0, 1, 2]))
    assert stage.began[0].wait(SOON)

    def goes_on() -> None:
        stage.may_end[0].set()
        assert stage.began[1].wait(SOON)

    between_look_and_giving_up(monkeypatch, goes_on)
    stage.time_is_up()
    accounts = looked(workers)
    for event in stage.may_end:
        event.set()
    accounts += told(workers, 3 - len(kinds(accounts)))
    assert kinds(accounts) == {0: "done", 1: "done", 2: "done"}
    assert sorted(stage.begun) == [0, 1, 2]
    workers.close()


def test_nobody_beyond_the_end_of_a_chunk_is_late_when_its_last_item_has_ended(
    driver: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over, and its report is being made."""
    making, may_go_on, make = threading.Event(), threading.Event(), _lane.sequential

    def made_slowly(*args: Any) -> Report:
        if threading.current_thread() is not threading.main_thread():
            making.set()
            assert may_go_on.wait(SOON)
        return make(*args)

    workers = driver.open(Call(stage.item, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0]))
    assert stage.began[0].wait(SOON)

    def goes_on() -> None:
        stage.may_end[0].set()
        assert making.wait(SOON)

    monkeypatch.setattr(_lane, "sequential", made_slowly)
    between_look_and_giving_up(monkeypatch, goes_on)
    stage.time_is_up()
    accounts = looked(workers)
    may_go_on.set()
    accounts += told(workers, 1 - len(kinds(accounts)))
    assert kinds(accounts) == {0: "done"}
    workers.close()


def test_an_abandoned_lane_is_not_abandoned_again_while_another_opens(
    driver: Any, stage: Stage
) -> None:
    """The one that takes its place has not opened its setup yet when somebody looks again."""
    opening, may_open, times = threading.Event(), threading.Event(), iter(range(10))

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        if next(times):
            opening.set()
            assert may_open.wait(SOON)
        yield

    workers = driver.open(Call(lambda n, _: stage.item(n), setup, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0, 1]))
    assert stage.began[0].wait(SOON)
    stage.time_is_up()
    accounts = looked(workers)
    assert opening.wait(SOON)
    stage.time_is_up()
    accounts += looked(workers)
    may_open.set()
    assert kinds(accounts) == {0: "timed-out", 1: "returned"}
    workers.close()


def test_an_abandoned_lane_begins_nothing_more_however_short_its_item_seems_to_it(
    driver: Any, stage: Stage
) -> None:
    """Its item was stopped from outside, say: by the lane's own clock hardly any time has passed."""
    workers = driver.open(Call(stage.item, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0, 1, 2]))
    assert stage.began[0].wait(SOON)
    stuck = next(t for t in threading.enumerate() if t.name == "outpace-0")
    stage.time_is_up()
    accounts = looked(workers)
    assert kinds(accounts) == {0: "timed-out", 1: "returned", 2: "returned"}
    stage.may_end[0].set()
    stuck.join(SOON)
    assert not stuck.is_alive()
    assert stage.begun == [0]
    workers.close()


def test_what_had_ended_before_the_item_that_is_stuck_is_told_with_it(
    driver: Any, stage: Stage
) -> None:
    def item(n: int) -> int:
        if n == 0:
            raise LookupError
        return stage.item(n)

    stage.may_end[1].set()
    workers = driver.open(Call(item, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0, 1, 2, 3]))
    assert stage.began[2].wait(SOON)
    stage.time_is_up()
    accounts = looked(workers)
    assert kinds(accounts) == {0: "failed", 1: "done", 2: "timed-out", 3: "returned"}
    workers.close()


def test_what_is_only_to_be_awaited_has_not_ended_before_the_item_that_is_stuck(
    driver: Any, stage: Stage
) -> None:
    """A function that returns coroutines and does not look it; making the third takes too long."""

    def make(n: int) -> Any:
        if n == 2:
            stage.item(n)
        return asyncio.sleep(0, n)

    workers = driver.open(Call(make, timeout=TIMEOUT), 1)
    workers.start(Chunk(0, [0, 1, 2, 3]))
    assert stage.began[2].wait(SOON)
    stuck = next(t for t in threading.enumerate() if t.name == "outpace-0")
    stage.time_is_up()
    accounts = looked(workers)
    assert kinds(accounts) == {0: "returned", 1: "returned", 2: "timed-out", 3: "returned"}
    stage.may_end[2].set()
    stuck.join(SOON)
    workers.close()


def test_the_whole_rest_comes_back_where_what_was_made_first_is_stuck_when_it_is_awaited(
    driver: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chunk that is longer than what was made in one go."""

    async def later(n: int) -> int:
        return stage.item(n)

    monkeypatch.setattr("outpace.flow.board.MOST", 2)  # items that are made before they are awaited
    workers = driver.open(Call(lambda n: later(n), timeout=TIMEOUT), 1)  # noqa: PLW0108
    workers.start(Chunk(0, [0, 1, 2, 3]))
    assert stage.began[0].wait(SOON)
    stuck = next(t for t in threading.enumerate() if t.name == "outpace-0")
    stage.time_is_up()
    accounts = looked(workers)
    assert kinds(accounts) == {0: "timed-out", 1: "returned", 2: "returned", 3: "returned"}
    stage.may_end[0].set()
    stuck.join(SOON)
    assert stage.begun == [0]
    workers.close()


def test_items_that_take_about_as_long_as_the_timeout_hang_nothing() -> None:
    path = Path(__file__).parents[2] / "bench" / "_late.py"
    spec = importlib.util.spec_from_file_location("late", path)
    assert spec is not None
    assert spec.loader is not None
    late = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(late)
    assert late.late_items(15, seed=20) is None
