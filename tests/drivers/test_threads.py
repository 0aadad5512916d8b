"""Threads: that many at once, ready before work begins, gone after it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import warnings
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


def test_a_thread_is_ready_before_open_returns_and_each_has_a_setup_of_its_own() -> None:
    opened: list[int] = []
    together = threading.Barrier(5)

    @contextlib.contextmanager
    def setup() -> Iterator[int]:
        opened.append(threading.get_ident())
        yield threading.get_ident()

    def same(_: Any, mine: int) -> bool:
        together.wait(20)
        return mine == threading.get_ident()

    workers = driver.open(Call(same, setup), 5)
    assert len(opened) == 1
    for n in range(5):
        workers.start(Chunk(n, [n]))
    values: list[bool] = []
    while len(values) < 5:
        for report in workers.reports(20):
            values += report.values
    assert values == [True] * 5
    assert len(set(opened)) == 5
    workers.close()
    workers.close()


class Started:
    """The names of the threads that are started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        start = threading.Thread.start

        def noted(thread: threading.Thread) -> None:
            self.names.append(thread.name)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noted)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(monkeypatch)


def test_no_thread_is_opened_for_items_that_never_come(started: Started) -> None:
    assert list(outpace.map(abs, range(3), model="threads", in_flight=10**6)) == [0, 1, 2]
    assert set(started.names) <= {"outpace-0", "outpace-1", "outpace-2"}


def test_nor_for_those_of_an_endless_source_that_nobody_waits_for_yet(started: Started) -> None:
    with outpace.map(abs, itertools.count(), model="threads", in_flight=10**6) as run:
        assert [next(run) for _ in range(3)] == [0, 1, 2]
    assert len(started.names) < 10_000


def test_a_thread_that_is_idle_is_used_before_another_is_hired(started: Started) -> None:
    workers = driver.open(Call(abs), 100)
    for n in range(10):
        while workers._idle.empty():
            pass
        workers.start(Chunk(n, [-n]))
        while not (reports := workers.reports(20)):
            pass
        assert reports[0].values == [n]
    assert started.names == ["outpace-0"]
    workers.close()


def test_a_thread_is_hired_for_each_item_that_waits_for_the_others(started: Started) -> None:
    """However many they are: nobody goes on before all have come."""
    barrier = threading.Barrier(200)
    waited = outpace.map(lambda _: barrier.wait(60), range(200), model="threads", in_flight=10**6)
    assert sorted(waited) == list(range(200))
    assert len(started.names) == 200


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


def test_a_setup_that_fails_in_a_thread_that_is_hired_later_ends_the_run() -> None:
    """Also with what is no Exception."""
    turns, failed = itertools.count(), threading.Event()

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        if next(turns):
            failed.set()
            raise SystemExit("not today")
        yield

    with pytest.raises(SetupError, match="SystemExit: not today"):
        list(
            outpace.run(
                lambda *_: failed.wait(60), range(8), model="threads", in_flight=4, setup=setup
            )
        )


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


def test_when_no_more_threads_can_be_started_those_that_could_carry_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, itertools.count()

    def limited(self: threading.Thread) -> None:
        if 3 <= next(started) < 5:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    held = threading.Semaphore(0)

    def wait(item: int) -> int:
        assert held.acquire(timeout=20)
        return item

    workers = driver.open(Call(wait), 10)
    for n in range(6):
        workers.start(Chunk(n, [n]))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        while not told:  # it hires for a moment at a time
            workers.reports(0)
    assert "only 3 of 10 threads" in str(told[0].message)
    assert "use a lower in_flight=" in str(told[0].message)
    held.release(6)
    done: set[int] = set()
    while len(done) < 6:
        done.update(*(report.indexes for report in workers.reports(20)))
    workers.start(Chunk(6, [6]))  # it has been mended meanwhile
    held.release()
    while len(done) < 7:
        done.update(*(report.indexes for report in workers.reports(20)))
    workers.close()


def test_an_interrupt_between_the_start_of_a_thread_and_its_count_leaves_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, started = threading.Thread.start, itertools.count()

    def interrupted(self: threading.Thread) -> None:
        start(self)
        if next(started) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    workers = driver.open(Call(str), 2)
    for n in range(3):
        workers.start(Chunk(n, [n]))
    with pytest.raises(KeyboardInterrupt):
        workers.reports(0)
    workers.close()


def test_when_no_thread_at_all_can_be_started_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(WorkerStartError, match=r"only 0 of 10 threads .* use a lower in_flight="):
        driver.open(Call(str), 10)


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
