"""What the user asked for, checked before any work starts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.data import Record
from outpace.flow.protocol import Call, Care
from outpace.flow.retry import Retry
from outpace.machine import usable_memory

OnError = Literal["raise", "skip", "return"]


@dataclass(slots=True, frozen=True)
class Job:
    """Be a function, its inputs, and how the outcomes are wanted."""

    call: Call
    items: Iterable[Any] | AsyncIterable[Any]
    total: int | None
    ordered: bool = True
    chunk: int | None = None
    on_error: OnError = "raise"
    retry: Retry | None = None


def make_job(
    fn: Callable[..., Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    setup: Callable[[], Any] | None = None,
    ordered: bool = True,
    chunk: int | None = None,
    timeout: float | None = None,
    retries: int | Retry = 0,
    on_error: str = "raise",
    record: str = "default",
    allow_async_items: bool = False,
) -> Job:
    """Check what the user passed; raise `UsageError` or `UsageTypeError` for what cannot work."""
    _check_setup(setup)
    check_function(fn, takes_state=setup is not None)
    _check_items(items, allow_async=allow_async_items)
    check_positive("chunk", chunk)
    check_seconds("timeout", timeout)
    if on_error not in ("raise", "skip", "return"):
        msg = f"on_error is 'raise', 'skip' or 'return', not {on_error!r}"
        raise UsageError(msg)
    if record not in get_args(Record):
        msg = f"record is 'off', 'default' or 'full', not {record!r:.80}"
        raise UsageError(msg)
    retry = retries if isinstance(retries, Retry) else Retry(retries)
    call = Call(fn, setup, is_async=is_coroutine_function(fn), timeout=timeout)
    if record != call.record:
        call = replace(call, record=record)  # type: ignore[arg-type] # it is one of them
    return Job(
        call,
        items,
        count(items),
        ordered,
        chunk,
        on_error,  # type: ignore[arg-type]
        retry if retry.times else None,
    )


def make_care(max_items: int | None, max_memory: float | None, max_crashes: int | None) -> Care:
    """Check how long a worker is kept; raise `UsageError` or `UsageTypeError` for what cannot work.

    `max_memory` is bytes, or, as a fraction up to 1.0, a share of the memory that this process may use
    (the cgroup's limit where there is one).
    """
    check_positive("max_items", max_items)
    if max_crashes is not None and (type(max_crashes) is not int or max_crashes < 0):
        msg = f"max_crashes must be a whole number, 0 or more, not {max_crashes!r:.80}"
        raise UsageError(msg)
    if isinstance(max_memory, float) and 0 < max_memory <= 1:
        total = usable_memory()
        if total is None:
            msg = "max_memory as a share needs to know the memory there is; give it in bytes here"
            raise UsageError(msg)
        return Care(max_items, int(max_memory * total), max_crashes)
    if max_memory is not None and (type(max_memory) is not int or max_memory < 1):
        msg = (
            "max_memory must be a whole number of bytes, or a share of the memory there is, above 0 "
            f"and up to 1.0, not {max_memory!r:.80}"
        )
        raise UsageError(msg)
    return Care(max_items, max_memory, max_crashes)


def count(items: object) -> int | None:
    """Count the items where that is possible beforehand; it is a hint, and may turn out wrong."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except Exception:  # noqa: BLE001 - a range longer than an index, an array without a dimension
        return None


def check_function(fn: object, *, takes_state: bool) -> None:
    """Raise `UsageTypeError` unless it can be called with an item (and a state)."""
    if not callable(fn):
        msg = f"the function must be callable, and this is {_kind(fn)}: {fn!r:.80}"
        raise UsageTypeError(msg)
    try:
        signature = inspect.signature(fn)
    except (ValueError, TypeError):  # many built-ins have none
        return
    try:
        signature.bind(*((None, None) if takes_state else (None,)))
    except TypeError as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        form = f"{name}(item, state)" if takes_state else f"{name}(item)"
        hint = (
            "the second argument is what setup opens"
            if takes_state
            else "bind other arguments with functools.partial, or open them in setup="
        )
        msg = f"outpace calls {form}, and {name}{signature} cannot be called so: {error}; {hint}"
        raise UsageTypeError(msg) from None


def check_positive(name: str, value: object) -> None:
    """Raise unless it is None or a whole number of at least 1."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        msg = f"{name} must be a whole number, not {_kind(value)}: {value!r:.80}"
        raise UsageTypeError(msg)
    if value < 1:
        msg = f"{name} must be at least 1, not {value}; leave it out to have it chosen"
        raise UsageError(msg)


def check_seconds(name: str, value: object) -> None:
    """Raise unless it is None or a number of seconds above 0."""
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        msg = f"{name} must be a number of seconds, not {_kind(value)}: {value!r:.80}"
        raise UsageTypeError(msg)
    if not 0 < value < float("inf"):
        msg = f"{name} must be a number of seconds above 0, not {value}; leave it out for none"
        raise UsageError(msg)


def is_coroutine_function(fn: object) -> bool:
    """Say whether calling it gives a coroutine: also behind partial, or as an object's __call__."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(type(fn), "__call__", None)  # noqa: B004 - the method is wanted, not whether it is
    )


def _check_setup(setup: object) -> None:
    """Raise `UsageTypeError` unless it is None or can be called."""
    if setup is not None and not callable(setup):
        msg = (
            f"setup must be a function that makes a context manager, not {_kind(setup)}; "
            "pass the function itself, as in setup=requests.Session"
        )
        raise UsageTypeError(msg)


def _check_items(items: object, *, allow_async: bool) -> None:
    """Raise `UsageTypeError` unless the items can be iterated over here."""
    if isinstance(items, AsyncIterable) and not isinstance(items, Iterable):
        if not allow_async:
            msg = "the items are an asynchronous iterable; use outpace.amap or outpace.arun"
            raise UsageTypeError(msg)
    elif not hasattr(items, "__iter__") and not hasattr(items, "__getitem__"):
        msg = f"the items must be iterable, and this is {_kind(items)}: {items!r:.80}"
        raise UsageTypeError(msg)


def _kind(value: object) -> str:
    """Name a value's type, for a message."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
