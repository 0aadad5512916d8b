"""What the lanes of an event loop take from, and what they hold; and how they are ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from outpace.flow.deadlines import AGAIN
from outpace.flow.ending import HURRY

clock = time.perf_counter


@dataclass(slots=True)
class Line:
    """Be a chunk that lanes take items from: all share the iterator, and the index of the next."""

    next: int
    stop: int
    items: Iterator[Any]


# An item that has begun and now waits: its index, when it started, its coroutine, what runs a step
# in its context, and what it waits for. A tuple, because making one costs a tenth of an object.
Waiting = tuple[int, float, Coroutine[Any, Any, Any], Callable[..., Any], Any]


async def end_tasks(tasks: list[asyncio.Task[None]], in_a_hurry: Callable[[], bool]) -> None:
    """Cancel tasks, again and again where an item swallows it and goes on."""
    waiting, until = set(tasks), clock() + HURRY
    while waiting and not (in_a_hurry() and clock() > until):
        for task in waiting:
            task.cancel()
        ended, waiting = await asyncio.wait(waiting, timeout=AGAIN)
        for task in ended:
            if not task.cancelled():
                task.exception()  # a Ctrl-C that was raised in an item, and was seen there
    tasks.clear()
