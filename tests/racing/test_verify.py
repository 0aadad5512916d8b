"""When two results are the same."""

import operator

import numpy as np
import pytest

from outpace.flow.data import Failure
from outpace.racing.verify import agree, first_difference

NAN = float("nan")


class Unequal:
    """Be never equal to anything, but pickle alike."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, 2, False),
        (NAN, NAN, True),
        ([1, NAN], [1, float("nan")], True),
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(4), False),
        (np.array([1.0, NAN]), np.array([1.0, NAN]), True),
        (Unequal(), Unequal(), True),
        (Failure(ValueError("x")), Failure(ValueError("x")), True),
        (Failure(ValueError("x")), Failure(ValueError("y")), False),
        (Failure(ValueError("x")), Failure(TypeError("x")), False),
        (Failure(ValueError("x")), 1, False),
        (None, Failure(ValueError("x")), False),
    ],
)
def test_results_are_compared_as_a_person_would(a, b, same) -> None:
    assert agree(a, b, operator.eq) is same


def test_what_the_user_calls_same_is_taken_at_its_word() -> None:
    assert agree(1.0, 1.1, lambda a, b: abs(a - b) < 0.2)
    assert not agree(NAN, NAN, lambda a, b: a == b)


def test_an_error_in_the_users_own_same_is_the_users() -> None:
    with pytest.raises(ZeroDivisionError):
        agree(1, 2, lambda *_: 1 / 0)


def test_the_first_difference_is_named_and_missing_items_are_not_compared() -> None:
    assert first_difference([1, 2, 3], [1, 9, 9], operator.eq) == 1
    assert first_difference([1, 2, 3], [1, 2], operator.eq) is None


def test_two_functions_that_both_fail_agree_whatever_they_raise() -> None:
    a, b = Failure(ValueError("x")), Failure(TypeError("y"))
    assert agree(a, b, operator.eq, one_function=False)
    assert not agree(a, 1, operator.eq, one_function=False)
