"""Where items come from: slow iterables, and runs that feed runs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import OutpaceError, SetupError, UsageError
from outpace.flow.credit import AIM
from outpace.registry import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conftest import Gate

NEVER = 60.0  # seconds until a test gives up


def double(item: int) -> int:
    return 2 * item


def half(item: int) -> float:
    return item / 2


async def adouble(item: int) -> int:
    return 2 * item


@pytest.mark.parametrize("model", [*names(), "auto"])
def test_a_plain_iterable_is_read_in_the_callers_thread_however_slow_it_is(model: str) -> None:
    """Much that Python programs read can be used in one thread only."""
    touched = set()

    def items() -> Iterator[int]:
        for n in range(5):
            touched.add(threading.get_ident())
            time.sleep(2 * AIM)
            yield n

    assert list(outpace.map(double, items(), model=model)) == [0, 2, 4, 6, 8]
    assert touched == {threading.get_ident()}


def test_what_goes_side_by_side_with_a_run_is_read_in_the_callers_thread_too() -> None:
    touched = set()

    def items() -> Iterator[int]:
        for n in range(5):
            touched.add(threading.get_ident())
            yield n

    stage = outpace.map(double, range(5), model="threads")
    both = outpace.map(lambda x, y: x + y, stage, items(), model="serial")
    assert list(both) == [0, 3, 6, 9, 12]
    assert touched == {threading.get_ident()}


def test_a_run_that_had_begun_goes_on_where_it_was() -> None:
    closed_in = []

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        closed_in.append(threading.get_ident())

    stage = outpace.map(lambda item, _: item, range(10), model="serial", setup=setup)
    assert next(stage) == 0
    assert list(outpace.map(double, stage, model="serial")) == list(range(2, 20, 2))
    assert closed_in == [threading.get_ident()]


# Runs that feed runs.


@pytest.mark.parametrize("first", names())
def test_the_values_of_a_run_are_the_items_of_another(first: str) -> None:
    stage = outpace.map(double, range(100), model=first)
    assert list(outpace.map(half, stage, model="threads", in_flight=3)) == list(range(100))


def test_stages_may_be_many_and_of_every_model() -> None:
    stage: Any = range(50)
    for model in names():
        stage = outpace.map(double, stage, model=model)
    assert list(stage) == [n * 2 ** len(names()) for n in range(50)]


def test_the_length_goes_through_all_stages() -> None:
    stage = outpace.map(double, range(7), model="serial")
    with outpace.map(half, stage, model="serial") as run:
        assert len(run) == 7


def test_a_stage_is_carried_on_while_the_next_one_works(gate: Gate) -> None:
    """Three items of the second stage stand at a gate; the first stage goes on, as far as it may."""
    enough, done = threading.Event(), []

    def note(item: int) -> int:
        done.append(item)
        if len(done) >= 5:
            enough.set()
        return item

    stage = outpace.map(note, itertools.count(), model="serial", chunk=1)
    with outpace.map(gate.plain(), stage, model="threads", in_flight=3) as run:
        thread = threading.Thread(
            target=lambda: (gate.arrivals(3), enough.wait(NEVER), gate.let_through())
        )
        thread.start()
        assert next(run) == 0
        thread.join()
        assert enough.is_set()
        assert len(done) < 100
        gate.close()


def test_outcomes_are_items_too() -> None:
    stage = outpace.run(half, [2, "two", 4], model="threads")
    kinds = list(outpace.map(lambda outcome: outcome.kind, stage, model="serial"))
    assert kinds == ["done", "failed", "done"]


def test_an_error_of_the_first_stage_comes_out_of_the_last() -> None:
    def fails_at_three(item: int) -> int:
        if item == 3:
            raise LookupError("three")
        return item

    stage = outpace.map(fails_at_three, range(6), model="threads")
    run = outpace.map(double, stage, model="threads")
    assert [next(run) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(LookupError, match="three"):
        next(run)


def test_all_stages_are_closed_together() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append("items")

    first = outpace.map(double, items(), model="processes", workers=2)
    second = outpace.map(half, first, model="threads", in_flight=2)
    for value in outpace.map(double, second, model="serial"):
        if value >= 20:
            break
    assert first._engine.over
    assert second._engine.over
    del first, second
    assert closed == ["items"]


@contextlib.contextmanager
def fails_at_its_exit() -> Iterator[None]:
    yield
    raise LookupError("no exit")


def test_a_stage_is_over_too_where_the_closing_of_the_last_one_fails(gate: Gate) -> None:
    """Its item ends before anybody goes on, though there is an error to be raised."""

    def stage() -> outpace.Run[Any]:
        def stop_from_the_second_on(item: int) -> int:
            return item if item == 0 else stop(item)

        return outpace.map(stop_from_the_second_on, itertools.count(), model="threads", in_flight=1)

    async def awaited(first: outpace.Run[Any]) -> None:
        run = outpace.amap(lambda x, _: x, first, model="threads", setup=fails_at_its_exit)
        assert await anext(run) == 0
        gate.arrivals(1)
        threading.Timer(0.2, gate.let_through).start()
        with pytest.raises(SetupError):
            await run.aclose()

    stop = gate.plain()
    first = stage()
    run = outpace.map(lambda x, _: x, first, model="threads", setup=fails_at_its_exit)
    assert next(run) == 0
    gate.arrivals(1)
    threading.Timer(0.2, gate.let_through).start()
    with pytest.raises(SetupError):
        run.close()
    assert first._engine.over
    first = stage()
    asyncio.run(awaited(first))
    assert first._engine.over


def test_several_iterables_may_be_runs() -> None:
    one = outpace.map(double, range(10), model="threads")
    two = outpace.map(half, range(10), model="processes", workers=1)
    assert list(outpace.map(lambda x, y: x * y, one, two, model="serial")) == [
        n * n for n in range(10)
    ]


def test_awaited_stages_feed_one_another() -> None:
    async def main() -> list[float]:
        first = outpace.amap(adouble, range(100), model="asyncio")
        second = outpace.amap(half, first, model="threads")
        third = outpace.amap(
            double, outpace.map(half, range(100), model="processes", workers=1), model="threads"
        )
        one = [value async for value in second]
        two = [value async for value in third]
        assert one == two
        return one

    assert asyncio.run(main()) == list(range(100))


def test_awaited_stages_are_closed_together() -> None:
    async def items() -> AsyncIterator[int]:
        for n in itertools.count():
            yield n

    async def main() -> None:
        first = outpace.amap(adouble, items(), model="asyncio")
        plain = outpace.map(double, itertools.count(), model="threads")
        for stage in (first, plain):
            async with outpace.amap(half, stage, model="threads") as run:
                assert await anext(run) == 0
            assert stage._engine.over

    asyncio.run(main())


def test_a_run_feeds_one_run_and_nobody_else() -> None:
    stage = outpace.map(double, range(3), model="serial")
    run = outpace.map(half, stage, model="serial")
    with pytest.raises(
        UsageError, match="this run is the items of another run; it can feed only one"
    ):
        outpace.map(half, stage, model="serial")
    with pytest.raises(
        UsageError, match="this run is the items of another run; take the values there"
    ):
        iter(stage)
    assert list(run) == [0, 1, 2]


def test_a_run_that_is_over_feeds_no_other() -> None:
    stage = outpace.map(double, range(3), model="serial")
    list(stage)
    with pytest.raises(UsageError, match="this run has been used up"):
        outpace.map(half, stage, model="serial")
    closed = outpace.map(double, range(3), model="serial")
    closed.close()
    with pytest.raises(UsageError, match="this run is closed"):
        outpace.map(half, closed, model="serial")


def test_an_error_of_the_call_leaves_the_run_to_whoever_has_it() -> None:
    stage = outpace.map(double, range(3), model="serial")
    with pytest.raises(UsageError, match="timeout"):
        outpace.map(half, stage, timeout=0)
    assert list(stage) == [0, 2, 4]


def test_where_no_thread_can_start_stages_go_on_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    stage = outpace.map(double, range(30), model="serial")
    assert list(outpace.map(half, stage, model="serial")) == list(range(30))


@pytest.mark.parametrize("first", ["threads", "processes"])
def test_a_ctrl_c_ends_all_stages_and_is_said_once(
    first: str, gate: Gate, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = outpace.map(double, itertools.count(), model=first, workers=1)
    run = outpace.map(gate.plain(), stage, model="threads", in_flight=2)

    def interrupt() -> None:
        gate.arrivals(2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        next(run)
    thread.join()
    assert stage._engine.over
    assert capfd.readouterr().err.count("interrupted: ") == 1
    gate.let_through()


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "process"},
        {"workers": 0},
        {"ordered": "yes"},
        {"max_items": 0},
        {"progress": "yes"},
        {"rate": 0},
    ],
)
def test_a_call_that_is_refused_leaves_the_run_as_it_was(wrong: dict[str, Any]) -> None:
    stage = outpace.map(double, range(3), model="serial")
    with pytest.raises(OutpaceError):
        outpace.map(half, stage, **wrong)
    assert list(outpace.map(half, stage, model="serial")) == [0, 1, 2]


def test_a_run_beside_itself_is_refused_and_left_as_it_was() -> None:
    stage = outpace.map(double, range(3), model="serial")
    with pytest.raises(UsageError, match="it can feed only one"):
        outpace.map(max, stage, stage)
    assert list(stage) == [0, 2, 4]


def test_a_race_takes_the_values_of_a_run() -> None:
    stage = outpace.map(double, range(3), model="serial")
    entrants = outpace.race(half, stage, models=["serial"], repeat=1).entrants
    assert [entrant.status for entrant in entrants] == ["ran"]
