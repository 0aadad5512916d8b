"""n items on one event loop: for coroutine functions that wait.

The lanes are n long-lived tasks that take items from one queue, not a task per item: starting a task
costs more than the whole budget of a short item (asyncio.gather: 9.5 us an item). Each item still has
a context of its own, because the lane drives the item's coroutine by hand in a copy of the caller's
context (`_drive`); that driver is also where the steps of an item can be timed.

The loop runs only while somebody waits in `reports`, except when it is the caller's own (`on_loop`,
for `amap`): then the lanes are tasks of that loop and `areports` is awaited.

Guarantees: a plain function is allowed (it blocks the loop); a lane that never waits still lets the
loop breathe every `BREATH` seconds. Tested by `tests/drivers/test_asyncio.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import types
from array import array
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from outpace.drivers._lane import close_loop, enter, failed, setup_failed
from outpace.flow.data import Chunk, Failure, Report
from outpace.flow.protocol import Call, Usage

BREATH = 0.005  # seconds after which a lane that never waits lets the others run
LINGER = 0.002  # seconds that a finished item may wait for company while there is more to do

clock = time.perf_counter


class Asyncio:
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

    def open(self, call: Call, lanes: int) -> AsyncioWorkers:
        """Make a loop of our own with that many lanes."""
        loop = asyncio.new_event_loop()
        workers = AsyncioWorkers(call, lanes, loop)
        try:
            loop.run_until_complete(workers.aopen())
        except BaseException:
            workers.close()
            raise
        return workers

    async def on_loop(self, call: Call, lanes: int) -> AsyncioWorkers:
        """Put the lanes on the loop that is running: for `areports` and `aclose` only."""
        workers = AsyncioWorkers(call, lanes, asyncio.get_running_loop())
        try:
            await workers.aopen()
        except BaseException:
            await workers.aclose()
            raise
        return workers


class AsyncioWorkers:
    """Be the lanes on a loop, the queue they take from, and the columns they fill."""

    def __init__(self, call: Call, lanes: int, loop: asyncio.AbstractEventLoop) -> None:
        """Have no lanes yet: they are tasks, and made on the loop."""
        self.slots = lanes
        self.usage = Usage()
        self._call = call
        self._loop = loop
        self._exits = contextlib.AsyncExitStack()
        self._args: tuple[Any, ...] = ()
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []
        # The mutable state of the work: what waits, which lanes do, and what has ended.
        self._queue: deque[tuple[int, Any]] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._ended = _Columns()
        self._signal: Callable[[], object] = lambda: None  # ends the current `reports`
        self._signalled = False
        self._cpu = time.thread_time()

    async def aopen(self) -> None:
        """Open the setup and start the lanes; raise `SetupError` when the setup fails."""
        if self._call.setup is not None:
            try:
                state = await enter(self._call.setup, self._exits, prefer_async=True)
            except BaseException as error:
                raise setup_failed(error) from error
            self._args = (state,)
        self._tasks = [
            self._loop.create_task(self._lane(), name=f"outpace lane {n}")
            for n in range(self.slots)
        ]

    def start(self, chunk: Chunk) -> None:
        """Put items in line, and wake as many idle lanes."""
        self._queue.extend(zip(chunk.indexes, chunk.items, strict=True))
        for _ in range(min(len(chunk), len(self._idle))):
            lane = self._idle.pop()
            if not lane.done():
                lane.set_result(None)

    def reports(self, timeout: float | None) -> Sequence[Report]:
        """Run the loop until something ended or time is up."""
        if not self._ended and not self._signalled:
            self._signal = self._loop.stop
            timer = None if timeout is None else self._loop.call_later(timeout, self._loop.stop)
            self._loop.run_forever()
            if timer is not None:
                timer.cancel()
        return self._collect()

    async def areports(self, timeout: float | None) -> Sequence[Report]:
        """Do the same on the caller's running loop."""
        if not self._ended and not self._signalled:
            event = asyncio.Event()
            self._signal = event.set
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await event.wait()
        return self._collect()

    def wake(self) -> None:
        """End the current `reports` from whichever thread."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._end_reports)

    def close(self) -> None:
        """Cancel the items, close the setup, close the loop."""
        if self._closed:
            return
        self._signal = lambda: None  # a wake-up still under way must not stop the closing
        try:
            self._loop.run_until_complete(self.aclose())
        finally:
            close_loop(self._loop)

    async def aclose(self) -> None:
        """Cancel the items and close the setup; leave the loop to its owner."""
        self._closed = True
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        try:
            await self._exits.aclose()
        except BaseException as error:
            raise setup_failed(error, "at its exit, after the items") from error

    def _collect(self) -> Sequence[Report]:
        """Return what has ended as one report."""
        self._signal = lambda: None
        self._signalled = False
        if not self._ended:
            return ()
        ended, self._ended = self._ended, _Columns()
        before, self._cpu = self._cpu, time.thread_time()
        return (ended.report(self._cpu - before),)

    def _end_reports(self) -> None:
        """End the current `reports`, once the other callbacks of this turn have run."""
        self._signal()

    def _announce(self) -> None:
        """End the current `reports`: now if lanes would starve, else after gathering some more."""
        if not self._signalled:
            self._signalled = True
            if self._queue:
                self._loop.call_later(LINGER, self._end_reports)
            else:
                self._loop.call_soon(self._end_reports)

    async def _lane(self) -> None:
        """Take items until cancelled."""
        queue = self._queue
        while True:
            while queue:
                await self._carry_some()
                await asyncio.sleep(0)
            idle = self._loop.create_future()
            self._idle.append(idle)
            await idle

    async def _carry_some(self) -> None:
        """Carry out items one after another, for about one breath if none of them waits."""
        queue, fn, args, context = self._queue, self._call.fn, self._args, self._call.context
        now = clock()
        until = now + BREATH
        while queue and now < until:
            index, item = queue.popleft()
            started = now
            try:
                own = context.copy()
                value = own.run(fn, item, *args)
                if hasattr(value, "__await__"):
                    if type(value) is not types.CoroutineType:
                        value = _await(value)
                    value = await _drive(value, own.run)
            except asyncio.CancelledError as error:
                if self._closed:
                    raise
                now = clock()
                self._ended.fail(index, Failure(error), started, now)
            except BaseException as error:  # noqa: BLE001 - any end of an item is its outcome
                now = clock()
                self._ended.fail(index, failed(error), started, now)
            else:
                now = clock()
                self._ended.done(index, value, started, now)
            if not self._signalled:
                self._announce()


class _Columns:
    """Be the columns of a report while they grow."""

    __slots__ = ("done_at", "failures", "indexes", "started", "values")

    def __init__(self) -> None:
        """Be empty."""
        self.indexes: list[int] = []
        self.values: list[Any] = []
        self.started: list[float] = []
        self.done_at: list[float] = []
        self.failures: dict[int, Failure] = {}

    def __bool__(self) -> bool:
        """Say whether anything has ended."""
        return bool(self.indexes)

    def done(self, index: int, value: object, started: float, ended: float) -> None:
        """Add an item that returned."""
        self.indexes.append(index)
        self.values.append(value)
        self.started.append(started)
        self.done_at.append(ended)

    def fail(self, index: int, failure: Failure, started: float, ended: float) -> None:
        """Add an item that raised."""
        self.failures[len(self.indexes)] = failure
        self.done(index, None, started, ended)

    def report(self, cpu_s: float) -> Report:
        """Make the report."""
        times = array("d", self.started), array("d", self.done_at)
        return Report(self.indexes, self.values, *times, self.failures, cpu_s)


async def _await(awaitable: Any) -> Any:
    """Make a coroutine of any awaitable."""
    return await awaitable


@types.coroutine
def _drive(coroutine: Coroutine[Any, Any, Any], run: Callable[..., Any]) -> Generator[Any, Any, Any]:
    """Drive a coroutine as `await` would, every step of it in a context of its own.

    The idea of a hand-written driver around `send` is in research (diagnose, D.2): it costs 0.35 us
    a switch and passes cancellation, `asyncio.timeout`, task groups and queues through unharmed.
    """
    sent: Any = None
    thrown: BaseException | None = None
    send, throw = coroutine.send, coroutine.throw
    while True:
        try:
            waits_for = run(send, sent) if thrown is None else run(throw, thrown)
        except StopIteration as stop:
            return stop.value
        thrown = None
        try:
            sent = yield waits_for
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001 - handed on to the item
            sent, thrown = None, error


driver = Asyncio()
