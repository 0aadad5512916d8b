"""n items on one event loop: for coroutine functions that wait. `_tasks` is how.

With a timeout the loop lives in a thread that can be given up (`_abandon`), except in a worker process,
whose caller kills what is late. Tested by `tests/drivers/test_asyncio.py`.
"""

from __future__ import annotations

import asyncio

from outpace.drivers._loop import new_loop
from outpace.drivers._tasks import AsyncioWorkers
from outpace.flow.protocol import Call, Driver, Workers


class Asyncio(Driver):
    """Keep n items in flight as tasks of one event loop."""

    name = "asyncio"
    summary = "tasks on one event loop"
    native_async = True
    overlaps = True
    scattered = True
    inline = False

    def unavailable(self) -> str | None:
        """Return None: it runs everywhere."""
        return None

    def open(self, call: Call, lanes: int) -> Workers:
        """Make a loop of our own with that many lanes; with a timeout, one that can be given up."""
        if call.timeout is None or call.supervised:  # the host can kill
            return self._open_here(call, lanes)
        from outpace.drivers._abandon import Abandonable  # noqa: PLC0415 - only then

        return Abandonable(lambda: self._open_here(call, lanes), call.timeout)

    def _open_here(self, call: Call, lanes: int) -> AsyncioWorkers:
        """Make a loop in this thread."""
        loop = new_loop()
        workers = AsyncioWorkers(call, lanes, loop)
        try:
            call.context.copy().run(loop.run_until_complete, workers.aopen())
        except BaseException:
            workers.close()
            raise
        return workers

    async def on_loop(self, call: Call, lanes: int) -> AsyncioWorkers:
        """Put the lanes on the loop that is running: for `areports` and `aclose` only."""
        workers = AsyncioWorkers(call, lanes, asyncio.get_running_loop(), is_ours=False)
        try:
            await workers.aopen()
        except BaseException:
            await workers.aclose()
            raise
        return workers


driver = Asyncio()
