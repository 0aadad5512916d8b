"""One lane: a setup around items that run one at a time, in this thread, with a loop or without."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from outpace.drivers import _lane
from outpace.drivers._lane import PATIENCE, Lane
from outpace.drivers._setup import needs_loop
from outpace.errors import SetupError
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def later(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


def carried(lane: Lane, items: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """Carry items; return their values, and the names of the errors by index."""
    values, errors = [], {}
    for report in lane.carry(Chunk(0, items)):
        values += report.values
        errors |= {
            report.indexes[n]: type(failure.error).__name__
            for n, failure in report.failures.items()
        }
    return values, errors


def lane_of(fn: Callable[..., Any], setup: Any = None, **of_call: bool) -> Lane:
    return Lane(Call(fn, setup, **of_call))


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have the lane's clock stand still, and give a function for the items to let time pass."""
    now = [1.0]
    monkeypatch.setattr(_lane, "clock", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


# Items.


@pytest.mark.parametrize(("fn", "is_async"), [(lambda item: item, False), (later, True)])
def test_items_run_one_after_another_and_in_order(fn: Any, is_async: bool) -> None:  # noqa: FBT001
    lane = lane_of(fn, is_async=is_async)
    assert carried(lane, [3, 1, 2]) == ([3, 1, 2], {})
    lane.close()


def test_the_report_says_when_each_item_began_and_ended(
    pass_time: Callable[[float], None],
) -> None:
    lane = lane_of(pass_time)
    (report,) = lane.carry(Chunk(5, [0.01, 0.01, 0.02]))
    assert report.indexes == range(5, 8)
    assert list(report.started) == pytest.approx([1.0, 1.01, 1.02])
    assert list(report.ended) == pytest.approx([1.01, 1.02, 1.04])
    lane.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_long_chunk_is_reported_in_parts(
    is_async: bool,  # noqa: FBT001
    pass_time: Callable[[float], None],
) -> None:
    def slow(item: int) -> int:
        pass_time(PATIENCE * 0.6)
        return item

    async def slow_later(item: int) -> int:
        await asyncio.sleep(0)
        return slow(item)

    lane = lane_of(slow_later if is_async else slow, is_async=is_async)
    reports = list(lane.carry(Chunk(10, [1, 2, 3, 4, 5])))
    assert [r.indexes for r in reports] == [range(10, 12), range(12, 14), range(14, 15)]
    assert [r.values for r in reports] == [[1, 2], [3, 4], [5]]
    lane.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_an_item_raises_costs_that_item_alone(is_async: bool) -> None:  # noqa: FBT001
    class Own(BaseException):
        pass

    errors = [ValueError, StopIteration, GeneratorExit, SystemExit, asyncio.CancelledError, Own]

    def raises(item: Any) -> Any:
        if isinstance(item, type):
            raise item("odd")
        return item

    async def raises_later(item: Any) -> Any:
        await asyncio.sleep(0)
        return raises(item)

    lane = lane_of(raises_later if is_async else raises, is_async=is_async)
    values, failed = carried(lane, [0, *errors, 7])
    assert (values[0], values[-1]) == (0, 7)
    names = [error.__name__ for error in errors]
    if is_async:
        names[1] = "RuntimeError"  # Python itself makes that of a StopIteration in a coroutine
    assert failed == dict(enumerate(names, start=1))
    lane.close()


def test_a_ctrl_c_in_the_main_thread_is_a_persons_and_goes_through() -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    lane = lane_of(interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(lane.carry(Chunk(0, [1])))
    lane.close()


def test_a_ctrl_c_raised_in_another_thread_or_in_a_worker_is_an_items() -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    failed: list[Any] = []

    def elsewhere(*, supervised: bool = False) -> None:
        lane = lane_of(interrupted, supervised=supervised)
        failed.append(carried(lane, [1]))
        lane.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    elsewhere(supervised=True)
    assert failed == [([None], {0: "KeyboardInterrupt"})] * 2


def test_the_traceback_of_a_failure_begins_in_the_users_function() -> None:
    lane = lane_of(abs)
    (report,) = lane.carry(Chunk(0, ["text"]))
    assert report.failures[0].error.__traceback__ is None  # abs has no frame, and ours is cut off

    def fails(_: Any) -> None:
        raise LookupError

    (report,) = lane_of(fails).carry(Chunk(0, [1]))
    assert report.failures[0].error.__traceback__.tb_frame.f_code is fails.__code__
    lane.close()


# Functions that return something to be awaited, though they do not look it.


@pytest.mark.parametrize("count", [1, 5])
def test_what_a_lambda_returns_is_awaited_if_it_can_be(count: int) -> None:
    lane = lane_of(lambda item: later(item))  # noqa: PLW0108 - nobody can know
    assert carried(lane, list(range(count))) == (list(range(count)), {})
    assert carried(lane, list(range(count))) == (list(range(count)), {})
    lane.close()


def test_a_function_that_returns_coroutines_only_now_and_then_is_awaited_from_then_on() -> None:
    def sometimes(item: int) -> Any:
        if item == 3:
            raise LookupError
        return later(item) if item > 1 else item

    lane = lane_of(sometimes)
    assert carried(lane, [0, 1]) == ([0, 1], {})
    assert carried(lane, [0, 2, 3, 4]) == ([0, 2, None, 4], {2: "LookupError"})
    assert carried(lane, [3, 2]) == ([None, 2], {0: "LookupError"})
    lane.close()


def test_coroutines_that_patience_did_not_suffice_for_are_made_anew(
    pass_time: Callable[[float], None],
) -> None:
    made: list[int] = []

    async def slow_later(item: int) -> int:
        pass_time(PATIENCE * 0.6)
        return item

    def make(item: int) -> Any:
        made.append(item)  # which takes no time
        return slow_later(item)

    lane = lane_of(make)
    assert carried(lane, [0, 1, 2, 3, 4]) == ([0, 1, 2, 3, 4], {})
    assert made == [0, 1, 2, 3, 4, 2, 3, 4]
    lane.close()


def test_where_a_loop_runs_already_it_says_what_to_do() -> None:
    lane = lane_of(lambda item: later(item))  # noqa: PLW0108 - nobody can know

    async def main() -> None:
        (report,) = lane.carry(Chunk(0, [1, 2]))
        assert [str(f.error) for f in report.failures.values()] == [
            str(report.failures[0].error)
        ] * 2
        assert "make it an `async def`, or use outpace.amap" in str(report.failures[0].error)

    asyncio.run(main())
    lane.close()


# The context.


@pytest.mark.parametrize("is_async", [False, True])
def test_items_and_the_setup_see_the_context_of_the_call(is_async: bool) -> None:  # noqa: FBT001
    seen: list[str] = []

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        seen.append(variable.get())
        yield
        seen.append(variable.get())

    def look(_: Any, __: None) -> str:
        return variable.get()

    async def look_later(_: Any, __: None) -> str:
        return variable.get()

    token = variable.set("the caller's")
    call = Call(look_later if is_async else look, setup, is_async)
    variable.reset(token)
    lane = Lane(call)
    assert carried(lane, [1]) == (["the caller's"], {})
    lane.close()
    assert seen == ["the caller's"] * 2


def test_what_items_set_does_not_reach_the_caller_nor_another_lane() -> None:
    def set_it(item: str) -> str:
        before = variable.get()
        variable.set(item)
        return before

    call = Call(set_it)
    one, other = Lane(call), Lane(call)
    assert carried(one, ["a"])[0] == ["unset"]
    assert carried(other, ["b"])[0] == ["unset"]
    assert variable.get() == "unset"
    one.close()
    other.close()


# Setups.


class Both:
    """Be a context manager of both kinds, as some clients are."""

    async def __aenter__(self) -> str:
        return "asynchronous"

    async def __aexit__(self, *_: object) -> None:
        pass

    def __enter__(self) -> str:
        return "plain"

    def __exit__(self, *_: object) -> None:
        pass


class OnlyAsync:
    """Be an asynchronous context manager that needs a loop to be made, as aiohttp's session."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def __aenter__(self) -> asyncio.AbstractEventLoop:
        return self.loop

    async def __aexit__(self, *_: object) -> None:
        assert asyncio.get_running_loop() is self.loop


def state(_: Any, given: Any) -> Any:
    return given


async def state_later(_: Any, given: Any) -> Any:
    return given


def test_of_two_kinds_of_setup_the_functions_own_is_used() -> None:
    for fn, is_async, expected in [(state, False, "plain"), (state_later, True, "asynchronous")]:
        lane = lane_of(fn, Both, is_async=is_async)
        assert carried(lane, [1]) == ([expected], {})
        lane.close()


@pytest.mark.parametrize("fn", [state, state_later])
def test_an_asynchronous_setup_gets_a_loop_for_either_kind_of_function(fn: Any) -> None:
    lane = lane_of(fn, OnlyAsync, is_async=fn is state_later)
    (loop,), failed = carried(lane, [1])
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert not failed
    lane.close()
    assert loop.is_closed()


def test_a_loop_is_made_only_where_one_is_needed() -> None:
    @contextlib.asynccontextmanager
    async def asynchronous() -> AsyncIterator[None]:
        yield

    @contextlib.contextmanager
    def plain() -> Iterator[None]:
        yield

    assert not needs_loop(Call(state))
    assert not needs_loop(Call(state, plain))
    assert not needs_loop(Call(state, Both))
    assert needs_loop(Call(state, OnlyAsync))
    assert needs_loop(Call(state, asynchronous))
    assert needs_loop(Call(state_later, None, is_async=True))


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        (dict, "must return a context manager, and gave dict"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: contextlib.nullcontext().__class__(1, 2), "TypeError"),
    ],
)
@pytest.mark.parametrize("fn", [state, state_later])
def test_a_setup_that_fails_says_so_before_any_item_ran(fn: Any, setup: Any, says: str) -> None:
    with pytest.raises(SetupError, match=says) as raised:
        lane_of(fn, setup, is_async=fn is state_later)
    assert "before any item ran" in str(raised.value)
    assert raised.value.__cause__ is not None


def test_an_asynchronous_setup_that_hides_behind_a_function_says_what_to_do() -> None:
    @contextlib.asynccontextmanager
    async def asynchronous() -> AsyncIterator[None]:
        await asyncio.sleep(0)
        yield

    def hidden() -> Any:
        return asynchronous()

    with pytest.raises(SetupError, match=r"needs a coroutine function, or a model with an event"):
        lane_of(state, hidden)
    lane = lane_of(state_later, hidden, is_async=True)
    assert carried(lane, [1]) == ([None], {})
    lane.close()


@pytest.mark.parametrize("fn", [state, state_later])
def test_a_setup_whose_exit_fails_says_so_after_the_items(fn: Any) -> None:
    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        raise OSError("cannot flush")

    lane = lane_of(fn, setup, is_async=fn is state_later)
    assert carried(lane, [1]) == ([None], {})
    with pytest.raises(SetupError, match="at its exit, after the items: OSError: cannot flush"):
        lane.close()


# The loop of a lane.


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="Python has no loop policies from 3.16 on")
@pytest.mark.filterwarnings("ignore:.*EventLoopPolicy:DeprecationWarning")  # from 3.14 on
@pytest.mark.filterwarnings("ignore:.*event_loop_policy:DeprecationWarning")
def test_items_see_the_loop_of_the_callers_policy() -> None:
    class Loop(asyncio.SelectorEventLoop):
        pass

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return Loop()

    async def kind(_: Any) -> str:
        return type(asyncio.get_running_loop()).__name__

    asyncio.set_event_loop_policy(Policy())
    try:
        lane = lane_of(kind, is_async=True)
        assert carried(lane, [1]) == (["Loop"], {})
        lane.close()
    finally:
        asyncio.set_event_loop_policy(None)


def test_what_items_leave_running_on_the_loop_is_ended() -> None:
    ended: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("generator")

    kept: list[Any] = []

    async def leave(_: Any) -> None:
        kept.append(asyncio.ensure_future(linger()))
        kept.append(generate())
        await anext(kept[-1])
        await asyncio.to_thread(ended.append, "thread")

    lane = lane_of(leave, is_async=True)
    assert carried(lane, [1]) == ([None], {})
    assert ended == ["thread"]
    lane.close()
    assert sorted(ended) == ["generator", "task", "thread"]


def test_another_thread_may_interrupt_a_coroutine_so_that_the_lane_can_be_closed() -> None:
    waiting, cleaned = threading.Event(), threading.Event()

    async def wait(_: Any) -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    lane = lane_of(wait, is_async=True)

    def interrupt() -> None:
        waiting.wait(20)
        lane.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(asyncio.CancelledError):
        list(lane.carry(Chunk(0, [1, 2])))
    thread.join()
    assert cleaned.is_set()
    lane.close()
    lane.interrupt()  # too late, and no matter


def test_an_item_that_swallows_the_interruption_is_the_last_one() -> None:
    begun: list[int] = []

    async def swallow(item: int) -> None:
        begun.append(item)
        threading.Thread(target=lane.interrupt).start()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    lane = lane_of(swallow, is_async=True)
    (report,) = [next(lane.carry(Chunk(0, [1, 2, 3])))]
    assert (report.values, begun) == ([None], [1])
    lane.close()
