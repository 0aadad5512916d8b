"""n items on one event loop: for coroutine functions that wait.

The lanes are n long-lived tasks that take items from one queue, not a task per item: starting a
task costs more than the whole budget of a short item (asyncio.gather: 9.5 us an item). Each item
still has a context of its own, because the lane drives the item's coroutine by hand in a copy of
the caller's context (`_row`, `_drive`); there, too, the steps of an item can be timed.

An item that never waits needs no task and no loop: a lane carries out such items in a row, with
one clock reading each, and reports the row as a range. Only an item that waits is awaited; the lane
then wakes another one to go on with the queue.

The loop runs only while somebody waits in `reports`, except when it is the caller's own (`on_loop`,
for `amap`): then the lanes are tasks of that loop and `areports` is awaited.

Guarantees: a plain function is allowed (it blocks the loop); items that never wait still let the
loop breathe every `BREATH` seconds. Tested by `tests/drivers/test_asyncio.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from outpace.drivers._columns import Columns
from outpace.drivers._drive import awaited, drive
from outpace.drivers._lane import enter, failed, setup_failed
from outpace.drivers._loop import apart_from_loops, close_loop
from outpace.flow.data import Chunk, Failure, Report
from outpace.flow.protocol import Call, Usage

# bench/chunks.py sweeps these two. Neither costs an item anything measurable from 0.5 ms up; LINGER
# at 10 ms cost items that only yield 1.4 times as much.
BREATH = 0.005  # seconds after which a lane that never waits lets the others run
LINGER = 0.002  # seconds that a finished item may wait for company while there is more to do
AGAIN = 0.05  # seconds until an item that goes on after it was cancelled is cancelled again

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
            call.context.copy().run(loop.run_until_complete, workers.aopen())
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
        self._cancelled = False  # whether a lane has ended that we did not close
        # The mutable state of the work: what waits, which lanes do, and what has ended.
        self._queue: deque[_Line] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._looking = 0  # lanes that are about to look at the queue, or do
        self._ended = Columns()
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
        self._hire()

    def _hire(self) -> None:
        """Start as many lanes as are missing: all, or those that somebody else has cancelled."""
        self._tasks = [task for task in self._tasks if not task.done()]
        for n in range(len(self._tasks), self.slots):
            self._tasks.append(self._loop.create_task(self._lane(), name=f"outpace lane {n}"))
        self._cancelled = False

    def start(self, chunk: Chunk) -> None:
        """Put items in line, and see to it that a lane looks at them."""
        if chunk.items:
            self._queue.append(_Line(chunk.first, chunk.first + len(chunk), iter(chunk.items)))
            self._wake_lane()

    def reports(self, timeout: float | None) -> Sequence[Report]:
        """Run the loop until something ended or time is up."""
        if self._cancelled:
            self._hire()
        if not self._ended and not self._signalled:
            self._signal = self._loop.stop
            timer = None if timeout is None else self._loop.call_later(timeout, self._loop.stop)
            self._loop.run_forever()
            if timer is not None:
                timer.cancel()
        return self._collect()

    async def areports(self, timeout: float | None) -> Sequence[Report]:  # noqa: ASYNC109 - as `reports`
        """Do the same on the caller's running loop."""
        if self._cancelled:
            self._hire()
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
        if not self._closed:
            apart_from_loops(self._close)

    def _close(self) -> None:
        """Do so, where no loop is running."""
        self._signal = lambda: None  # a wake-up still under way must not stop the closing
        try:
            self._loop.run_until_complete(self.aclose())
        finally:
            close_loop(self._loop)

    async def aclose(self) -> None:
        """Cancel the items and close the setup; leave the loop to its owner."""
        self._closed = True
        self._queue.clear()
        try:
            await self._end_lanes()
        finally:
            try:
                await self._exits.aclose()
            except BaseException as error:
                raise setup_failed(error, "at its exit, after the items") from error

    async def _end_lanes(self) -> None:
        """Cancel the lanes, again and again where an item swallows it and goes on."""
        waiting = set(self._tasks)
        while waiting:
            for task in waiting:
                task.cancel()
            ended, waiting = await asyncio.wait(waiting, timeout=AGAIN)
            for task in ended:
                if not task.cancelled():
                    task.exception()  # a Ctrl-C that was raised in an item, and was seen there
        self._tasks.clear()

    def _collect(self) -> Sequence[Report]:
        """Return what has ended as one report."""
        self._signal = lambda: None
        self._signalled = False
        if not self._ended:
            return ()
        ended, self._ended = self._ended, Columns()
        before, self._cpu = self._cpu, time.thread_time()
        return ended.reports(self._cpu - before)

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

    def _wake_lane(self) -> None:
        """Have one idle lane look at the queue, unless another does.

        One at a time, each waking the next when its item waits: lanes that never wait would only
        take turns, and keep what else is on the loop waiting for as many breaths as they are.
        """
        while self._idle and not self._looking:
            lane = self._idle.pop()
            if not lane.done():
                lane.set_result(None)
                self._looking += 1

    async def _lane(self) -> None:
        """Carry out items until it is over, or until somebody else cancels everything on the loop."""
        try:
            await self._carry()
        except asyncio.CancelledError:
            if not self._closed:
                self._cancelled = True
                self._announce()
            raise

    async def _carry(self) -> None:
        """Carry out items."""
        self._looking += 1
        while not self._closed:
            if not self._queue:
                idle = self._loop.create_future()
                self._idle.append(idle)
                self._looking -= 1
                await self._until_woken(idle)
            elif (waiting := self._row()) is None:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    self._looking -= 1
                    raise
            else:
                self._looking -= 1
                if self._queue:
                    self._wake_lane()
                await self._finish(waiting)
                self._looking += 1

    async def _until_woken(self, idle: asyncio.Future[None]) -> None:
        """Wait for `_wake_lane`; if cancelled after it had counted on this lane, take that back."""
        try:
            await idle
        except asyncio.CancelledError:
            if not idle.cancelled():
                self._looking -= 1
            raise

    def _row(self) -> _Waiting | None:
        """Carry out items one after another, for about one breath; return the first that waits."""
        line, fn, args, copy = self._queue[0], self._call.fn, self._args, self._call.context.copy
        values: list[Any] = []
        failures: dict[int, Failure] = {}
        first, waiting, now = line.next, None, clock()
        edges, until = [now], now + BREATH
        for item in line.items:
            run = copy().run
            try:
                value = run(fn, item, *args) if args else run(fn, item)
                if hasattr(value, "__await__"):
                    coroutine = value if type(value) is types.CoroutineType else awaited(value)
                    try:
                        waits_for = run(coroutine.send, None)
                    except StopIteration as stop:
                        value = stop.value
                    else:
                        waiting = (first + len(values), now, coroutine, run, waits_for)
                        break
            except BaseException as error:  # noqa: BLE001 - any end of an item is its outcome
                failures[len(values)] = failed(error)
                value = None
            values.append(value)
            now = clock()
            edges.append(now)
            if now > until:
                break
        line.next = first + len(values) + (waiting is not None)
        if line.next == line.stop:
            self._queue.popleft()
        if values:
            self._ended.row(first, values, failures, edges)
            self._announce()
        return waiting

    async def _finish(self, waiting: _Waiting) -> None:
        """Await an item that has begun to wait, to its end."""
        index, started, coroutine, run, waits_for = waiting
        value = failure = None
        cancelled = False
        try:
            value = await drive(coroutine, run, waits_for)
        except asyncio.CancelledError as error:
            if self._closed:
                raise
            failure = Failure(error)
            task = asyncio.current_task()
            cancelled = task is not None and task.cancelling() > 0  # the lane, not only the item
        except BaseException as error:  # noqa: BLE001 - any end of an item is its outcome
            failure = failed(error)
        self._ended.one(index, value, failure, started, clock())
        self._announce()
        if cancelled:
            raise asyncio.CancelledError


@dataclass(slots=True)
class _Line:
    """Be a chunk that lanes take items from: all share the iterator, and the index of the next."""

    next: int
    stop: int
    items: Iterator[Any]


# An item that has begun and now waits: its index, when it started, its coroutine, what runs a step
# in its context, and what it waits for. A tuple, because making one costs a tenth of an object.
_Waiting = tuple[int, float, Coroutine[Any, Any, Any], Callable[..., Any], Any]


driver = Asyncio()
