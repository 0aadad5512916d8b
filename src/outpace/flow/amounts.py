"""Numbers and flags that a user gives: checked in one way at every door, and then Python's own.

A whole number is whatever `range` takes for one (`__index__`, as NumPy's integers have it), and a number
is any real one; never True or False, which mean something else. Each check returns a plain `int` or
`float`: what is written to a file or sent to a worker could not hold another's.
Pure. Tested by `tests/flow/test_amounts.py`.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Collection
from typing import Any

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.show import shown
from outpace.machine.clocks import LONGEST_WAIT

SLOWEST, FASTEST = 1e-6, 1e9  # starts a second: one in eleven days, and more than there can be


def whole(value: Any) -> int | None:
    """Return a whole number as Python's own, None for whatever is none."""
    if type(value) is int:
        return value
    if _is_flag(value) or not hasattr(type(value), "__index__"):  # NumPy 1's has one
        return None
    try:
        return operator.index(value)
    except TypeError:  # an array of several, say
        return None


def real(value: Any) -> float | None:
    """Return a number as Python's own, whole ones as `int`; None for whatever is none."""
    if (number := whole(value)) is not None or _is_flag(value):
        return number
    return float(value) if isinstance(value, numbers.Real) else None


def check_positive(name: str, value: object) -> int | None:
    """Return a whole number of at least 1, or None; raise for anything else."""
    if value is None:
        return None
    number = whole(value)
    if number is None:
        msg = f"{name} must be a whole number, not {kind(value)}: {shown(value)}"
        raise UsageTypeError(msg)
    if number < 1:
        msg = f"{name} must be at least 1, not {shown(number)}; leave it out to have it chosen"
        raise UsageError(msg)
    return number


def check_seconds(name: str, value: object) -> float | None:
    """Return it, None where it is none or longer than anybody can wait; raise unless it is above 0."""
    if value is None:
        return None
    number = real(value)
    if number is None:
        msg = f"{name} must be a number of seconds, not {kind(value)}: {shown(value)}"
        raise UsageTypeError(msg)
    if not 0 < number < float("inf"):
        msg = f"{name} must be a number of seconds above 0, not {shown(number)}; leave it out for none"
        raise UsageError(msg)
    return number if number <= LONGEST_WAIT else None


def check_rate(name: str, value: object) -> float | None:
    """Return a number of starts a second, or None; raise unless it is above 0."""
    if value is None:
        return None
    number = real(value)
    if number is None:
        msg = f"{name} must be a number of starts a second, not {kind(value)}: {shown(value)}"
        raise UsageTypeError(msg)
    if not number > 0:
        msg = f"{name} must be a number of starts a second above 0, not {shown(number)}; "
        raise UsageError(f"{msg}leave it out for as many as there can be")
    if not SLOWEST <= number <= FASTEST:
        msg = f"{name} must be between {SLOWEST:g} and {FASTEST:g} starts a second, not {shown(number)}"
        raise UsageError(msg)
    return float(number)


def check_flag(name: str, value: object) -> bool:
    """Return True or False; raise for anything else: most strings are true, "no" among them."""
    if _is_flag(value):
        return bool(value)
    raise UsageTypeError(f"{name} is True or False, not {kind(value)}: {shown(value)}")


def _is_flag(value: object) -> bool:
    """Say whether it is True or False, Python's or NumPy's."""
    return type(value).__name__ in ("bool", "bool_")


def is_one_of(word: object, words: Collection[str]) -> bool:
    """Say whether it is one of these words; what equals anything, or cannot be compared, is none."""
    return isinstance(word, str) and word in words


def kind(value: object) -> str:
    """Name a value's type, for a message."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
