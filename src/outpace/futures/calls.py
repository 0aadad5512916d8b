"""What travels when a call is submitted, and what a lane does with it.

A call is a tuple `(fn, args, kwargs)`, and the function that the engine knows is `carry_out`. Workers
import this file, so it imports nothing that they do not have already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

Submitted = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def carry_out(call: Submitted) -> Any:
    """Do what was submitted."""
    fn, args, kwargs = call
    return fn(*args, **kwargs)


def carry_out_with(call: Submitted, state: Any) -> Any:
    """Do it with what `setup` has opened as the last argument."""
    fn, args, kwargs = call
    return fn(*args, state, **kwargs)


class Initializer:
    """Be a setup that calls a function once in each lane: `initializer` of the standard pools."""

    def __init__(self, initializer: Callable[..., Any], initargs: tuple[Any, ...]) -> None:
        """Belong to the module of the function, so that it travels by value if that one must."""
        self.__module__ = getattr(initializer, "__module__", None) or __name__
        self.initializer = initializer
        self.initargs = initargs

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Call it; there is nothing to close."""
        self.initializer(*self.initargs)
        yield


def carry_out_after(call: Submitted, _state: None) -> Any:
    """Do what was submitted, in a lane that an `Initializer` has made ready."""
    return carry_out(call)


def carry_out_each(fn: Callable[..., Any], rows: list[tuple[Any, ...]]) -> list[Any]:
    """Do a piece of a `map`: one call that makes several."""
    return [fn(*row) for row in rows]
