"""How an exception travels, whatever its `__init__` takes, and together with those that it came from.

No pickle of an exception has its `__cause__` and `__context__`. So each is pickled by itself, as far as
a traceback would show them, and one that cannot be read costs no other. Tracebacks travel as text only
(`Failure.traceback`). Tested by `tests/hosts/test_exceptions.py`.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

MOST = 10  # exceptions behind one; who retries in a loop may make any number

Links = list[tuple[str, bytes]]


def behind(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Yield what an exception came from, and what that came from, as a traceback shows it."""
    seen = {id(error)}
    while len(seen) <= MOST:
        how = "__context__" if error.__cause__ is None else "__cause__"
        came_from: BaseException | None = getattr(error, how)
        hidden = how == "__context__" and error.__suppress_context__
        if came_from is None or hidden or id(came_from) in seen:
            return
        yield how, came_from
        seen.add(id(came_from))
        error = came_from


class Chain:
    """Pickled exceptions that unpickle as the first of them, with the others behind it."""

    def __init__(self, first: bytes, links: Links) -> None:
        self._parts = first, links

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle as what is inside."""
        return linked, self._parts


class Bare:
    """An exception that unpickles as what it holds, past an `__init__` that takes other arguments.

    A pickle calls the class with `args`, and those are what `super().__init__` was given.
    """

    def __init__(self, error: BaseException) -> None:
        """Raise TypeError for one that has a way of its own to be pickled."""
        if type(error).__reduce__ is not BaseException.__reduce__:
            raise TypeError("it knows better")
        self._parts = type(error), error.args, dict(vars(error))

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle as the exception."""
        return held, self._parts


def held(kind: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    """Return an exception of this class without calling its `__init__`."""
    error = kind.__new__(kind, *args)
    error.__setstate__(facts)
    return error


def linked(first: bytes, links: Links) -> BaseException:
    """Return an exception with what it came from; raise what its own unpickling raises."""
    error: BaseException = pickle.loads(first)  # noqa: S301 - from our own process
    last = error
    for how, pickled in links:
        try:
            came_from = pickle.loads(pickled)  # noqa: S301
            setattr(last, how, came_from)
        except Exception:  # noqa: BLE001 - unpickling runs the user's code: do without the rest
            break
        last = came_from
    return error
