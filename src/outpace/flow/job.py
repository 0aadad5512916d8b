"""What the user asked for, checked before any work starts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.amounts import (
    check_flag,
    check_positive,
    check_rate,
    check_seconds,
    is_one_of,
    kind,
    real,
    whole,
)
from outpace.flow.data import Record
from outpace.flow.protocol import Call, Care
from outpace.flow.retry import Retry
from outpace.flow.rows import AsyncRows, Rows, Spread
from outpace.flow.show import shown
from outpace.machine.memory import usable_memory

OnError = Literal["raise", "skip", "return"]
FORMS = {1: "item", 2: "x, y", 3: "x, y, z"}  # how a function is called


@dataclass(slots=True, frozen=True)
class Pace:
    """How fast items may start: `rate` of them a second, and no more of each group than is said.

    `group` is a function of the item that returns its group, None where items are in none: `per_group`
    items of each run at once, `group_rate` of each start in a second.
    """

    rate: float | None = None
    group: Callable[[Any], Any] | None = None
    per_group: int | None = None
    group_rate: float | None = None


FREELY = Pace()  # as fast as the workers can


@dataclass(slots=True, frozen=True)
class Job:
    """A function, its inputs, and how the outcomes are wanted."""

    call: Call
    items: Iterable[Any] | AsyncIterable[Any]
    total: int | None
    ordered: bool = True
    chunk: int | None = None
    on_error: OnError = "raise"
    retry: Retry | None = None
    pace: Pace = FREELY


def make_job(
    fn: Callable[..., Any],
    *iterables: Iterable[Any] | AsyncIterable[Any],
    setup: Callable[[], Any] | None = None,
    ordered: bool = True,
    chunk: int | None = None,
    timeout: float | None = None,
    retries: int | Retry = 0,
    starmap: bool = False,
    rate: float | None = None,
    group: Callable[[Any], Any] | None = None,
    per_group: int | None = None,
    group_rate: float | None = None,
    on_error: str = "raise",
    record: str = "default",
    allow_async_items: bool = False,
) -> Job:
    """Check what the user passed; raise `UsageError` or `UsageTypeError` for what cannot work."""
    _check_setup(setup)
    starmap = check_flag("starmap", starmap)
    _check_callable(fn, iterables)
    _check_iterables(iterables, starmap=starmap, allow_async=allow_async_items)
    check_function(fn, _arguments(iterables, starmap=starmap), takes_state=setup is not None)
    chunk = check_positive("chunk", chunk)
    timeout = check_seconds("timeout", timeout)
    if not is_one_of(on_error, get_args(OnError)):
        msg = f"on_error is 'raise', 'skip' or 'return', not {shown(on_error)}"
        raise UsageError(msg)
    recorded = check_record(record)
    spread = starmap or len(iterables) > 1
    group = Spread(group) if spread and callable(group) else group
    pace = make_pace(rate, group, per_group, group_rate, chunk)
    retry = retries if isinstance(retries, Retry) else Retry(retries)
    items = iterables[0]
    if len(iterables) > 1:
        items = (AsyncRows if any(map(_is_async, iterables)) else Rows)(iterables)
    called = Spread(fn) if spread else fn
    call = Call(called, setup, is_async=is_coroutine_function(fn), timeout=timeout)
    if recorded != call.record:
        call = replace(call, record=recorded)
    return Job(
        call,
        items,
        count(items),
        check_flag("ordered", ordered),
        chunk,
        on_error,  # type: ignore[arg-type]
        retry if retry.times else None,
        pace,
    )


def check_record(record: object) -> Record:
    """Return how much is to be recorded; raise `UsageError` for what is none of these words."""
    if not is_one_of(record, get_args(Record)):
        raise UsageError(f"record is 'off', 'default' or 'full', not {shown(record)}")
    return record  # type: ignore[return-value] # it is one of them


def make_pace(
    rate: float | None,
    group: object,
    per_group: int | None,
    group_rate: float | None,
    chunk: int | None,
) -> Pace:
    """Check how fast items may start; raise `UsageError` or `UsageTypeError` for what cannot work."""
    if not (group is None or callable(group)):
        msg = f"group must be a function of the item that returns its group, not {kind(group)}"
        raise UsageTypeError(f"{msg}: {shown(group)}")
    if is_coroutine_function(group) or inspect.isgeneratorfunction(group):
        what = "coroutine" if is_coroutine_function(group) else "generator"
        raise UsageTypeError(
            f"group must return the group of its item, and this is a {what} function"
        )
    pace = Pace(
        check_rate("rate", rate),
        group,
        check_positive("per_group", per_group),
        check_rate("group_rate", group_rate),
    )
    bounds = {"per_group": per_group, "group_rate": group_rate}
    given = [f"{name}=" for name, value in bounds.items() if value is not None]
    if given and group is None:
        msg = f"{' and '.join(given)} needs group=, a function of the item that returns its group"
        raise UsageError(msg)
    if group is not None and not given:
        raise UsageError("group= alone does nothing: give per_group=, group_rate= or both with it")
    if pace != FREELY and chunk not in (None, 1):
        msg = f"with rate= or group= items go out one by one, so there is no chunk={shown(chunk)}"
        raise UsageError(msg)
    return pace


def make_care(max_items: int | None, max_memory: float | None, max_crashes: int | None) -> Care:
    """Check how long a worker is kept; raise `UsageError` or `UsageTypeError` for what cannot work.

    `max_memory` is bytes, or, as a fraction up to 1.0, a share of the memory that this process may use
    (the cgroup's limit where there is one).
    """
    most = check_positive("max_items", max_items)
    crashes = whole(max_crashes)
    if max_crashes is not None and (crashes is None or crashes < 0):
        msg = f"max_crashes must be a whole number, 0 or more, not {shown(max_crashes)}"
        raise UsageError(msg)
    memory = whole(max_memory)
    share = None if memory is not None else real(max_memory)
    if share is not None and 0 < share <= 1:
        total = usable_memory()
        if total is None:
            msg = "max_memory as a share needs to know the memory there is; give it in bytes here"
            raise UsageError(msg)
        return Care(most, int(share * total), crashes)
    if max_memory is not None and (memory is None or memory < 1):
        msg = (
            "max_memory must be a whole number of bytes, or a share of the memory there is, above 0 "
            f"and up to 1.0, not {shown(max_memory)}"
        )
        raise UsageError(msg)
    return Care(most, memory, crashes)


def count(items: object) -> int | None:
    """Count the items where that is possible beforehand; it is a hint, and may turn out wrong."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except Exception:  # noqa: BLE001 - a range longer than an index, an array without a dimension
        return None


def check_function(fn: Callable[..., Any], arguments: int | None, *, takes_state: bool) -> None:
    """Raise `UsageTypeError` unless it can be called with so many arguments (and a state).

    None stands for a number that only the items know.
    """
    try:
        signature = inspect.signature(fn)
    except (ValueError, TypeError):  # many built-ins have none
        return
    if arguments is None:
        return
    try:
        signature.bind(*[None] * (arguments + takes_state))
    except TypeError as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        form = FORMS.get(arguments, "x, y, …") + ", state" * takes_state
        if takes_state:
            hint = f"the {'second' if arguments == 1 else 'last'} argument is what setup opens"
        elif "missing" in str(error):
            hint = (
                "give an iterable for each argument, or starmap=True where the items are tuples; "
                "bind others with functools.partial, or open them in setup="
            )
        else:
            hint = f"have it take {form}"
        msg = (
            f"outpace calls {name}({form}), and {name}{signature} cannot be called that way: {error}; "
            f"{hint}"
        )
        raise UsageTypeError(msg) from None


def _arguments(iterables: Sequence[Any], *, starmap: bool) -> int | None:
    """Count what the function is called with; None where only the items say so."""
    if not starmap:
        return len(iterables)
    first = iterables[0][0] if isinstance(iterables[0], list | tuple) and iterables[0] else None
    return len(first) if isinstance(first, list | tuple) else None


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
            f"setup must be a function that makes a context manager, not {kind(setup)}; "
            "pass the function itself, as in setup=requests.Session"
        )
        raise UsageTypeError(msg)


def _check_callable(fn: object, iterables: Sequence[object]) -> None:
    """Raise `UsageTypeError` unless the function is one; say so where it stands behind the items."""
    if not callable(fn):
        hint = "; it comes first, then the items" if any(map(callable, iterables)) else ""
        msg = f"the function must be callable, and this is {kind(fn)}: {shown(fn)}{hint}"
        raise UsageTypeError(msg)


def _check_iterables(iterables: Sequence[object], *, starmap: bool, allow_async: bool) -> None:
    """Raise unless there are items, and all of them can be iterated over here."""
    if not iterables:
        raise UsageTypeError("there are no items: give an iterable after the function")
    if starmap and len(iterables) > 1:
        raise UsageError(
            "starmap=True is for one iterable of tuples; several iterables go without it"
        )
    for n, items in enumerate(iterables, 1):
        if _is_async(items):
            if not allow_async:
                msg = "the items are an asynchronous iterable; use outpace.amap or outpace.arun"
                raise UsageTypeError(msg)
        elif not hasattr(items, "__iter__") and not hasattr(items, "__getitem__"):
            which, hint = "this", ""
            if n > 1:
                which, hint = f"iterable {n}", "; options go by name, as in workers=4"
            msg = f"the items must be iterable, and {which} is {kind(items)}: {shown(items)}{hint}"
            raise UsageTypeError(msg)


def _is_async(items: object) -> bool:
    """Say whether it can be iterated over asynchronously only."""
    return isinstance(items, AsyncIterable) and not isinstance(items, Iterable)
