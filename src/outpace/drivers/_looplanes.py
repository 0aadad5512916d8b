"""The lanes of an event loop: tasks that are hired when an item waits for one, up to a number.

One lane at a time looks at the queue, and wakes the next one when its item waits. So a million lanes
cost nothing until there are items for them, and lanes whose items never wait do not take turns.
Everything here happens in the loop's thread, or while the loop stands still. Tested by
`tests/drivers/test_asyncio.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any


class LoopLanes:
    """The tasks, which of them are idle, and how many look at the queue or are about to.

    `carry` is what a lane does, given its number. `lost` is called when somebody else has cancelled one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int,
        context: Context,
        carry: Callable[[int], Coroutine[Any, Any, None]],
        lost: Callable[[], object],
    ) -> None:
        """Have hired none."""
        self.tasks: list[asyncio.Task[None]] = []
        self.looking = 0
        self.closing = False
        self._loop, self._most, self._context = loop, most, context
        self._carry, self._lost = carry, lost
        self._idle: list[asyncio.Future[None]] = []
        self._vacant: list[int] = []  # the numbers of lanes that somebody else has cancelled
        self._unbegun = -1  # the lane that has not come to its first step, if one is hired

    def wake(self) -> None:
        """Have an idle lane look at the queue, or hire one that does, unless another looks."""
        while not self.looking:
            if self._idle:
                lane = self._idle.pop()
                if not lane.done():
                    lane.set_result(None)
                    self.looking += 1
            elif self._vacant or len(self.tasks) < self._most:
                self._hire()
            else:
                return

    def _hire(self) -> None:
        """Start one more lane."""
        self._unbegun = n = self._vacant.pop() if self._vacant else len(self.tasks)
        self.looking += 1
        create = self._context.copy().run
        task = create(self._loop.create_task, self._carry(n), name=f"outpace lane {n}")
        task.add_done_callback(partial(self._ended, n))
        self.tasks[n : n + 1] = [task]

    def begin(self) -> None:
        """Note that a lane comes to its first step."""
        self._unbegun = -1

    async def rest(self) -> None:
        """Be an idle lane until it is woken."""
        idle = self._loop.create_future()
        self._idle.append(idle)
        self.looking -= 1
        try:
            await idle
        except asyncio.CancelledError:
            if not idle.cancelled():  # it was woken before, and is counted on
                self.looking -= 1
            raise

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        """Learn that a lane has ended; unless it is to, somebody has cancelled all of the loop."""
        if number == self._unbegun:
            self._unbegun = -1
            self.looking -= 1
        if task.cancelled() and not self.closing:
            self._vacant.append(number)
            self._lost()
