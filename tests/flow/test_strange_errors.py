"""Exceptions that are no ordinary ones: the ends of loops and generators; what takes no attribute."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

import outpace
from outpace.errors import RemoteError

MODELS = ["auto", "serial", "threads", "asyncio", "processes"]
every = pytest.mark.parametrize("model", MODELS)
STRANGE = [StopIteration, StopAsyncIteration, GeneratorExit]
strange = pytest.mark.parametrize("error", STRANGE, ids=lambda error: error.__name__)


def raising(error: type[BaseException], text: str = "") -> Callable[[int], int]:
    def odd(item: int) -> int:
        if item == 2:
            raise error(text) if text else error
        return item

    return odd


@every
@strange
def test_it_is_raised_as_an_error_that_names_it(model: str, error: type[BaseException]) -> None:
    got: list[int] = []
    with pytest.raises(RuntimeError) as caught:
        got.extend(outpace.map(raising(error), range(4), model=model))
    assert got == [0, 1]
    assert str(caught.value) == f"an item raised {error.__name__}"
    assert type(caught.value.__cause__) is error
    assert caught.value.__notes__[-1] == "outpace: this was item 2: 2"


@every
@strange
def test_next_raises_it_so_too(model: str, error: type[BaseException]) -> None:
    with outpace.map(raising(error, "mine"), range(4), model=model) as run:
        assert [next(run), next(run)] == [0, 1]
        with pytest.raises(RuntimeError, match=f"an item raised {error.__name__}: mine"):
            next(run)


@every
@strange
def test_an_awaited_run_raises_it_so_too(model: str, error: type[BaseException]) -> None:
    async def main() -> list[int]:
        run = outpace.amap(raising(error), range(4), model=model)
        got = [await anext(run), await anext(run)]
        with pytest.raises(RuntimeError) as caught:
            await anext(run)
        assert str(caught.value) == f"an item raised {error.__name__}"
        assert type(caught.value.__cause__) is error
        return got

    assert asyncio.run(main()) == [0, 1]


@pytest.mark.slow
@every
@strange
def test_returned_and_in_an_outcome_it_is_what_it_is(
    model: str, error: type[BaseException]
) -> None:
    values: list[Any] = list(outpace.map(raising(error), range(4), model=model, on_error="return"))
    assert [type(value) for value in values] == [int, int, error, int]
    outcomes = list(outpace.run(raising(error), range(4), model=model))
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        type(None),
        error,
        type(None),
    ]


@every
def test_a_map_of_next_ends_in_an_error_and_not_early(model: str) -> None:
    with pytest.raises(RuntimeError, match="an item raised StopIteration"):
        list(outpace.map(lambda items: next(iter(items)), [[1], [], [3]], model=model))


@every
@strange
def test_a_coroutine_function_that_raises_it_fails_the_item(
    model: str, error: type[BaseException]
) -> None:
    async def odd(item: int) -> int:
        await asyncio.sleep(0)
        return raising(error)(item)

    outcomes = list(outpace.run(odd, range(4), model=model))
    assert [outcome.kind for outcome in outcomes] == ["done", "done", "failed", "done"]
    assert error.__name__ in repr(outcomes[2].error)


# Exceptions that take no attribute, nor a note.


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818 - what it is
    code: int


class Unnotable(Exception):  # noqa: N818 - what it is
    __notes__ = "not a list"


@pytest.mark.slow
@every
@pytest.mark.parametrize("coroutine", [False, True], ids=["plain", "coroutine"])
@pytest.mark.parametrize("kind", [Frozen, Unnotable])
def test_one_that_takes_no_attribute_is_a_failure_like_any_other(
    model: str, kind: type[Exception], *, coroutine: bool
) -> None:
    def odd(item: int) -> int:
        if item == 2:
            raise kind(7)
        return item

    async def odd_later(item: int) -> int:
        await asyncio.sleep(0)
        return odd(item)

    fn = odd_later if coroutine else odd
    # A frozen one can be pickled, but not read again: so it says itself.
    expected = RemoteError if kind is Frozen and model.startswith("processes") else kind
    with pytest.raises(expected, match="7"):
        list(outpace.map(fn, range(4), model=model))
    values = list(outpace.map(fn, range(4), model=model, on_error="return"))
    assert [type(value) for value in values] == [int, int, expected, int]
    outcomes = list(outpace.run(fn, range(4), model=model))
    assert [outcome.kind for outcome in outcomes] == ["done", "done", "failed", "done"]
    assert type(outcomes[2].error) is expected
    side_by_side = outpace.run(lambda x, _: odd(x), range(4), range(4), model=model)
    assert [outcome.kind for outcome in side_by_side] == ["done", "done", "failed", "done"]


def test_an_executor_hands_one_on_too() -> None:
    def odd() -> None:
        raise Frozen(7)

    with outpace.Executor("threads", 1) as executor:
        assert executor.submit(odd).exception() == Frozen(7)


class SilentError(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class NumberedError(Exception):
    __notes__ = 5


class GuardedError(Exception):
    def __getattr__(self, name: str) -> object:
        raise LookupError(name)


@pytest.mark.slow
@every
@pytest.mark.parametrize(
    "error", [SilentError, NumberedError, GuardedError], ids=lambda error: error.__name__
)
def test_what_an_exception_does_when_it_is_looked_at_ends_no_run(
    model: str, error: type[BaseException]
) -> None:
    outcomes = list(outpace.run(raising(error), range(4), model=model))
    assert [type(one.error) for one in outcomes] == [type(None), type(None), error, type(None)]
    with pytest.raises(error):
        list(outpace.map(raising(error), range(4), model=model))


@pytest.mark.parametrize("model", ["serial", "processes"])
def test_a_repr_that_raises_what_no_except_catches_ends_no_run(model: str) -> None:
    class Leaving:
        def __repr__(self) -> str:
            raise SystemExit(3)

    def fail(item: object) -> None:
        raise ValueError("all of them")

    (outcome,) = outpace.run(fail, [Leaving()], model=model)
    assert outcome.error is not None
    assert outcome.error.__notes__[-1].endswith("<Leaving whose repr raises SystemExit>")


def test_what_a_repr_holds_does_not_steer_a_terminal() -> None:
    class Red:
        def __repr__(self) -> str:
            return "\x1b[31mred\x07"

    (outcome,) = outpace.run(lambda _: 1 / 0, [Red()], model="serial")
    assert outcome.error is not None
    assert outcome.error.__notes__[-1] == "outpace: this was item 0: ?[31mred?"
    assert "\x1b" not in repr(outcome)


def test_a_retry_whose_own_error_has_no_text_says_so() -> None:
    def wrong(error: BaseException) -> bool:
        raise SilentError

    (outcome,) = outpace.run(
        raising(ValueError), [2], model="serial", retries=outpace.Retry(on=wrong)
    )
    assert "SilentError (its text raises LookupError)" in str(outcome.error)
