"""Tasks on one loop: each item as if it were alone, whatever it does with the loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.drivers import _tasks as module
from outpace.drivers.asyncio import driver
from outpace.errors import SetupError
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.conftest import Gate

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def outcomes(fn: Callable[[Any], Any], items: Any, **settings: Any) -> list[outpace.Outcome]:
    return list(outpace.run(fn, items, model="asyncio", **settings))


def values(fn: Callable[..., Any], items: Any, **settings: Any) -> list[Any]:
    return list(outpace.map(fn, items, model="asyncio", **settings))


# Many at once.


def test_as_many_items_are_in_flight_as_there_are_lanes() -> None:
    barriers: list[asyncio.Barrier] = []

    async def meet(_: int) -> int:
        if not barriers:
            barriers.append(asyncio.Barrier(50))
        return await asyncio.wait_for(barriers[0].wait(), 20)

    assert sorted(values(meet, range(50), in_flight=50)) == list(range(50))


def test_no_more_items_are_in_flight_than_there_are_lanes() -> None:
    running = most = 0

    async def count(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    values(count, range(200), in_flight=7)
    assert most == 7


def test_a_slow_item_holds_up_nobody_else() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def slow_first(item: int) -> int:
            if item == 0:
                await go_on.wait()
            return item

        run = outpace.amap(slow_first, range(300), model="asyncio", in_flight=2, ordered=False)
        first = [await anext(run) for _ in range(299)]
        assert sorted(first) == list(range(1, 300))
        go_on.set()
        assert [value async for value in run] == [0]

    asyncio.run(asyncio.wait_for(main(), 20))


# Each item as if it were alone.


async def remember(item: int) -> tuple[str, str]:
    before = variable.get()
    variable.set(f"item {item}")
    await asyncio.sleep(0)
    return before, variable.get()


def test_every_item_has_context_variables_of_its_own() -> None:
    token = variable.set("the caller's")
    run = outpace.map(remember, range(100), model="asyncio", in_flight=3)
    variable.reset(token)
    assert list(run) == [("the caller's", f"item {n}") for n in range(100)]
    assert variable.get() == "unset"


def test_child_tasks_of_an_item_inherit_its_context() -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        return variable.get()

    async def parent(item: int) -> list[str]:
        variable.set(str(item))
        callback = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: callback.set_result(variable.get()))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(child())
        return [task.result(), await callback, await asyncio.to_thread(variable.get)]

    assert values(parent, range(20), in_flight=4) == [[str(n)] * 3 for n in range(20)]


def test_a_timeout_inside_an_item_is_the_items_own() -> None:
    async def impatient(item: int) -> str:
        try:
            async with asyncio.timeout(0.01 if item % 2 else 20):
                await asyncio.sleep(0 if item % 2 == 0 else 20)
        except TimeoutError:
            return "too slow"
        await asyncio.sleep(0)
        return "in time"

    assert values(impatient, range(20), in_flight=5) == ["in time", "too slow"] * 10


def test_a_timeout_that_an_item_does_not_catch_is_its_failure() -> None:
    async def impatient(item: int) -> None:
        async with asyncio.timeout(0.001 * item):
            await asyncio.Event().wait()

    found = outcomes(impatient, range(5), in_flight=2)
    assert [type(o.error) for o in found] == [TimeoutError] * 5


def test_a_task_group_inside_an_item_fails_it_alone() -> None:
    async def child(fails: bool) -> None:  # noqa: FBT001
        await asyncio.sleep(0)
        if fails:
            raise LookupError
        await asyncio.sleep(0)

    async def parent(item: int) -> int:
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(child(fails=item == 4 and n == 1))
        return item

    found = outcomes(parent, range(8), in_flight=3)
    assert [o.index for o in found if not o.ok] == [4]
    assert isinstance(found[4].error, ExceptionGroup)


def test_an_item_knows_its_task_and_may_use_everything_that_needs_one() -> None:
    async def use_it_all(item: int) -> int:
        assert asyncio.current_task() is not None
        queue: asyncio.Queue[int] = asyncio.Queue()
        async with asyncio.Lock(), asyncio.Semaphore(1):
            await queue.put(item)
        first = await asyncio.wait_for(queue.get(), 5)
        second = await asyncio.shield(asyncio.sleep(0, item))
        (done,), _ = await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0, item))])
        return first + second + done.result() + sum(await asyncio.gather(asyncio.sleep(0, 1)))

    assert values(use_it_all, range(30), in_flight=6) == [3 * n + 1 for n in range(30)]


def test_generators_of_an_item_are_closed() -> None:
    closed: list[int] = []

    async def numbers(item: int) -> AsyncIterator[int]:
        try:
            for n in itertools.count():
                yield n
                await asyncio.sleep(0)
        finally:
            closed.append(item)

    async def first(item: int) -> int:
        async for n in numbers(item):
            return n
        raise AssertionError

    assert values(first, range(5)) == [0] * 5
    assert sorted(closed) == list(range(5))


# Whatever can be awaited, and plain functions.


def test_a_plain_function_is_allowed() -> None:
    assert values(abs, [-1, -2]) == [1, 2]
    assert outcomes(abs, ["text"])[0].kind == "failed"


def test_whatever_a_function_returns_that_can_be_awaited_is_awaited() -> None:
    class Later:
        def __init__(self, item: int) -> None:
            self.item = item

        def __await__(self) -> Iterator[Any]:
            yield from asyncio.sleep(0).__await__()
            return self.item

    def future(item: int) -> Awaitable[int]:
        return asyncio.ensure_future(asyncio.sleep(0, item))

    async def coroutine(item: int) -> int:
        return item

    def behind_a_function(item: int) -> Awaitable[int]:
        return coroutine(item)

    for fn in (Later, future, behind_a_function, coroutine):
        assert values(fn, range(5), in_flight=2) == list(range(5))


# Cancellation.


async def cancels_itself_by(item: tuple[int, str]) -> int:
    number, how = item
    if number % 4 == 1:
        if how == "raising":
            raise asyncio.CancelledError
        if how == "raising later":
            await asyncio.sleep(0)
            raise asyncio.CancelledError
        if how == "its task":
            asyncio.current_task().cancel()
        if how == "a future":
            waited = asyncio.get_running_loop().create_future()
            waited.cancel()
            await waited
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return number


@pytest.mark.parametrize("how", ["raising", "raising later", "its task", "a future"])
def test_an_item_that_is_cancelled_by_itself_is_so_and_costs_no_other(how: str) -> None:
    found = outcomes(cancels_itself_by, [(n, how) for n in range(40)], in_flight=3)
    assert [o.index for o in found] == list(range(40))
    assert [o.index for o in found if not o.ok] == list(range(1, 40, 4))
    assert {type(o.error) for o in found if not o.ok} == {asyncio.CancelledError}
    assert {o.kind for o in found if not o.ok} == {"cancelled"}


def test_items_that_cancel_their_task_and_return_leave_lanes_enough() -> None:
    async def rude(item: int) -> int:
        asyncio.current_task().cancel()
        return item

    assert [o.index for o in outcomes(rude, range(60), in_flight=3)] == list(range(60))


def test_an_item_that_cancels_every_task_there_is_costs_what_was_in_flight() -> None:
    async def cancels_all(item: int) -> int:
        await asyncio.sleep(0)
        if item == 20:
            for task in asyncio.all_tasks():
                task.cancel()
        await asyncio.sleep(0)
        return item

    found = outcomes(cancels_all, range(60), in_flight=4)
    assert [o.index for o in found] == list(range(60))
    assert 1 <= sum(not o.ok for o in found) <= 5


def test_closing_cancels_items_which_may_still_clean_up(gate: Gate) -> None:
    cleaned: list[int] = []
    stop_at_the_gate = gate.coroutine()

    async def wait(item: int) -> None:
        try:
            await stop_at_the_gate(item)
        finally:
            await asyncio.sleep(0)
            cleaned.append(item)

    run = outpace.map(wait, range(9), model="asyncio", in_flight=3)
    reader = threading.Thread(target=lambda: list(run))
    reader.start()
    gate.arrivals(3)
    run.close()
    reader.join(20)
    gate.wait_until_gone()
    assert sorted(cleaned) == [0, 1, 2]


@pytest.mark.parametrize("how", ["returning", "waiting on", "twice"])
def test_items_that_swallow_their_cancellation_do_not_hold_up_the_closing(how: str) -> None:
    swallowed: list[int] = []
    begun = threading.Event()

    async def stubborn(item: int) -> None:
        if item == 0:
            return
        begun.set()
        for _ in range({"returning": 1, "waiting on": 2, "twice": 3}[how]):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed.append(item)

    run = outpace.map(stubborn, range(5), model="asyncio", in_flight=2)
    reader = threading.Thread(target=lambda: list(run))
    reader.start()
    begun.wait(20)
    run.close()
    reader.join(20)
    assert not reader.is_alive()
    assert swallowed


# The setup, and the loop.


def test_the_setup_is_opened_once_in_the_callers_context_on_the_loop_of_the_items() -> None:
    opened: list[Any] = []

    @contextlib.asynccontextmanager
    async def setup() -> AsyncIterator[asyncio.AbstractEventLoop]:
        opened.append(variable.get())
        yield asyncio.get_running_loop()
        opened.append("closed")

    async def same(_: int, loop: asyncio.AbstractEventLoop) -> bool:
        return asyncio.get_running_loop() is loop

    token = variable.set("the caller's")
    run = outpace.map(same, range(30), model="asyncio", setup=setup, in_flight=4)
    variable.reset(token)
    assert list(run) == [True] * 30
    assert opened == ["the caller's", "closed"]


def test_a_plain_setup_will_do() -> None:
    assert values(lambda _, state: state, [1, 2], setup=lambda: contextlib.nullcontext(5)) == [5, 5]


@pytest.mark.parametrize(
    ("setup", "says"),
    [(dict, "must return a context manager, and gave dict"), (lambda: 1 / 0, "ZeroDivisionError")],
)
def test_a_wrong_setup_says_so(setup: Any, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        values(lambda _, state: state, [1], setup=setup)


def test_a_setup_may_keep_a_task_running_between_items_that_never_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BREATH", 0.001)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def setup() -> AsyncIterator[None]:
        task = asyncio.create_task(tick())
        yield
        task.cancel()

    def burn(_: int, __: None) -> int:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        return ticks

    seen = values(burn, range(20), setup=setup, in_flight=3)
    assert len(set(seen)) >= 19, "between any two items the loop breathed"


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="Python has no loop policies from 3.16 on")
@pytest.mark.filterwarnings("ignore:.*EventLoopPolicy:DeprecationWarning")  # from 3.14 on
@pytest.mark.filterwarnings("ignore:.*event_loop_policy:DeprecationWarning")
def test_items_run_on_a_loop_of_the_callers_policy() -> None:
    class Loop(asyncio.SelectorEventLoop):
        pass

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return Loop()

    async def kind(_: int) -> str:
        return type(asyncio.get_running_loop()).__name__

    asyncio.set_event_loop_policy(Policy())
    try:
        assert values(kind, [1]) == ["Loop"]
    finally:
        asyncio.set_event_loop_policy(None)


def test_the_loop_of_a_run_is_closed_with_what_was_left_on_it() -> None:
    ended: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    kept: list[Any] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def leave(_: int) -> None:
        loops.append(asyncio.get_running_loop())
        kept.append(asyncio.ensure_future(linger()))
        await asyncio.sleep(0)

    values(leave, [1])
    assert ended == ["task"]
    assert loops[0].is_closed()


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio"])
def test_nothing_is_done_that_the_debug_mode_of_asyncio_forbids(
    model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")

    async def later(item: int) -> int:
        await asyncio.sleep(0)
        return item

    async def main() -> None:
        assert list(outpace.map(later, range(50), model=model)) == list(range(50))
        assert [v async for v in outpace.amap(later, range(50), model=model)] == list(range(50))
        async with outpace.amap(later, itertools.count(), model=model) as run:
            assert await anext(run) == 0

    asyncio.run(main(), debug=True)
    assert list(outpace.map(later, range(50), model=model)) == list(range(50))
    said = [record.getMessage() for record in caplog.records]
    complaints = [text for text in said if not text.startswith("Executing ")]  # a busy machine
    assert not any("outpace" in text for text in complaints), complaints


# The workers by themselves.


def test_waiting_for_reports_ends_when_time_is_up_and_when_woken() -> None:
    workers = driver.open(Call(abs), 2)
    assert list(workers.reports(0.0)) == []
    workers.wake()
    assert list(workers.reports(None)) == []
    threading.Thread(target=workers.wake).start()
    assert list(workers.reports(None)) == []
    workers.start(Chunk(0, [-3]))
    assert [report.values for report in workers.reports(None)] == [[3]]
    workers.close()
    workers.close()
    workers.wake()


def test_every_item_is_reported_once_however_it_ends() -> None:
    async def odd(item: int) -> int:
        for _ in range(item % 3):
            await asyncio.sleep(0)
        if item % 5 == 0:
            raise LookupError(item)
        return item

    workers = driver.open(Call(odd, is_async=True), 8)
    for first in range(0, 400, 50):
        workers.start(Chunk(first, list(range(first, first + 50))))
    reported: dict[int, Any] = {}
    while len(reported) < 400:
        for report in workers.reports(20):
            assert len(report.indexes) == len(report.values) == len(report.started)
            for position, index in enumerate(report.indexes):
                assert index not in reported
                failure = report.failures.get(position)
                reported[index] = failure.error.args[0] if failure else report.values[position]
                assert (failure is not None) == (index % 5 == 0)
                assert report.started[position] <= report.ended[position]
    assert reported == {n: n for n in range(400)}
    workers.close()


def lanes_on_the_loop() -> int:
    return sum(task.get_name().startswith("outpace lane") for task in asyncio.all_tasks())


def test_no_lane_is_hired_for_items_that_never_come() -> None:
    async def count(_: int) -> int:
        await asyncio.sleep(0.001)
        return lanes_on_the_loop()

    values = list(outpace.map(count, range(3), model="asyncio", in_flight=10**6))
    assert 1 <= max(values) <= 3


def test_nor_for_items_that_do_not_wait() -> None:
    async def count(_: int) -> int:
        return lanes_on_the_loop()

    with outpace.map(count, itertools.count(), model="asyncio", in_flight=10**6) as run:
        assert [next(run) for _ in range(500)] == [1] * 500


def test_a_lane_is_hired_for_each_item_that_waits_for_the_others() -> None:
    here: list[int] = []
    all_here = asyncio.Event()

    async def wait_for_all(item: int) -> int:
        here.append(item)
        if len(here) == 200:
            all_here.set()
        await all_here.wait()
        return lanes_on_the_loop()

    values = list(outpace.map(wait_for_all, range(200), model="asyncio", in_flight=10**6))
    assert values == [200] * 200


def test_a_lane_that_is_cancelled_before_its_first_step_is_made_up_for() -> None:
    async def later(item: int) -> int:
        await asyncio.sleep(0)
        return item

    workers = driver.open(Call(later, is_async=True), 3)
    workers.start(Chunk(0, [1, 2, 3]))
    (lane,) = workers._lanes.tasks
    lane.cancel()
    values: list[int] = []
    until = time.monotonic() + 20
    while len(values) < 3 and time.monotonic() < until:
        for report in workers.reports(1.0):
            values += report.values
    assert values == [1, 2, 3]
    workers.close()
