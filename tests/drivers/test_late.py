"""Items that take longer than their timeout, in this process: cancelled, or abandoned."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.drivers._late import (
    ABANDONED,
    BLOCKED,
    CANCELLED,
    SETUP,
    LateItems,
    setup_patience,
    timed_out,
)
from outpace.errors import ItemTimeoutError
from outpace.flow.board import Board, Shape
from outpace.flow.data import Failure
from outpace.flow.deadlines import AGAIN
from outpace.flow.protocol import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 0.2
LOOPS = ["serial", "threads", "asyncio"]  # models whose coroutines have a loop in this process


# The facts.


def test_a_timeout_says_how_long_it_was_and_what_became_of_the_item() -> None:
    failure = timed_out(2.5, CANCELLED, "a stack")
    assert failure.kind == "timed-out"
    assert isinstance(failure.error, ItemTimeoutError)
    assert isinstance(failure.error, TimeoutError)
    assert (failure.error.seconds, failure.error.trace) == (2.5, "a stack")
    assert str(failure.error) == "this item took longer than its timeout of 2.5 s; it was cancelled"


def test_a_setup_is_waited_for_as_long_as_it_likes_without_a_timeout() -> None:
    assert setup_patience(Call(abs)) is None
    assert setup_patience(Call(abs, setup=dict, timeout=None)) is None
    assert setup_patience(Call(abs, timeout=5.0)) is None
    assert setup_patience(Call(abs, setup=dict, timeout=5.0)) == SETUP
    assert setup_patience(Call(abs, setup=dict, timeout=100.0)) == 100.0


class FakeTask:
    """Be a task that counts how often it was cancelled."""

    def __init__(self) -> None:
        self.count = 0

    def cancel(self) -> bool:
        self.count += 1
        return True

    def cancelling(self) -> int:
        return self.count

    def uncancel(self) -> int:
        self.count -= 1
        return self.count


@pytest.fixture
def loop() -> tuple[Board, list[FakeTask]]:
    return Board(Shape.of(3, scattered=True)), [FakeTask() for _ in range(3)]


def test_what_is_late_is_cancelled_and_again_until_it_ends(loop: Any) -> None:
    board, tasks = loop
    late = LateItems(1.0, now=0.0)
    board.places[1].take(7, 0.25)
    assert late.look(board.places, tasks, 1.0) == pytest.approx(0.25)
    assert late.look(board.places, tasks, 1.25) == pytest.approx(AGAIN)
    assert [task.count for task in tasks] == [0, 1, 0]
    late.look(board.places, tasks, 1.25 + AGAIN)
    assert tasks[1].count == 2
    assert 1 in late
    assert 0 not in late


def test_it_is_a_timeout_however_it_ends_but_well(loop: Any) -> None:
    board, tasks = loop
    for failure, kind in ((Failure(OSError()), "timed-out"), (None, None)):
        late = LateItems(1.0, now=0.0)
        board.places[0].take(7, 0.0)
        late.look(board.places, tasks, 1.0)
        verdict = late.verdict(0, tasks[0], failure)
        assert (verdict and verdict.kind) == kind
        assert tasks[0].count == 0  # nothing of it stays with the lane
        assert 0 not in late


def test_an_item_that_never_gave_up_the_loop_is_judged_at_its_end() -> None:
    board = Board(Shape.of(1, scattered=True))
    times = board.rows[0].times
    times[0], times[1], times[2] = 10.0, 10.5, 12.0
    late = LateItems(1.0, now=0.0)
    values: list[Any] = ["a", "b"]
    failures: dict[int, Failure] = {}
    for n in range(2):
        late.judge(n, values, failures, times)
    assert values == ["a", None]
    assert BLOCKED in str(failures[1].error)


# In a run.


def kinds(fn: Any, items: Any, model: str, **more: Any) -> list[str]:
    options = {"timeout": TIMEOUT, "in_flight": 4} | more
    return [o.kind for o in outpace.run(fn, items, model=model, **options)]


@pytest.mark.parametrize("model", LOOPS)
def test_a_coroutine_is_cancelled_and_can_clean_up(model: str) -> None:
    cleaned: list[int] = []

    async def wait(item: int) -> int:
        if item == 1:
            try:
                await asyncio.sleep(1000)
            finally:
                cleaned.append(item)
        return item

    assert kinds(wait, range(4), model) == ["done", "timed-out", "done", "done"]
    assert cleaned == [1]


@pytest.mark.parametrize("model", LOOPS)
def test_a_coroutine_that_swallows_that_is_cancelled_again(model: str) -> None:
    async def stubborn(item: int) -> int:
        for _ in range(3 if item == 1 else 0):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
        if item == 1:
            await asyncio.sleep(1000)
        return item

    assert kinds(stubborn, range(3), model) == ["done", "timed-out", "done"]


@pytest.mark.parametrize("model", LOOPS)
def test_a_coroutine_that_ends_well_when_it_is_cancelled_has_a_value(model: str) -> None:
    async def last_minute(item: int) -> str:
        try:
            await asyncio.sleep(1000 if item == 1 else 0)
        except asyncio.CancelledError:
            return "what there was"
        return "all"

    run = outpace.run(last_minute, range(3), model=model, timeout=TIMEOUT, in_flight=4)
    outcomes = list(run)
    # In a lane it was late all the same; on a loop of many its value counts. Neither is lost.
    assert outcomes[1].kind in ("done", "timed-out")
    assert [o.value for o in outcomes if o.index != 1] == ["all", "all"]


@pytest.mark.parametrize("model", LOOPS)
def test_a_timeout_within_the_item_is_the_items_own(model: str) -> None:
    async def with_its_own(item: int) -> int:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1000 if item == 1 else 0)
        return item

    run = outpace.run(with_its_own, range(3), model=model, timeout=30, in_flight=4)
    outcomes = list(run)
    assert [o.kind for o in outcomes] == ["done", "failed", "done"]
    assert type(outcomes[1].error) is TimeoutError


@pytest.mark.parametrize("model", ["serial", "threads"])
def test_a_thread_that_is_stuck_is_abandoned_and_another_takes_its_place(model: str) -> None:
    release = threading.Event()
    threads: list[str] = []

    def stuck(item: int) -> int:
        threads.append(threading.current_thread().name)
        if item in (1, 3):
            release.wait(30)
        return item

    try:
        options = {"timeout": TIMEOUT, "in_flight": 1}
        outcomes = list(outpace.run(stuck, range(6), model=model, **options))
    finally:
        release.set()
    assert [o.kind for o in outcomes] == ["timed-out" if n in (1, 3) else "done" for n in range(6)]
    assert ABANDONED in str(outcomes[1].error)
    assert set(threads) == {"outpace-0"}


def test_what_an_abandoned_thread_says_later_is_not_listened_to() -> None:
    release, said = threading.Event(), threading.Event()

    def late(item: int) -> int:
        if item == 0:
            release.wait(30)
            said.set()
        return item

    run = outpace.run(late, range(3), model="threads", in_flight=1, timeout=TIMEOUT)
    with run:
        assert next(run).kind == "timed-out"
        release.set()
        assert said.wait(30)
        assert [(o.index, o.kind) for o in run] == [(1, "done"), (2, "done")]


def test_the_rest_of_an_abandoned_chunk_is_carried_out_once() -> None:
    release = threading.Event()
    seen: list[int] = []

    def stuck(item: int) -> int:
        seen.append(item)
        if item == 4:
            release.wait(30)
        return item

    try:
        found = kinds(stuck, range(12), "threads", in_flight=1, chunk=12)
    finally:
        release.set()
    assert found == ["done"] * 4 + ["timed-out"] + ["done"] * 7
    assert sorted(seen) == list(range(12))


def test_the_setup_of_an_abandoned_thread_is_closed_when_it_comes_to_its_senses() -> None:
    release, closed = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def setup() -> Iterator[int]:
        me = threading.get_ident()
        yield me
        if me in abandoned:
            closed.set()

    abandoned: set[int] = set()

    def stuck(item: int, me: int) -> int:
        if item == 0:
            abandoned.add(me)
            release.wait(30)
        return item

    assert kinds(stuck, range(2), "threads", in_flight=1, setup=setup) == ["timed-out", "done"]
    release.set()
    assert closed.wait(30)


def test_retries_reach_items_that_were_late() -> None:
    tried: list[int] = []

    async def slow_at_first(item: int) -> int:
        tried.append(item)
        await asyncio.sleep(1000 if tried.count(item) < 3 and item == 1 else 0)
        return item

    retries = outpace.Retry(times=5, wait=0.001)
    run = outpace.run(
        slow_at_first, range(3), model="asyncio", timeout=TIMEOUT, retries=retries, in_flight=4
    )
    assert [(o.kind, o.attempts) for o in run] == [("done", 1), ("done", 3), ("done", 1)]


def test_a_timeout_is_of_one_item_and_not_of_its_chunk() -> None:
    def short(_item: int) -> None:
        time.sleep(0.03)

    assert kinds(short, range(20), "serial", chunk=20) == ["done"] * 20  # 0.6 s in all
