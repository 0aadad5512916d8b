"""Several arguments an item: iterables side by side, as builtin `map` takes them, or tuples."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import outpace
from outpace.errors import UsageError, UsageTypeError
from outpace.flow.job import is_coroutine_function, make_job

MODELS = ["auto", "serial", "threads", "asyncio", "processes"]
every = pytest.mark.parametrize("model", MODELS)


def both(x: int, y: int) -> tuple[int, int]:
    return x, y


async def both_later(x: int, y: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return x, y


def with_state(x: int, y: int, state: str) -> tuple[int, int, str]:
    return x, y, state


def divided(x: int, y: int) -> float:
    return x / y


@contextlib.contextmanager
def opened() -> Iterator[str]:
    yield "open"


async def numbers(closed: list[str] | None = None) -> AsyncIterator[int]:
    try:
        for n in range(3):
            yield n
    finally:
        if closed is not None:
            closed.append("closed")


plain_and_later = pytest.mark.parametrize("fn", [both, both_later], ids=["plain", "coroutine"])


async def listed(run: Any) -> list[Any]:
    return [value async for value in run]


# Each model calls the function with all the arguments.


@every
@plain_and_later
def test_iterables_side_by_side_are_arguments_until_the_shortest_ends(
    model: str, fn: Callable[..., Any]
) -> None:
    expected = list(map(both, range(5), [10, 20, 30]))
    assert list(outpace.map(fn, range(5), [10, 20, 30], model=model)) == expected


@pytest.mark.slow
@every
@plain_and_later
def test_with_starmap_the_parts_of_a_tuple_are_arguments(
    model: str, fn: Callable[..., Any]
) -> None:
    pairs = [(1, 2), (3, 4), (5, 6)]
    assert list(outpace.map(fn, pairs, starmap=True, model=model)) == pairs
    assert list(outpace.map(fn, iter(pairs), starmap=True, model=model)) == pairs


@every
def test_what_setup_opens_comes_after_them(model: str) -> None:
    expected = [(1, 3, "open"), (2, 4, "open")]
    assert list(outpace.map(with_state, [1, 2], [3, 4], setup=opened, model=model)) == expected
    pairs = [(1, 3), (2, 4)]
    run = outpace.map(with_state, pairs, starmap=True, setup=opened, model=model)
    assert list(run) == expected


@pytest.mark.slow
@every
def test_builtins_and_lambdas_and_partials_are_called_so_too(model: str) -> None:
    assert list(outpace.map(pow, [2, 3], [3, 2], model=model)) == [8, 9]
    assert list(outpace.map(pow, range(3), itertools.repeat(2), model=model)) == [0, 1, 4]
    assert list(outpace.map(lambda x, y: x + y, "ab", "cd", model=model)) == ["ac", "bd"]
    shifted = functools.partial(with_state, state="bound")
    assert list(outpace.map(shifted, [1], [2], model=model)) == [(1, 2, "bound")]
    after = functools.partial(with_state, 0)
    assert list(outpace.map(after, [1], [2], model=model)) == [(0, 1, 2)]


@every
def test_the_item_of_an_outcome_is_the_tuple(model: str) -> None:
    one, other = outpace.run(divided, [1, 2], [2, 0], model=model)
    assert (one.item, one.value) == ((1, 2), 0.5)
    assert (other.item, other.kind, type(other.error)) == ((2, 0), "failed", ZeroDivisionError)


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio", "processes"])
def test_of_their_tracebacks_nothing_is_ours(model: str) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        list(outpace.map(divided, [2], [0], model=model))
    told = "\n".join(raised.value.__notes__)
    assert "this was item 0: (2, 0)" in told
    assert "flow/rows.py" not in told
    after_ours = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert "__call__" not in after_ours
    assert model == "processes" or after_ours[-1] == "divided"


@every
def test_a_tuple_of_the_wrong_length_is_that_items_failure(model: str) -> None:
    run = outpace.run(both, iter([(1, 2), (1, 2, 3), (3, 4)]), starmap=True, model=model)
    assert [o.kind for o in run] == ["done", "failed", "done"]


@every
def test_an_item_that_is_no_tuple_is_told_so(model: str) -> None:
    run = outpace.run(both, iter([7, [1, 2]]), starmap=True, model=model)
    wrong, listed_parts = run
    assert isinstance(wrong.error, UsageTypeError)
    assert str(wrong.error) == (
        "with starmap=True an item is a tuple of arguments, and this one is an int: 7"
    )
    assert listed_parts.value == (1, 2)


def test_they_are_read_no_further_than_the_work_needs() -> None:
    read = []

    def source() -> Iterator[int]:
        for n in itertools.count():
            read.append(n)
            yield n

    with outpace.map(both, source(), itertools.count(), model="serial") as run:
        assert not read
        assert [next(run), next(run)] == [(0, 0), (1, 1)]
    assert len(read) < 100


# From inside a running loop.


@pytest.mark.slow
@every
@plain_and_later
def test_an_awaited_run_takes_them_of_both_kinds_mixed(model: str, fn: Callable[..., Any]) -> None:
    closed: list[str] = []

    async def main() -> None:
        expected = [(0, "a"), (1, "b"), (2, "c")]
        assert await listed(outpace.amap(fn, numbers(closed), "abcd", model=model)) == expected
        flipped = [(y, x) for x, y in expected]
        assert await listed(outpace.amap(fn, "abcd", numbers(closed), model=model)) == flipped
        assert await listed(outpace.amap(fn, "ab", "cd", model=model)) == [("a", "c"), ("b", "d")]

        async def pairs() -> AsyncIterator[tuple[int, int]]:
            yield 1, 2

        outcomes = await listed(outpace.arun(fn, pairs(), starmap=True, model=model))
        assert [(o.item, o.value) for o in outcomes] == [((1, 2), (1, 2))]

    asyncio.run(main())
    assert closed == ["closed", "closed"]


def test_all_of_them_are_closed_when_the_loop_is_left() -> None:
    closed: list[str] = []

    async def main() -> None:
        async with outpace.amap(
            both, numbers(closed), itertools.count(), numbers(closed), model="serial"
        ) as run:
            await anext(run)

    with pytest.raises(UsageTypeError):  # three arguments for two
        asyncio.run(main())

    async def right() -> None:
        async with outpace.amap(both, numbers(closed), numbers(closed), model="serial") as run:
            await anext(run)

    asyncio.run(right())
    assert closed == ["closed", "closed"]


# What is known beforehand.


def test_their_number_is_that_of_the_shortest_where_all_are_known() -> None:
    assert make_job(both, range(5), [1, 2, 3]).total == 3
    assert make_job(both, range(5), itertools.repeat(2)).total == 5
    assert make_job(both, itertools.count(), "ab").total == 2
    assert make_job(both, itertools.cycle("ab"), itertools.count()).total is None
    assert make_job(both, range(5), iter([1])).total is None
    assert make_job(both, [(1, 2)], starmap=True).total == 1


def test_one_iterable_goes_the_way_it_always_went() -> None:
    items = [1]
    job = make_job(abs, items)
    assert job.call.fn is abs
    assert job.items is items


def test_a_function_of_several_arguments_is_seen_through() -> None:
    assert is_coroutine_function(make_job(both_later, [1], [2]).call.fn)
    assert make_job(both_later, [1], [2]).call.is_async
    assert make_job(both, [1], [2]).call.fn.__qualname__ == "both"


def three(x: int, y: int, z: int = 0) -> int:
    return x + y + z


WRONG: dict[str, tuple[type[Exception], tuple[Any, ...], dict[str, Any], str]] = {
    "too few": (UsageTypeError, (three, [1]), {}, r"outpace calls three\(item\).*missing.*'y'"),
    "too many": (
        UsageTypeError,
        (three, [1], [1], [1], [1]),
        {},
        r"outpace calls three\(x, y, …\).*too many positional",
    ),
    "pow of one": (UsageTypeError, (pow, [1]), {}, r"pow\(item\).*missing.*'exp'"),
    "too many with a state": (
        UsageTypeError,
        (both, [1], [2]),
        {"setup": opened},
        r"both\(x, y, state\).*the last argument is what setup opens",
    ),
    "tuples too long": (
        UsageTypeError,
        (both, [(1, 2, 3)]),
        {"starmap": True},
        r"outpace calls both\(x, y, z\).*too many positional",
    ),
    "no items": (UsageTypeError, (abs,), {}, "no items: .*an iterable after the function"),
    "numbers": (UsageTypeError, (both, 1, 2), {}, "the items must be iterable.*an int: 1"),
    "a number second": (
        UsageTypeError,
        (abs, [1], 4),
        {},
        "must be iterable, and iterable 2 is an int: 4; options go by name, as in workers=4",
    ),
    "the wrong way round": (
        UsageTypeError,
        ([1, 2], abs),
        {},
        r"must be callable.*a list: \[1, 2\].*it comes first, then the items",
    ),
    "starmap of several": (
        UsageError,
        (both, [(1, 2)], [(3, 4)]),
        {"starmap": True},
        "starmap=True is for one iterable of tuples",
    ),
    "starmap is text": (UsageTypeError, (both, [1]), {"starmap": "yes"}, "starmap is True or Fal"),
    "asynchronous": (
        UsageTypeError,
        (both, [1], numbers()),
        {},
        "asynchronous iterable; use outpace.amap or outpace.arun",
    ),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("door", ["map", "run", "amap", "arun"])
def test_what_cannot_work_is_one_line_before_any_work(door: str, what: str) -> None:
    error, arguments, options, message = WRONG[what]
    if what == "asynchronous" and door.startswith("a"):
        return
    with pytest.raises(error, match=message) as raised:
        getattr(outpace, door)(*arguments, **options)
    assert "\n" not in str(raised.value)
