"""Items from an asynchronous iterable, for `amap` and `arun`.

It is read by a task of its own, but only as far as the dispatcher has asked, so that a slow source
never holds up results that are ready. Tested by `tests/flow/test_arun.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from outpace.flow.engine import Engine
from outpace.flow.face import Face, runs_of
from outpace.flow.rows import avalues
from outpace.flow.source import AHEAD, MOST_AHEAD


class Feed:
    """The reading of an asynchronous iterable in a task, as far as it was asked to."""

    def __init__(self, engine: Engine, news: asyncio.Event) -> None:
        """Read nothing yet; `news` is set when something was read."""
        self._engine = engine
        self._asked = 0
        self._taken: deque[Any] = deque()
        self._over = self._closing = False
        self._more = asyncio.Event()
        self._news = news
        self._task = asyncio.create_task(self._read(), name="outpace items")

    def pull(self, room: int) -> None:
        """Give the dispatcher what has been read, or ask for more."""
        dispatcher = self._engine.dispatcher
        if self._taken:
            items = [self._taken.popleft() for _ in range(min(room, len(self._taken)))]
            self._engine.admit(items, self._engine.clock())
        elif self._over:
            dispatcher.exhaust()
        self._engine.lacking = not self.ready
        self._news.clear()
        ahead = self._ahead()
        self._asked = 0 if self._over else max(0, room + ahead - len(self._taken))
        self._more.set()

    def _ahead(self) -> int:
        """Say how many values of a run are to wait, so that both go on side by side."""
        engine = self._engine
        held = AHEAD * engine.dispatcher.credit.held
        return min(held, MOST_AHEAD) if isinstance(engine.job.items, Face) else 0

    @property
    def ready(self) -> bool:
        """Say whether something was read, or never will be."""
        return bool(self._taken) or self._over

    async def aclose(self) -> None:
        """Stop reading and close the iterable's generator."""
        self._closing = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for run in runs_of(self._engine.job.items):  # they end with the one that they feed
            await run.end()

    async def _read(self) -> None:
        """Read one item after another while any are asked for."""
        items: Any = None
        try:
            items = avalues(self._engine.job.items)
            while True:
                while self._asked <= 0:
                    self._more.clear()
                    await self._more.wait()
                self._taken.append(await anext(items))
                self._asked -= 1
                self._announce()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError as error:
            if self._closing:
                raise
            self._engine.source_error = (
                error  # the iterable's own, or of somebody who ends the loop
            )
        except Exception as error:  # noqa: BLE001 - it is raised at the caller's loop
            self._engine.source_error = error
        finally:
            self._over = True
            self._announce()
            if (close := getattr(items, "aclose", None)) is not None:
                await close()

    def _announce(self) -> None:
        """Say that there is something new to whoever waits."""
        self._engine.lacking = False
        self._news.set()
        if self._engine.workers is not None:
            self._engine.workers.wake()
