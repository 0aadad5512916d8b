"""Executors that are kept for whoever wants the like again: what their workers have imported is there.

One that is taken belongs to one user, until it is put back; so nobody's end is anybody else's. What is
put back is kept for as long as its user has said, the last `MOST` of them. What nobody has taken by then
ends, as all of them do at the interpreter's exit. In a fork none is there: they are the parent's.

Tested by `tests/test_joblib_kept.py`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outpace.flow.forks import free_in_forks
from outpace.futures.executor import Executor
from outpace.machine.clocks import LONGEST_WAIT

# As many as there are kinds of calls in turn, say with two numbers of threads in each worker. loky has
# one executor, which starts anew with every change; each more is memory that nobody may ever want.
MOST = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Idle:
    """An executor that nobody uses: what it was made with, and when it ends (`time.monotonic`)."""

    kind: Any
    executor: Executor
    until: float


_idle: list[_Idle] = []  # the oldest first
_watch: threading.Thread | None = None  # ends those whose time is over, while there are any
# A garbage collection may put one back anywhere, so whoever has the lock can take it again.
_changed = free_in_forks(threading.Condition(threading.RLock()))


def take(kind: Any, make: Callable[[], Executor]) -> Executor:
    """Return an executor that was made with the same, for the caller alone; else make one."""
    with _changed:
        # The last one first: what it has in memory was used most recently.
        for place in reversed(range(len(_idle))):
            if _same(_idle[place].kind, kind):
                executor = _idle.pop(place).executor
                if _is_usable(executor):
                    return executor
    return make()


def put_back(kind: Any, executor: Executor, seconds: float) -> None:
    """Keep an executor for so long, none of whose calls runs any more."""
    global _watch  # noqa: PLW0603 - there is one for the whole process, as there is one list
    with _changed:
        if not _is_usable(executor):
            return
        _idle.append(_Idle(kind, executor, time.monotonic() + seconds))
        leaving = _idle[:-MOST]
        del _idle[:-MOST]
        if _watch is None:
            # A daemon, so that no exit waits for it.
            _watch = threading.Thread(target=_end_in_time, name="outpace-kept", daemon=True)
            _watch.start()
        else:
            _changed.notify_all()
    _end(leaving)


def let_go(*, wait: bool = True) -> None:
    """End all executors that nobody uses; wait until nothing is left of them."""
    with _changed:
        leaving, watch = _idle[:], _watch
        _idle.clear()
        _changed.notify_all()
    _end(leaving)
    if wait:
        for one in leaving:
            one.executor.shutdown()
        if watch is not None:
            watch.join()


def _end_in_time() -> None:
    """End each when its time is over, until there are none."""
    global _watch  # noqa: PLW0603
    over: list[_Idle] = []
    while True:
        with _changed:
            if not _idle:
                _watch = None
                return
            seconds = min(one.until for one in _idle) - time.monotonic()
            _changed.wait(min(max(seconds, 0), LONGEST_WAIT))
            now = time.monotonic()
            over = [one for one in _idle if one.until <= now]
            _idle[:] = [one for one in _idle if one.until > now]
            _changed.notify_all()
        _end(over)
        over.clear()


def _end(leaving: list[_Idle]) -> None:
    """Have executors end, each in its own time."""
    for one in leaving:
        one.executor.shutdown(wait=False)


def _is_usable(executor: Executor) -> bool:
    """Say whether an executor takes calls: it may be broken, or have been ended by its user."""
    return executor._manager.takes_calls  # noqa: SLF001 - of this package


def _same(one: Any, other: Any) -> bool:
    """Say whether two executors are alike, as far as what they were made with can be compared."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - arguments of the user's, whose `==` can do anything
        return False


def _after_fork() -> None:
    """Have none in a child process."""
    global _watch  # noqa: PLW0603
    _idle.clear()
    _watch = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
