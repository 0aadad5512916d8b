"""A loop that an item blocks for too long is given up, and everything else goes on without it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import outpace
from outpace.drivers._abandon import _LoopThread
from outpace.drivers._late import BLOCKED
from outpace.errors import SetupError

TIMEOUT = 0.2


class Blocker:
    """Be a place where items block their thread until the test is over."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.threads: set[int] = set()

    def block(self) -> None:
        self.threads.add(threading.get_ident())
        self.release.wait(30)


@pytest.fixture
def blocker() -> Any:
    made = Blocker()
    yield made
    made.release.set()


def run(fn: Any, items: Any, **more: Any) -> list[Any]:
    options = {"timeout": TIMEOUT, "in_flight": 4} | more
    return list(outpace.run(fn, items, model="asyncio", **options))


def test_a_plain_function_that_blocks_costs_one_item(blocker: Blocker) -> None:
    def work(item: int) -> int:
        if item == 5:
            blocker.block()
        return item

    outcomes = run(work, range(20))
    assert [o.kind for o in outcomes] == ["timed-out" if n == 5 else "done" for n in range(20)]
    assert "a thread cannot be killed" in str(outcomes[5].error)
    assert outcomes[5].ended - outcomes[5].started >= TIMEOUT


def test_so_does_a_coroutine_that_blocks_after_it_has_waited(blocker: Blocker) -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0.001)
        if item == 5:
            blocker.block()
        return item

    outcomes = run(work, range(20))
    assert [o.kind for o in outcomes] == ["timed-out" if n == 5 else "done" for n in range(20)]


def test_who_waits_on_the_loop_that_is_given_up_begins_again_on_another(blocker: Blocker) -> None:
    async def work(item: int) -> tuple[int, int]:
        if item == 2:
            await asyncio.sleep(0.02)
            blocker.block()
        await asyncio.sleep(0.05)
        return item, threading.get_ident()

    outcomes = run(work, range(4))
    assert [o.kind for o in outcomes] == ["done", "done", "timed-out", "done"]
    assert not {o.value[1] for o in outcomes if o.ok} & blocker.threads
    assert [o.attempts for o in outcomes] == [1, 1, 1, 1]


@pytest.mark.slow
def test_several_loops_are_given_up_one_after_another(blocker: Blocker) -> None:
    def work(item: int) -> int:
        if item % 4 == 1:
            blocker.block()
        return item

    outcomes = run(work, range(12))
    assert [o.kind for o in outcomes] == ["timed-out" if n % 4 == 1 else "done" for n in range(12)]
    assert len(blocker.threads) == 3


def test_every_loop_has_a_setup_of_its_own(blocker: Blocker) -> None:
    from contextlib import asynccontextmanager

    opened: list[int] = []

    @asynccontextmanager
    async def setup() -> Any:
        opened.append(threading.get_ident())
        yield threading.get_ident()

    async def work(item: int, thread: int) -> bool:
        if item == 1:
            blocker.block()
        return thread == threading.get_ident()

    outcomes = run(work, range(6), setup=setup)
    assert [o.value for o in outcomes if o.ok] == [True] * 5
    assert len(opened) == 2


def test_a_setup_that_fails_is_told_as_always() -> None:
    def setup() -> Any:
        raise LookupError("no service")

    with pytest.raises(SetupError, match="no service"):
        run(lambda item, _: item, range(3), setup=setup)


def test_without_a_timeout_the_loop_is_in_the_callers_thread() -> None:
    outcomes = run(lambda _: threading.get_ident(), range(3), timeout=None)
    assert {o.value for o in outcomes} == {threading.get_ident()}


def test_what_is_late_without_blocking_is_cancelled_and_the_loop_stays() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(1000 if item == 1 else 0)
        return threading.get_ident()

    outcomes = run(work, range(6))
    assert [o.kind for o in outcomes] == ["done", "timed-out"] + ["done"] * 4
    assert len({o.value for o in outcomes if o.ok}) == 1


def test_a_run_can_be_left_while_an_item_blocks(blocker: Blocker) -> None:
    def work(item: int) -> int:
        if item == 1:
            blocker.block()
        return item

    with outpace.run(work, range(1000), model="asyncio", timeout=TIMEOUT, in_flight=2) as it:
        assert next(it).value == 0
        threading.Timer(0.05, blocker.release.set).start()


def test_an_item_that_blocks_for_less_than_the_timeout_is_done(blocker: Blocker) -> None:
    def work(item: int) -> int:
        time.sleep(0.02)
        return item

    assert [o.kind for o in run(work, range(10), timeout=30)] == ["done"] * 10


def test_an_item_that_lets_go_of_the_loop_as_that_is_given_up_keeps_it(
    blocker: Blocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of once, and nothing that the loop has done is done again."""
    begun: list[int] = []
    give_up = _LoopThread.give_up

    def work(item: int) -> int:
        begun.append(item)
        if item == 2:
            blocker.block()
        return threading.get_ident()

    def let_go_just_before(self: _LoopThread, stuck: tuple[int, float]) -> Any:
        if not blocker.release.is_set():
            blocker.release.set()
            while self._answers.empty():  # the loop has gone on, and says what it has done
                time.sleep(0.001)
        return give_up(self, stuck)

    monkeypatch.setattr(_LoopThread, "give_up", let_go_just_before)
    outcomes = run(work, range(5))
    assert [o.kind for o in outcomes] == ["done", "done", "timed-out", "done", "done"]
    assert BLOCKED in str(outcomes[2].error)
    assert len({o.value for o in outcomes if o.ok}) == 1
    assert sorted(begun) == list(range(5))


def test_what_had_ended_on_the_loop_before_the_item_that_blocks_is_not_done_again(
    blocker: Blocker,
) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise LookupError
        if item == 5:
            blocker.block()
        return item

    outcomes = run(work, range(20), chunk=20)
    kinds = {3: "failed", 5: "timed-out"}
    assert [o.kind for o in outcomes] == [kinds.get(n, "done") for n in range(20)]
    assert [o.value for o in outcomes if o.ok] == [n for n in range(20) if n not in kinds]
    assert sorted(begun) == list(range(20))


def test_a_loop_that_was_given_up_begins_nothing_more(blocker: Blocker) -> None:
    begun: list[tuple[int, int]] = []

    async def work(item: int) -> int:
        begun.append((item, threading.get_ident()))
        await asyncio.sleep(0.001)
        if item == 1:
            blocker.block()
        return item

    outcomes = run(work, range(30), in_flight=2)
    stuck = next(t for t in threading.enumerate() if t.ident in blocker.threads)
    blocker.release.set()
    stuck.join(30)
    assert [o.kind for o in outcomes] == ["done", "timed-out"] + ["done"] * 28
    assert {item for item, thread in begun if thread == stuck.ident} <= {0, 1, 2}
