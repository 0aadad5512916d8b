"""What travels when a call is submitted, and what a lane does with it.

A call is a tuple `(fn, args, kwargs)`, and the function that the engine knows is `carry_out`. Workers
import this file, so it imports nothing that they do not have already.
"""

from __future__ import annotations

import contextlib
import os
import pickle
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


class InEnvironment:
    """An initializer for lanes that see these variables, its own module included.

    Numerical libraries read them when they are imported, which is when the function that a worker is to
    call is unpickled; so a worker has them before that.
    """

    def __init__(
        self, environment: dict[str, str], initializer: Callable[..., object] | None
    ) -> None:
        """Belong to the module of the function, as an `Initializer` does."""
        self.__module__ = getattr(initializer, "__module__", None) or __name__
        self._environment = environment
        self._initializer = initializer

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Unpickle the variables first."""
        return InEnvironment, (_Variables(self._environment), self._initializer)

    def __call__(self, *args: Any) -> None:
        """Call the function, if there is one."""
        if self._initializer is not None:
            self._initializer(*args)


class _Variables:
    """Variables of the environment that are in force as soon as this is unpickled."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Unpickle as the variables alone."""
        return _put_in_force, (self._variables,)


def _put_in_force(variables: dict[str, str]) -> dict[str, str]:
    """Set variables of the environment; return them."""
    os.environ.update(variables)
    return variables


def unpickled(data: bytes, *buffers: Any) -> Any:
    """Return what was pickled beside its buffers."""
    return pickle.loads(data, buffers=buffers)  # noqa: S301 - from our own process
