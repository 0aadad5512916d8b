"""Whether an item is tried again, and after how long."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outpace
from outpace.errors import (
    ItemTimeoutError,
    TransferError,
    UsageError,
    UsageTypeError,
    WorkerLostError,
)
from outpace.flow.data import Failure
from outpace.flow.retry import Retry
from outpace.machine.clocks import LONGEST_WAIT


def pause(retry: Retry, attempt: int, error: BaseException, chance: float = 1.0) -> float | None:
    return retry.pause(attempt, Failure(error), lambda: chance)


def test_the_pause_doubles_with_every_attempt_up_to_the_longest() -> None:
    retry = Retry(times=9, wait=1.0, longest=10.0)
    assert [pause(retry, n, OSError()) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_pause_is_a_random_part_of_that() -> None:
    retry = Retry(wait=1.0)
    assert pause(retry, 2, OSError(), chance=0.25) == 0.5
    assert pause(retry, 2, OSError(), chance=0.0) == 0.0


def test_after_so_many_times_a_failure_is_final() -> None:
    retry = Retry(times=2)
    assert pause(retry, 2, OSError()) is not None
    assert pause(retry, 3, OSError()) is None


@pytest.mark.parametrize(
    ("on", "error", "again"),
    [
        (Exception, OSError(), True),
        (Exception, ItemTimeoutError("late"), True),
        (Exception, WorkerLostError("lost"), True),
        (Exception, SystemExit(), False),
        (BaseException, SystemExit(), True),
        (OSError, ConnectionError(), True),
        (OSError, ValueError(), False),
        ((OSError, ValueError), ValueError(), True),
        ((OSError, ValueError), KeyError(), False),
        (lambda error: "busy" in str(error), RuntimeError("busy"), True),
        (lambda error: "busy" in str(error), RuntimeError("broken"), False),
        # What cannot travel never will.
        (Exception, TransferError("cannot be pickled"), False),
        (lambda _: True, TransferError("cannot be pickled"), True),
    ],
)
def test_what_is_tried_again(on: Any, error: BaseException, *, again: bool) -> None:
    assert (pause(Retry(on=on), 1, error) is not None) is again


def test_what_was_cancelled_is_not_tried_again() -> None:
    failure = Failure(OSError(), "cancelled")
    assert Retry().pause(1, failure, lambda: 0.0) is None


def test_a_function_says_exactly_how_long() -> None:
    retry = Retry(times=5, wait=lambda attempt, error: attempt + error.args[0])
    assert pause(retry, 3, OSError(0.5), chance=0.1) == 3.5
    assert pause(retry, 3, OSError(-99), chance=0.1) == 0.0


def test_no_pause_is_longer_than_a_system_can_wait() -> None:
    assert pause(Retry(wait=1e300, longest=1e300), 3, OSError()) == LONGEST_WAIT
    assert pause(Retry(wait=lambda *_: 1e300), 1, OSError()) == LONGEST_WAIT


def broken(*_: Any) -> Any:
    raise LookupError("no such rule")


@pytest.mark.parametrize(
    ("retry", "says"),
    [
        (Retry(wait=lambda *_: None), "ValueError: wait= returned None, not a number of seconds"),
        (
            Retry(wait=lambda *_: math.nan),
            "ValueError: wait= returned nan, not a number of seconds",
        ),
        (
            Retry(wait=lambda *_: math.inf),
            "ValueError: wait= returned inf, not a number of seconds",
        ),
        (Retry(wait=lambda *_: "1 s"), "TypeError: must be real number, not str"),
        (Retry(wait=lambda *_: 10**400), "OverflowError: int too large to convert to float"),
        (Retry(wait=lambda: 1), "TypeError: .*takes 0 positional arguments"),
        (Retry(wait=broken), "LookupError: no such rule"),
        (Retry(on=broken), "LookupError: no such rule"),
    ],
)
def test_a_function_that_gives_nonsense_makes_the_failure_final_and_is_named(
    retry: Retry, says: str
) -> None:
    own = OSError("the item's own")
    failure = Failure(own)
    assert retry.pause(1, failure, lambda: 0.0) is None
    assert isinstance(failure.error, UsageError)
    assert re.search(f"^a function of Retry failed: {says}", str(failure.error))
    assert str(failure.error).endswith('; it was asked about OSError("the item\'s own")')
    assert failure.error.__cause__ is not None
    assert failure.error.__context__ is own


@given(
    attempt=st.integers(1, 10_000),
    wait=st.floats(0, 1e6),
    longest=st.floats(0, 1e6),
    chance=st.floats(0, 1),
)
def test_no_pause_is_longer_than_the_longest_or_below_nothing(
    attempt: int, wait: float, longest: float, chance: float
) -> None:
    found = pause(Retry(times=10_000, wait=wait, longest=longest), attempt, OSError(), chance)
    assert found is not None
    assert 0 <= found <= longest


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"times": 1.5}, UsageTypeError, "whole number"),
        ({"times": True}, UsageTypeError, "whole number"),
        ({"times": -1}, UsageError, "at least 0"),
        ({"on": "OSError"}, UsageTypeError, "on="),
        ({"on": ()}, UsageTypeError, "on="),
        ({"on": (OSError, "x")}, UsageTypeError, "on="),
        ({"wait": -1}, UsageError, "wait="),
        ({"wait": "1 s"}, UsageError, "wait="),
        ({"longest": None}, UsageError, "longest="),
        ({"on": int}, UsageTypeError, "on=…. is an exception class, .* not <class 'int'>"),
        ({"on": object}, UsageTypeError, "on="),
        ({"wait": math.inf}, UsageError, "wait=…. is a number of seconds, 0 or more, not inf"),
        ({"wait": math.nan}, UsageError, "wait=.*not nan"),
        ({"wait": True}, UsageError, "wait=.*not True"),
        ({"wait": 10**400}, UsageError, "wait="),
        ({"longest": math.inf}, UsageError, "longest=.*not inf"),
        ({"longest": math.nan}, UsageError, "longest=.*not nan"),
        ({"longest": abs}, UsageError, "longest="),
    ],
)
def test_what_cannot_work_is_said_at_once(
    arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Retry(**arguments)


def test_wrong_retries_are_said_before_anything_starts() -> None:
    with pytest.raises(UsageTypeError, match=r"whole number or an outpace\.Retry"):
        outpace.map(abs, [1], retries="twice")


# In a run.


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio", "processes"])
def test_an_item_is_tried_until_it_succeeds_and_says_how_often(model: str, tmp_path: Any) -> None:
    def third_time_lucky(item: int) -> int:
        before = len(list(tmp_path.glob(f"{item}-*")))
        (tmp_path / f"{item}-{before}").touch()
        if item == 2 and before < 2:
            raise ConnectionError(item)
        return item

    retry = Retry(times=3, wait=0.001)
    run = outpace.run(third_time_lucky, range(5), model=model, retries=retry)
    outcomes = list(run)
    assert [(o.value, o.attempts) for o in outcomes] == [(0, 1), (1, 1), (2, 3), (3, 1), (4, 1)]
    assert run.summary.retries == 2
    assert run.summary.failed == 0


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio", "processes"])
def test_a_function_that_gives_nonsense_costs_the_items_that_failed(model: str) -> None:
    def one_fails(item: int) -> int:
        if item == 1:
            raise OSError("no")
        return item

    retry = Retry(wait=lambda *_: None)  # type: ignore[arg-type,return-value]
    outcomes = list(outpace.run(one_fails, range(3), model=model, retries=retry))
    assert [o.kind for o in outcomes] == ["done", "failed", "done"]
    assert isinstance(outcomes[1].error, UsageError)
    with pytest.raises(UsageError, match="wait= returned None"):
        list(outpace.map(one_fails, range(3), model=model, retries=retry))


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio", "processes"])
def test_an_item_that_never_succeeds_has_had_all_its_attempts(model: str) -> None:
    def never(item: int) -> int:
        if item == 1:
            raise OSError("no")
        return item

    outcomes = list(
        outpace.run(never, range(3), model=model, retries=Retry(2, wait=0.001), ordered=False)
    )
    assert {o.index: (o.kind, o.attempts) for o in outcomes} == {
        0: ("done", 1),
        1: ("failed", 3),
        2: ("done", 1),
    }
