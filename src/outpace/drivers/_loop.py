"""Event loops of our own: how they are made, left and closed. asyncio is imported when one is needed."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from outpace.flow.forks import free_in_forks, in_a_fork
from outpace.machine.ulimits import enough_descriptors

# What one thread has found free, no other takes meanwhile.
_making = free_in_forks(threading.Lock())

if TYPE_CHECKING:
    import asyncio  # at run time only where a loop is needed: it costs a worker 40 ms to import


def loop_is_running() -> bool:
    """Say whether an event loop runs in this thread, without importing asyncio to find out."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001 - documented for this


def new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop of whatever kind the caller's policy makes."""
    import asyncio  # noqa: PLC0415

    fewer = "a lower in_flight= where each lane has one"
    with enough_descriptors("an event loop needs 4", fewer), _making:
        with contextlib.ExitStack() as tried:  # one that stays half made complains of itself
            for _ in range(2):
                for end in os.pipe():
                    tried.callback(os.close, end)
        loop = asyncio.new_event_loop()
    in_a_fork(loop, _let_go)
    return loop


def _let_go(loop: Any) -> None:
    """Have a loop be closed, in a fork, and leave alone what it watches: its parent has it, too."""
    import asyncio  # noqa: PLC0415

    loop.set_exception_handler(lambda *_: None)  # an item that forked comes to its end on it
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio does
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return  # another kind, whose insides are its own
    loop._closed = True  # type: ignore[attr-defined]  # noqa: SLF001 - `close` would have epoll, which both share, forget
    for part in (loop._selector, loop._ssock, loop._csock):  # type: ignore[attr-defined]  # noqa: SLF001
        part.close()


def without_loop(coroutine: Any) -> Any:
    """Run a coroutine that never waits for anything."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    msg = "an asynchronous setup needs a coroutine function, or a model with an event loop"
    raise RuntimeError(msg)


def apart_from_loops(work: Callable[[], None]) -> None:
    """Do work that runs a loop; in a thread of its own where this one has a loop running already.

    A run that is dropped half-way is closed by whoever drops it, and that may be a coroutine.
    """
    if not loop_is_running():
        work()
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - asyncio has imported it

    with ThreadPoolExecutor(1, thread_name_prefix="outpace-close") as thread:
        thread.submit(work).result()


def end_task(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], patience: float | None = None
) -> None:
    """Wait until a cancelled task has ended, however it does; with `patience`, no longer than that."""
    import asyncio  # noqa: PLC0415

    loop.run_until_complete(asyncio.wait([task], timeout=patience))
    _forget([task])


def close_loop(loop: asyncio.AbstractEventLoop, patience: float | None = None) -> None:
    """Close a loop as `asyncio.run` does: leftover tasks, asynchronous generators, executor.

    With `patience`, what swallows that it is cancelled is left after so many seconds.
    """
    import asyncio  # noqa: PLC0415

    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=patience))
            _forget(tasks)
        loop.run_until_complete(loop.shutdown_asyncgens())
        if patience is None:
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _forget(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Have nobody complain of what these have raised, nor that one of them has not ended."""
    for task in tasks:
        if not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio does
        elif not task.cancelled():
            task.exception()  # it is seen
