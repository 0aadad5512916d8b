"""Threads: that many at once, ready before work begins, gone after it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.drivers.threads import driver
from outpace.errors import SetupError, WorkerStartError
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.conftest import Gate


def test_as_many_items_run_at_once_as_there_are_threads() -> None:
    barrier = threading.Barrier(6)
    waited = outpace.map(lambda _: barrier.wait(20), range(6), model="threads", in_flight=6)
    assert sorted(waited) == list(range(6))


def test_no_more_items_run_at_once_than_there_are_threads(gate: Gate) -> None:
    with outpace.map(gate.plain(), itertools.count(), model="threads", in_flight=3) as run:
        reader = threading.Thread(target=next, args=(run,))
        reader.start()
        assert sorted(gate.arrivals(3)) == ["0", "1", "2"]
        gate._listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            gate.arrivals(1)
        gate.close()
        reader.join()


def test_a_slow_item_holds_up_nobody_else(gate: Gate) -> None:
    stop_at_the_gate = gate.plain()

    def slow_first(item: int) -> int:
        return stop_at_the_gate(item) if item == 0 else item

    run = outpace.map(slow_first, range(500), model="threads", in_flight=2, ordered=False)
    first = [next(run) for _ in range(499)]
    assert sorted(first) == list(range(1, 500))
    gate.arrivals(1)
    gate.let_through()
    assert list(run) == [0]


def test_threads_are_ready_before_open_returns_each_with_a_setup_of_its_own() -> None:
    opened: list[int] = []

    @contextlib.contextmanager
    def setup() -> Iterator[int]:
        opened.append(threading.get_ident())
        yield threading.get_ident()

    def same(_: Any, mine: int) -> bool:
        return mine == threading.get_ident()

    workers = driver.open(Call(same, setup), 5)
    assert len(set(opened)) == 5
    workers.start(Chunk(0, [1, 2, 3]))
    (report,) = workers.reports(None)
    assert report.values == [True] * 3
    workers.close()
    workers.close()


def test_waiting_for_reports_ends_when_time_is_up_and_when_woken() -> None:
    workers = driver.open(Call(abs), 1)
    assert list(workers.reports(0.0)) == []
    workers.wake()
    assert list(workers.reports(None)) == []
    workers.close()


def test_closing_waits_for_running_items_and_drops_those_that_wait(gate: Gate) -> None:
    ran: list[int] = []
    stop_at_the_gate = gate.plain()

    def note(item: int) -> None:
        stop_at_the_gate(item)
        ran.append(item)

    workers = driver.open(Call(note), 1)
    for n in range(5):
        workers.start(Chunk(n, [n]))
    gate.arrivals(1)
    closing = threading.Thread(target=workers.close)
    closing.start()
    while not workers._closing.is_set():
        pass
    gate.let_through()
    closing.join(20)
    assert ran == [0]


def test_closing_cancels_coroutines(gate: Gate) -> None:
    run = outpace.map(gate.coroutine(), range(10), model="threads", in_flight=4)
    reader = threading.Thread(target=lambda: list(run))
    reader.start()
    gate.arrivals(4)
    run.close()
    gate.wait_until_gone()
    reader.join(20)


def fails_in_second_thread() -> Callable[[], Any]:
    """Make a setup that fails in every thread but the first, with what is no Exception."""
    turns = itertools.count()

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        if next(turns):
            raise SystemExit("not today")
        yield

    return setup


def test_a_setup_that_fails_in_one_thread_ends_them_all() -> None:
    with pytest.raises(SetupError, match="SystemExit: not today"):
        driver.open(Call(lambda item, _: item, fails_in_second_thread()), 4)


def test_a_setup_that_raises_keyboard_interrupt_hangs_nothing() -> None:
    def setup() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.open(Call(lambda item, _: item, setup), 2)


def test_a_thread_that_cannot_have_a_loop_hangs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def later(item: int) -> int:
        return item

    def no_loop() -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", no_loop)
    with pytest.raises(WorkerStartError, match="an event loop needs 4 file descriptors"):
        driver.open(Call(later, is_async=True), 4)


def test_when_no_more_threads_can_be_started_it_says_how_many_could(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, itertools.count()

    def limited(self: threading.Thread) -> None:
        if next(started) == 3:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(WorkerStartError, match=r"only 3 of 10 threads .* use a lower in_flight="):
        driver.open(Call(abs), 10)


def test_a_lane_that_breaks_is_an_error_and_not_a_hang() -> None:
    async def close_its_own_loop(_: int) -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="Event loop stopped"):
        list(outpace.map(close_its_own_loop, range(3), model="threads", in_flight=1))


def test_an_interpreter_that_ends_does_not_wait_for_items_in_threads(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python("""
import outpace, threading, time
def slow(item):
    if item:
        time.sleep(60)
    return item
kept = iter(outpace.map(slow, range(4), model="threads", in_flight=4))
print(next(kept))
""")
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


def test_two_runs_side_by_side_in_two_threads_do_not_disturb_each_other() -> None:
    results: dict[int, list[int]] = {}

    def use(offset: int) -> None:
        results[offset] = list(outpace.map(lambda n: n + offset, range(500), model="threads"))

    users = [threading.Thread(target=use, args=(1_000 * n,)) for n in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(20)
    assert results == {1_000 * n: list(range(1_000 * n, 1_000 * n + 500)) for n in range(4)}


def test_a_run_inside_an_item_works() -> None:
    def inner(n: int) -> int:
        return sum(outpace.map(abs, range(n), model="threads", in_flight=2))

    assert list(outpace.map(inner, [3, 4], model="threads", in_flight=2)) == [3, 6]
