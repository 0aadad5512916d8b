"""A job's setup: whether it needs an event loop, how it is opened, and how its failure is said.

Tested by `tests/drivers/test_lane.py` and over every model by `tests/conformance`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from outpace.errors import SetupError
from outpace.flow.protocol import Call
from outpace.flow.show import said
from outpace.flow.signals import Terminated


def needs_loop(call: Call) -> bool:
    """Say whether a lane must have an event loop: for a coroutine function or an async setup."""
    return call.is_async or _makes_async_context(call.setup)


def _makes_async_context(setup: object) -> bool:
    """Say whether a factory is known to make an asynchronous context manager only."""
    if isinstance(setup, type):
        return hasattr(setup, "__aenter__") and not hasattr(setup, "__enter__")
    made_by = getattr(setup, "__wrapped__", None)  # @contextlib.asynccontextmanager
    return made_by is not None and _is_async_generator_function(made_by)


def _is_async_generator_function(fn: object) -> bool:
    """Say whether it is an `async def` with a `yield`."""
    flags = getattr(getattr(fn, "__code__", None), "co_flags", 0)
    return bool(flags & 0x200)  # inspect.CO_ASYNC_GENERATOR, without importing inspect


async def enter(
    setup: Callable[[], Any], exits: contextlib.AsyncExitStack, *, prefer_async: bool
) -> Any:
    """Open a setup, asynchronous or plain, and leave its closing to `exits`."""
    manager = setup()
    is_async = hasattr(manager, "__aenter__")
    if is_async and (prefer_async or not hasattr(manager, "__enter__")):
        return await exits.enter_async_context(manager)
    if hasattr(manager, "__enter__"):
        return exits.enter_context(manager)
    msg = (
        f"setup() must return a context manager, and gave {type(manager).__name__}; "
        "write it as a generator under @contextlib.contextmanager"
    )
    raise TypeError(msg)


def setup_failed(error: BaseException, when: str = "before any item ran") -> BaseException:
    """Say that the setup failed; leave an interrupt as it is."""
    if isinstance(error, KeyboardInterrupt | Terminated | SetupError):
        return error
    return SetupError(f"setup failed {when}: {said(error)}")
