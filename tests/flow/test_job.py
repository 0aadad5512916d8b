"""What a user can get wrong: one clear line that names it, before any work has started."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import outpace
from outpace.errors import (
    ModelUnavailableError,
    OutpaceError,
    UnknownModelError,
    UsageError,
    UsageTypeError,
)
from outpace.flow.job import is_coroutine_function, make_job


def one(item: Any) -> Any:
    return item


def two(item: Any, state: Any) -> Any:
    return item, state


async def later(item: Any) -> Any:
    return item


async def asynchronous_items() -> AsyncIterator[int]:
    yield 1


class Broken:
    """Be items whose number cannot be told, though they have a `__len__`."""

    def __len__(self) -> int:
        raise TypeError("unsized")

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2, 3])


def no_arguments() -> None: ...


BAD: dict[str, tuple[type[Exception], dict[str, Any], str]] = {
    # what is wrong: (the error, the arguments, what its one line must say)
    "not callable": (UsageTypeError, {"fn": 42}, "the function must be callable.*an int: 42"),
    "no function": (UsageTypeError, {"fn": None}, "must be callable.*NoneType"),
    "takes two, hint": (
        UsageTypeError,
        {"fn": two},
        "that way.*iterable for each.*starmap=True.*setup=",
    ),
    "takes two": (UsageTypeError, {"fn": two}, r"two\(item\).*missing.*'state'.*functools.partial"),
    "takes none": (
        UsageTypeError,
        {"fn": no_arguments},
        r"no_arguments\(item\).*; have it take item$",
    ),
    "takes no state": (
        UsageTypeError,
        {"fn": one, "setup": open},
        r"one\(item, state\).*what setup opens",
    ),
    "a setup that is no function": (
        UsageTypeError,
        {"fn": two, "setup": "session"},
        "setup must be a function that makes a context manager, not a str",
    ),
    "items are a number": (UsageTypeError, {"items": 10}, "items must be iterable.*an int: 10"),
    "items are None": (UsageTypeError, {"items": None}, "items must be iterable.*NoneType"),
    "asynchronous items": (
        UsageTypeError,
        {"items": asynchronous_items()},
        "asynchronous iterable; use outpace.amap or outpace.arun",
    ),
    "no workers": (UsageError, {"workers": 0}, "workers must be at least 1, not 0"),
    "fewer than no workers": (UsageError, {"workers": -3}, "workers must be at least 1, not -3"),
    "half a worker": (UsageTypeError, {"workers": 0.5}, "workers must be a whole number.*0.5"),
    "workers are true": (UsageTypeError, {"workers": True}, "workers.*whole number.*True"),
    "none in flight": (UsageError, {"in_flight": 0}, "in_flight must be at least 1"),
    "text in flight": (UsageTypeError, {"in_flight": "8"}, "in_flight.*a str: '8'"),
    "empty chunks": (UsageError, {"chunk": 0}, "chunk must be at least 1"),
    "an unknown model": (
        UnknownModelError,
        {"model": "thread"},
        "no model 'thread'; the models are auto, serial, threads, asyncio, processes",
    ),
    "a model that is no text": (UnknownModelError, {"model": 7}, "no model 7"),
    "no driver": (UnknownModelError, {"model": "processes+"}, "no model 'processes"),
    "no host": (UnknownModelError, {"model": "+threads"}, "no model '.threads"),
    "serial by name in a host": (UnknownModelError, {"model": "processes+serial"}, "no model"),
    "a file that is no model": (UnknownModelError, {"model": "_lane"}, "no model '_lane'"),
    "a host in a host": (UnknownModelError, {"model": "processes+processes"}, "no model"),
    "an unknown on_error": (
        UsageError,
        {"on_error": "ignore"},
        "on_error is 'raise', 'skip' or 'return', not 'ignore'",
    ),
}
DOORS = ["map", "run", "amap", "arun"]
WELCOME = {("run", "an unknown on_error"), ("arun", "an unknown on_error")}  # they have none
WELCOME |= {("amap", "asynchronous items"), ("arun", "asynchronous items")}


@pytest.mark.parametrize(
    ("name", "what"), [(d, w) for d in DOORS for w in BAD if (d, w) not in WELCOME]
)
def test_bad_input_is_one_line_that_names_it(name: str, what: str) -> None:
    door: Callable[..., Any] = getattr(outpace, name)
    kind, wrong, message = BAD[what]
    arguments: dict[str, Any] = {"fn": one, "items": [1]} | wrong
    with pytest.raises(kind, match=message) as raised:
        door(arguments.pop("fn"), arguments.pop("items"), **arguments)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, OutpaceError)
    assert isinstance(raised.value, ValueError if kind is not UsageTypeError else TypeError)


SECONDS = {"nothing": 0, "less": -1.5, "no number": float("nan"), "endless": float("inf")}


@pytest.mark.parametrize("what", SECONDS)
def test_a_timeout_that_is_no_time_is_one_line(what: str) -> None:
    with pytest.raises(UsageError, match="timeout must be a number of seconds above 0, not"):
        outpace.map(one, [1], timeout=SECONDS[what])


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["serial", "threads", "asyncio", "processes", "processes+asyncio"]
)
@pytest.mark.parametrize("timeout", [1e300, 10**400, 3e6], ids=["1e300", "10**400", "35 days"])
@pytest.mark.parametrize("fn", [one, later], ids=["plain", "coroutine"])
def test_a_timeout_longer_than_anybody_can_wait_is_none(
    model: str, timeout: float, fn: Callable[[Any], Any]
) -> None:
    assert list(outpace.map(fn, [1, 2], model=model, timeout=timeout)) == [1, 2]


def test_a_model_that_cannot_run_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from outpace.hosts.processes import Processes

    monkeypatch.setattr(
        Processes, "unavailable", lambda _: "there are no processes here; use asyncio"
    )
    with pytest.raises(
        ModelUnavailableError, match=r"processes cannot run here: there are .*; use"
    ):
        outpace.map(one, [1], model="processes")


def test_the_items_are_counted_where_that_costs_nothing() -> None:
    assert make_job(one, [1, 2, 3]).total == 3
    assert make_job(one, {1: 2}).total == 1
    assert make_job(one, range(10**12)).total == 10**12
    assert make_job(one, range(10**30)).total is None
    assert make_job(one, iter([1, 2])).total is None
    assert make_job(one, Broken()).total is None


def test_items_whose_number_cannot_be_told_are_items_all_the_same() -> None:
    assert list(outpace.map(one, Broken(), model="serial")) == [1, 2, 3]


def test_builtins_that_have_no_signature_are_taken_at_their_word() -> None:
    assert list(outpace.map(max, [[1, 2], [3]], model="serial")) == [2, 3]
    assert list(outpace.map(str, [1, 2], model="serial")) == ["1", "2"]
    assert list(outpace.map(dict, [[("a", 1)]], model="serial")) == [{"a": 1}]


def test_methods_partials_and_callable_objects_are_functions() -> None:
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, item: int) -> int:
            return item + self.n

        def method(self, item: int) -> int:
            return item - self.n

    assert list(outpace.map(Adder(2), [1], model="serial")) == [3]
    assert list(outpace.map(Adder(2).method, [1], model="serial")) == [-1]
    assert list(outpace.map(functools.partial(two, state="s"), [1], model="serial")) == [(1, "s")]


def test_a_coroutine_function_is_known_behind_what_wraps_it() -> None:
    class Later:
        async def __call__(self, item: Any) -> Any:
            return item

        async def method(self, item: Any) -> Any:
            return item

    assert is_coroutine_function(later)
    assert is_coroutine_function(functools.partial(functools.partial(later)))
    assert is_coroutine_function(Later())
    assert is_coroutine_function(Later().method)
    assert not is_coroutine_function(one)
    assert not is_coroutine_function(len)
    assert not is_coroutine_function(Later)
