"""The loop for those who await: amap and arun, with items that come in time or not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import UsageTypeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.conftest import Gate

INSIDE = ["serial", "threads", "asyncio"]
every_inside_model = pytest.mark.parametrize("model", INSIDE)


def double(item: int) -> int:
    return 2 * item


async def double_later(item: int) -> int:
    await asyncio.sleep(0)
    return 2 * item


def in_time(main: Awaitable[Any], seconds: float = 20) -> Any:
    """Run to the end of it, but not for ever."""

    async def bounded() -> Any:
        return await asyncio.wait_for(main, seconds)

    return asyncio.run(bounded())


async def into(got: list[Any], run: Any) -> None:
    """Put the values there as they come, so that they are there also when an error does."""
    async for value in run:
        got.append(value)  # noqa: PERF401


@every_inside_model
@pytest.mark.parametrize("fn", [double, double_later])
def test_values_come_in_order_from_inside_a_running_loop(
    model: str, fn: Callable[[int], Any]
) -> None:
    async def main() -> list[int]:
        return [value async for value in outpace.amap(fn, range(500), model=model)]

    assert in_time(main()) == list(range(0, 1_000, 2))


@pytest.mark.parametrize("door", ["amap", "arun"])
@pytest.mark.parametrize("how", ["await", "gather", "wait_for"])
def test_whoever_awaits_a_run_is_told_to_loop_over_it(door: str, how: str) -> None:
    async def main() -> None:
        run = getattr(outpace, door)(double, [1])
        if how == "gather":
            await asyncio.gather(run)
        elif how == "wait_for":
            await asyncio.wait_for(run, 1)
        else:
            await run

    with pytest.raises(
        UsageTypeError, match=r"^a run is not awaited, .*`async for value in "
    ) as caught:
        in_time(main())
    assert "\n" not in str(caught.value)


def test_a_run_is_a_source_of_items_and_no_awaitable_one() -> None:
    async def main() -> list[int]:
        first = outpace.amap(double, range(5), model="asyncio")
        return [value async for value in outpace.amap(double, first, model="threads")]

    assert in_time(main()) == [0, 4, 8, 12, 16]


def test_an_item_that_returns_a_run_is_told_the_same() -> None:
    (outcome,) = outpace.run(lambda item: outpace.amap(double, [item]), [1], model="threads")

    assert isinstance(outcome.error, UsageTypeError)


def test_coroutines_run_on_the_callers_own_loop() -> None:
    async def where(_: int) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def main() -> set[asyncio.AbstractEventLoop]:
        here = asyncio.get_running_loop()
        async for loop in outpace.amap(where, range(3), model="asyncio"):
            assert loop is here

    in_time(main())


@every_inside_model
def test_the_callers_loop_goes_on_while_items_run(model: str, gate: Gate) -> None:
    fn = gate.coroutine() if model == "asyncio" else gate.plain()

    async def main() -> list[int]:
        async def open_the_gate() -> None:
            await asyncio.to_thread(gate.arrivals, 1)
            gate.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(open_the_gate())
            return [value async for value in outpace.amap(fn, [7], model=model)]

    assert in_time(main()) == [7]


@every_inside_model
def test_items_may_come_from_an_asynchronous_iterable(model: str) -> None:
    async def items() -> AsyncIterator[int]:
        for n in range(50):
            if n % 7 == 0:
                await asyncio.sleep(0)
            yield n

    async def main() -> list[int]:
        return [value async for value in outpace.amap(double, items(), model=model)]

    assert in_time(main()) == list(range(0, 100, 2))


@every_inside_model
def test_results_that_are_ready_do_not_wait_for_a_slow_source(model: str) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def items() -> AsyncIterator[int]:
            yield 1
            yield 2
            await go_on.wait()
            yield 3

        run = outpace.amap(double, items(), model=model)
        assert [await anext(run), await anext(run)] == [2, 4]
        go_on.set()
        assert [value async for value in run] == [6]

    in_time(main())


def test_an_asynchronous_source_is_read_no_further_than_what_is_in_flight(gate: Gate) -> None:
    read = 0

    async def items() -> AsyncIterator[int]:
        nonlocal read
        for n in itertools.count():
            read += 1
            yield n

    async def main() -> None:
        async with outpace.amap(gate.coroutine(), items(), model="asyncio", in_flight=3) as run:
            first = asyncio.ensure_future(anext(run))
            await asyncio.to_thread(gate.arrivals, 3)
            for _ in range(20):
                await asyncio.sleep(0)
            assert read <= 4  # one may have been read ahead
            gate.close()
            assert await first == 0

    in_time(main())


@every_inside_model
def test_a_source_that_raises_does_so_after_everything_before_it(model: str) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise OSError("the stream broke")

    async def main() -> None:
        got: list[int] = []
        with pytest.raises(OSError, match="the stream broke"):
            await into(got, outpace.amap(double, items(), model=model))
        assert got == [2, 4]

    in_time(main())


def test_a_source_that_cannot_even_begin_is_an_error_and_not_a_hang() -> None:
    class Items:
        def __aiter__(self) -> Any:
            raise ConnectionError("nobody there")

    async def main() -> None:
        with pytest.raises(ConnectionError, match="nobody there"):
            await into([], outpace.amap(double, Items(), model="asyncio"))

    in_time(main())


def test_a_source_that_cancels_itself_is_not_taken_for_one_that_ended() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    async def main() -> None:
        got: list[int] = []
        with pytest.raises(asyncio.CancelledError):
            await into(got, outpace.amap(double, items(), model="asyncio"))
        assert got == [2]

    in_time(main())


@every_inside_model
def test_leaving_the_loop_closes_items_source_and_workers(model: str) -> None:
    ended: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            for n in itertools.count():
                yield n
                await asyncio.sleep(0)
        finally:
            ended.append("source")

    async def main() -> None:
        before = asyncio.all_tasks()
        async with outpace.amap(double, items(), model=model) as run:
            async for value in run:
                if value == 10:
                    break
        assert ended == ["source"]
        assert asyncio.all_tasks() == before

    in_time(main())


@every_inside_model
def test_a_loop_that_is_left_without_a_word_is_closed_by_asyncio(model: str) -> None:
    async def main() -> None:
        async for _ in outpace.amap(double_later, itertools.count(), model=model):
            break

    in_time(main())


@pytest.mark.parametrize("model", [*INSIDE, "processes"])
def test_a_run_that_is_still_referred_to_when_the_loop_ends_holds_nothing_up(
    model: str, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(outpace.amap(gate.coroutine(), itertools.count(), model=model, in_flight=2))
        first = asyncio.ensure_future(anext(kept[0]))
        await asyncio.to_thread(gate.arrivals, 1 if model == "serial" else 2)
        gate.let_through()
        await first
        raise LookupError("the caller fails, and its traceback keeps everything")

    with pytest.raises(LookupError):
        in_time(main())
    assert caplog.text == ""


@every_inside_model
@pytest.mark.parametrize("what", ["run", "loop", "both"])
def test_a_loop_that_is_still_referred_to_when_asyncio_ends_is_closed_without_complaint(
    model: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[Any] = []

    async def main() -> None:
        run = outpace.amap(double_later, itertools.count(), model=model)
        loop = aiter(run)
        kept.extend({"run": [run], "loop": [loop], "both": [run, loop]}[what])
        async for value in loop:
            if value == 20:
                raise LookupError("the caller fails, and its traceback keeps everything")

    with pytest.raises(LookupError):
        in_time(main())
    assert caplog.text == ""


@every_inside_model
def test_a_loop_that_is_left_closes_the_run_also_while_the_run_is_referred_to(model: str) -> None:
    async def main() -> None:
        run = outpace.amap(double_later, itertools.count(), model=model)
        async for value in run:
            if value == 20:
                break
        with pytest.raises(
            outpace.errors.UsageError, match="closed when the loop over it was left"
        ):
            aiter(run)

    in_time(main())


@every_inside_model
def test_a_run_that_was_read_to_its_end_says_so_when_it_is_looped_over_again(model: str) -> None:
    async def main() -> None:
        run = outpace.amap(double, [1], model=model)
        assert [value async for value in run] == [2]
        with pytest.raises(outpace.errors.UsageError, match=r"used up.*outpace\.amap again"):
            [value async for value in run]
        with pytest.raises(StopAsyncIteration):
            await anext(run)
        async with outpace.amap(double, [1, 2], model=model) as run:
            assert await anext(run) == 2
        with pytest.raises(outpace.errors.UsageError, match=r"closed; call outpace\.amap again"):
            aiter(run)

    in_time(main())


@pytest.mark.parametrize("model", [*INSIDE, "processes", "processes+asyncio"])
def test_cancelling_the_caller_cancels_coroutines_wherever_they_wait(
    model: str, gate: Gate
) -> None:
    async def main() -> None:
        run = outpace.amap(gate.coroutine(), itertools.count(), model=model, in_flight=2, workers=1)
        waiting = asyncio.ensure_future(into([], run))
        await asyncio.to_thread(gate.arrivals, 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(gate.wait_until_gone)

    in_time(main())


def test_cancelling_while_workers_are_being_opened_closes_them_again() -> None:
    opening, go_on = threading.Event(), threading.Event()
    closed: list[int] = []

    @contextlib.contextmanager
    def setup() -> Any:
        opening.set()
        go_on.wait(20)
        yield
        closed.append(1)

    async def main() -> None:
        run = outpace.amap(lambda item, _: item, [1], model="threads", in_flight=3, setup=setup)
        waiting = asyncio.ensure_future(into([], run))
        await asyncio.to_thread(opening.wait, 20)
        waiting.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await run.aclose()
        assert closed == [1]

    in_time(main())


# Giving up waiting, and waiting together.

AWAITED = pytest.mark.parametrize("model", [*INSIDE, "processes", "processes+asyncio", "auto"])


@AWAITED
@pytest.mark.parametrize("ordered", [True, False])
def test_whoever_gives_up_waiting_for_a_value_loses_none(
    model: str, gate: Gate, *, ordered: bool
) -> None:
    async def main() -> None:
        fn = gate.coroutine() if model.endswith("asyncio") else gate.plain()
        run = outpace.amap(fn, range(12), model=model, in_flight=2, ordered=ordered)
        got: list[int] = []
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(run), 0.02)

        def let_one_after_the_other_through() -> None:
            for _ in range(12):
                gate.arrivals(1)
                gate.let_through()

        opening = asyncio.ensure_future(asyncio.to_thread(let_one_after_the_other_through))
        while len(got) < 12:
            with contextlib.suppress(TimeoutError):
                got.append(await asyncio.wait_for(anext(run), 0.001))
        await opening
        assert [value async for value in run] == []
        assert sorted(got) == list(range(12))
        assert got == list(range(12)) or not ordered

    in_time(main(), 60)


@AWAITED
def test_a_value_that_is_ready_just_as_one_gives_up_is_the_next_ones(model: str) -> None:
    async def main() -> None:
        run = outpace.amap(double, range(300), model=model, in_flight=3, chunk=1)
        got: list[int] = []
        patience = itertools.cycle([0, 1e-5, 1e-4, 1e-3])
        while True:
            try:
                got.append(await asyncio.wait_for(anext(run), next(patience)))
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
        assert got == list(range(0, 600, 2))

    in_time(main(), 60)


@every_inside_model
def test_an_error_that_comes_while_nobody_waits_is_not_lost(model: str, gate: Gate) -> None:
    wait = gate.coroutine()

    async def fails(item: int) -> int:
        await wait(item)
        raise LookupError(item)

    async def main() -> None:
        run = outpace.amap(fails, [7], model=model)
        arrival = asyncio.ensure_future(asyncio.to_thread(gate.arrivals, 1))
        while not arrival.done():  # with nobody who waits, nothing is started either
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(anext(run), 0.01)
        gate.let_through()
        with pytest.raises(LookupError):
            await anext(run)
        with pytest.raises(StopAsyncIteration):
            await anext(run)

    in_time(main())


@AWAITED
def test_another_task_may_close_a_run_that_one_waits_for(model: str, gate: Gate) -> None:
    async def main() -> None:
        fn = gate.coroutine() if model.endswith("asyncio") else gate.plain()
        run = outpace.amap(fn, itertools.count(), model=model, in_flight=2)
        waiting = asyncio.ensure_future(into([], run))
        await asyncio.to_thread(gate.arrivals, 1)
        closing = [asyncio.ensure_future(run.aclose()) for _ in range(2)]
        await asyncio.sleep(0)
        gate.close()
        await asyncio.gather(waiting, *closing)

    in_time(main(), 60)


@AWAITED
def test_of_several_tasks_that_iterate_over_one_run_each_gets_a_share(model: str) -> None:
    async def main() -> None:
        run = outpace.amap(double, range(200), model=model, in_flight=3, chunk=1)
        shares: list[list[int]] = [[], [], []]
        loops = [aiter(run) for _ in shares]  # before the first one has come to its end

        async def read(share: list[int], loop: Any) -> None:
            async for value in loop:
                share.append(value)
                await asyncio.sleep(0)

        await asyncio.gather(*map(read, shares, loops))
        assert sorted(itertools.chain(*shares)) == list(range(0, 400, 2))

    in_time(main(), 60)


def test_an_error_of_the_closing_that_nobody_gets_is_told_to_the_loop() -> None:
    @contextlib.contextmanager
    def setup() -> Any:
        yield
        raise LookupError("at the exit")

    async def main() -> None:
        told = asyncio.get_running_loop().create_future()
        told.get_loop().set_exception_handler(lambda _, what: told.set_result(what))
        async for _ in outpace.amap(lambda item, _: item, range(9), model="threads", setup=setup):
            break
        assert str((await told)["exception"]).endswith("LookupError: at the exit")
        with pytest.raises(outpace.errors.SetupError, match="at the exit"):
            async with outpace.amap(lambda item, _: item, range(9), setup=setup) as run:
                await anext(run)

    in_time(main())


def test_stop_is_heard_while_a_slow_source_is_waited_for() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> list[int]:
        run = outpace.amap(double, items(), model="asyncio")
        got = [await anext(run)]
        asyncio.get_running_loop().call_soon(run.stop)
        return got + [value async for value in run]

    assert in_time(main()) == [2]


@every_inside_model
def test_stop_lets_what_is_in_flight_come_out(model: str) -> None:
    async def main() -> None:
        run = outpace.amap(double, itertools.count(), model=model)
        got = [await anext(run)]
        run.stop()
        got += [value async for value in run]
        assert got == list(range(0, 2 * len(got), 2))

    in_time(main())


def test_arun_gives_outcomes_and_never_raises_for_an_item() -> None:
    async def third_fails(item: int) -> int:
        if item == 3:
            raise LookupError("three")
        return item

    async def main() -> list[str]:
        return [outcome.kind async for outcome in outpace.arun(third_fails, range(5))]

    assert in_time(main()) == ["done", "done", "done", "failed", "done"]


def test_amap_raises_the_first_error_in_its_place() -> None:
    async def main() -> None:
        got: list[int] = []

        async def third_fails(item: int) -> int:
            if item == 3:
                raise LookupError("three")
            return item

        with pytest.raises(LookupError, match="three") as raised:
            await into(got, outpace.amap(third_fails, range(9)))
        assert got == [0, 1, 2]
        assert raised.value.__notes__ == ["outpace: this was item 3: 3"]

    in_time(main())


def test_two_runs_side_by_side_on_one_loop_do_not_disturb_each_other() -> None:
    async def all_of(run: Any) -> list[int]:
        return [value async for value in run]

    async def main() -> None:
        runs = [
            outpace.amap(double_later, range(300), in_flight=n, model="asyncio")
            for n in (1, 7, 200)
        ]
        for values in await asyncio.gather(*map(all_of, runs)):
            assert values == list(range(0, 600, 2))

    in_time(main())


def test_the_summary_of_an_asynchronous_run_counts_too() -> None:
    async def main() -> None:
        run = outpace.amap(double_later, range(20), model="asyncio", in_flight=5)
        async for _ in run:
            pass
        assert (run.model, run.summary.items, run.summary.in_flight) == ("asyncio", 20, 5)
        await run.aclose()
        await run.aclose()

    in_time(main())
