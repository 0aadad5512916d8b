"""n items on one event loop: for coroutine functions that wait.

The lanes are up to n long-lived tasks (`_looplanes`) that take items from one queue, not a task per
item: starting one costs more than the whole budget of a short item (asyncio.gather: 9.5 us). Each item
still has a context of its own, because the lane drives the item's coroutine by hand in a copy of
the caller's context (`_row`, `_drive`); there, too, its steps are timed (`_pace`).

An item that never waits needs no task and no loop: a lane carries out such items in a row, with
one clock reading each, and reports the row as a range. Only an item that waits is awaited; the lane
then wakes another one to go on with the queue.

The loop runs only while somebody waits in `reports`, except when it is the caller's own (`on_loop`,
for `amap`): then the lanes are tasks of that loop and `areports` is awaited. What has the loop, and
what waits, stands on the board (`flow.board`).

Guarantees: a plain function is allowed (it blocks the loop); items that never wait still let the
loop breathe every `BREATH` seconds; an item that takes longer than the call's timeout is cancelled,
and again where it swallows that. One that blocks the loop cannot be. Tested by
`tests/drivers/test_asyncio.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import types
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from outpace.drivers._drive import awaited, drive
from outpace.drivers._lane import failed, sequential
from outpace.drivers._late import LateItems
from outpace.drivers._line import Line, Waiting, end_tasks
from outpace.drivers._loop import apart_from_loops, close_loop
from outpace.drivers._looplanes import LoopLanes
from outpace.drivers._marks import carries_items
from outpace.drivers._pace import Pace
from outpace.drivers._setup import enter, setup_failed
from outpace.drivers._traced import Traced
from outpace.flow.board import Board, Place, Row, Shape
from outpace.flow.data import Chunk, Failure, Report, failure_of
from outpace.flow.ending import HURRY
from outpace.flow.protocol import Call, InThisProcess, Running
from outpace.flow.trace import Trace

# bench/chunks.py sweeps these two. Neither costs an item anything measurable from 0.5 ms up; LINGER
# at 10 ms cost items that only yield 1.4 times as much.
BREATH = 0.005  # seconds after which a lane that never waits lets the others run
LINGER = 0.002  # seconds that a finished item may wait for company while there is more to do

RUNS_A_LOOP = True  # by this `_where` knows our frames below which a loop has called

clock = time.perf_counter


class AsyncioWorkers(InThisProcess):
    """Be the lanes on a loop, the queue they take from, and the columns they fill."""

    def __init__(
        self, call: Call, lanes: int, loop: asyncio.AbstractEventLoop, *, is_ours: bool = True
    ) -> None:
        """Have no lanes yet: they are tasks, and made on the loop."""
        self.slots = lanes
        self._call = call
        self._loop = loop
        self._exits = contextlib.AsyncExitStack()
        self._args: tuple[Any, ...] = ()
        self._over = self._closed = self._hurry = False
        self._lanes = LoopLanes(loop, lanes, call.context, self._carry, self._lose_lane)
        self._lost = False  # whether somebody else has cancelled a lane since we last looked
        # The mutable state of the work: what waits, which lanes do, and what has ended.
        self._queue: deque[Line] = deque()
        self._signal: Callable[[], object] = lambda: None  # ends the current `reports`
        self._signalled = False
        self._lingering = False  # it waits for company, of which there may be none after all
        self._cpu = time.thread_time()
        board = call.board or Board(Shape.of(lanes, scattered=True))
        self._row_now, self._places = board.rows[0], board.places
        self._pace = Pace(call, board, lanes, loop if is_ours else None)
        self._ended = Traced(self._pace)
        self._in_row: tuple[int, list[Any], dict[int, Failure]] = (0, [], {})  # what came of those
        # Held when what has ended is noted or told, and when the loop is given up: then nothing is.
        self._telling = threading.Lock()
        self._given_up = False
        timeout = call.timeout
        self._late = None if timeout is None else LateItems(timeout, clock())
        self._breath = min(BREATH, timeout or BREATH)

    async def aopen(self) -> None:
        """Open the setup and start the lanes; raise `SetupError` when the setup fails."""
        if self._call.setup is not None:
            try:
                state = await enter(self._call.setup, self._exits, prefer_async=True)
            except BaseException as error:
                raise setup_failed(error) from error
            self._args = (state,)
        self._pace.begin()
        if self._call.timeout is not None:
            self._loop.call_later(self._call.timeout, self._look)

    def _lose_lane(self) -> None:
        """Learn that somebody else has cancelled a lane; there will be another."""
        self._lost = True
        self._announce()

    def _make_up(self) -> None:
        """See to it that a lane looks at the queue, where those that were to are lost."""
        if self._lost:
            self._lost = False
            if self._queue:
                self._lanes.wake()

    def start(self, chunk: Chunk) -> None:
        """Put items in line, and see to it that a lane looks at them."""
        if chunk.items:
            self._queue.append(Line(chunk.first, chunk.first + len(chunk), iter(chunk.items)))
            self._lanes.wake()
            self._pace.more(len(chunk))

    @carries_items
    def reports(self, timeout: float | None) -> Sequence[Report]:
        """Run the loop until something ended or time is up."""
        self._make_up()
        if not self._ended and not self._signalled:
            self._signal = self._loop.stop
            timer = None if timeout is None else self._loop.call_later(timeout, self._loop.stop)
            self._pace.runs()
            self._loop.run_forever()
            if timer is not None:
                timer.cancel()
        return self._collect()

    async def areports(self, timeout: float | None) -> Sequence[Report]:  # noqa: ASYNC109 - as `reports`
        """Do the same on the caller's running loop."""
        self._make_up()
        if not self._ended and not self._signalled:
            event = asyncio.Event()
            self._signal = event.set
            self._pace.runs()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await event.wait()
        return self._collect()

    def wake(self) -> None:
        """End the current `reports` from whichever thread."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._end_reports)

    def watch(self, fd: int, call: Callable[[], object] | None) -> bool:
        """Have this called on the loop when a descriptor can be read; say whether that can be."""
        try:
            if call is None:
                self._loop.remove_reader(fd)
            else:
                self._loop.add_reader(fd, call)
        except NotImplementedError:  # Windows' Proactor
            return False
        return True

    def running(self) -> Iterator[Running]:
        """Yield, for every item that runs or waits now, its worker, its index, and since when."""
        both: tuple[Row | Place, ...] = (self._row_now, *self._places)
        for place in both:
            if (found := place.running()) is not None:
                yield 0, *found

    def has_loop(self) -> tuple[int, float] | None:
        """Return the item that has the loop now, and when it started; None without one."""
        found = self._row_now.running() or self._pace.on_loop.running()
        for place in self._places:
            if found is not None and (one := place.running()) is not None and one[0] == found[0]:
                return one
        return found

    def give_up(self, stuck: tuple[int, float]) -> list[Report] | None:
        """Carry out and tell nothing more, if that item has the loop still; return what has ended.

        None when it has let go of the loop. For another thread.
        """
        with self._telling:
            first, values, failures = self._in_row
            in_row = self._row_now.running() == stuck
            if not in_row and self.has_loop() != stuck:
                return None
            self._over = self._given_up = True
            reports = self._ended.reports(0.0)
            done = stuck[0] - first
            if in_row and done > 0:
                failures = {n: failure for n, failure in failures.copy().items() if n < done}
                times = self._row_now.column(done)
                reports.append(sequential(first, values[:done], failures, times))
        # If the interpreter ends before they do, it is to say nothing.
        for task in self._lanes.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        self._pace.end()
        self.wake()  # the loop, as soon as the item lets go of it
        return reports

    def unreported(self) -> Trace | None:
        """Return what is known of the loop that no report has said; after `give_up`."""
        return self._pace.unreported()

    def interrupt(self) -> None:
        """Have `close` wait for no item that goes on although it was cancelled."""
        self._hurry = True

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
            close_loop(self._loop, HURRY if self._hurry else None)

    async def aclose(self) -> None:
        """Cancel the items and close the setup; leave the loop to its owner."""
        self._over = self._closed = self._lanes.closing = True
        self._queue.clear()
        self._pace.end()
        try:
            await end_tasks(self._lanes.tasks, lambda: self._hurry)
        finally:
            if self._call.supervised:  # elsewhere they still say what was cut short
                for one in (self._row_now, *self._places):
                    one.clear()
            try:
                await self._exits.aclose()
            except BaseException as error:
                raise setup_failed(error, "at its exit, after the items") from error

    def _collect(self) -> Sequence[Report]:
        """Return what has ended as one report."""
        self._signal = lambda: None
        self._signalled = self._lingering = False
        with self._telling:
            if self._given_up or not self._ended:
                return ()
            ended, self._ended = self._ended, Traced(self._pace)
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
                self._lingering = True
                self._loop.call_later(LINGER, self._end_reports)
            else:
                self._loop.call_soon(self._end_reports)

    def _look(self) -> None:
        """Cancel the items that have taken too long, and see to it that one looks again."""
        if self._late is not None and not self._closed:
            again = self._late.look(self._places, self._lanes.tasks, clock())
            self._loop.call_later(again, self._look)

    async def _carry(self, number: int) -> None:
        """Be a lane: carry out items until it is over."""
        lanes = self._lanes
        lanes.begin()
        while not self._over:
            if not self._queue:
                if self._lingering:
                    self._lingering = False
                    self._loop.call_soon(self._end_reports)
                await lanes.rest()
            elif (waiting := self._row(number)) is None:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    lanes.looking -= 1
                    raise
            else:
                lanes.looking -= 1
                if self._queue:
                    lanes.wake()
                await self._finish(number, waiting)
                lanes.looking += 1

    def _row(self, number: int) -> Waiting | None:
        """Carry out items one after another, for about one breath; return the first that waits.

        That stands in the lane's place then, before it is gone from the row: whoever looks sees it.
        """
        line, fn, args, copy = self._queue[0], self._call.fn, self._args, self._call.context.copy
        values: list[Any] = []
        failures: dict[int, Failure] = {}
        row = self._row_now
        times, n, first, waiting, now = row.times, 0, line.next, None, clock()
        pace, fine, until = self._pace, self._pace.fine, now + self._breath
        due, trace = min(until, now + fine), Trace(stops=array("l"))
        self._in_row = first, values, failures
        row.begin(first, line.stop - first, now)
        for item in islice(line.items, row.length):
            run = copy().run
            try:
                value = run(fn, item, *args) if args else run(fn, item)
                if hasattr(type(value), "__await__"):
                    coroutine = value if type(value) is types.CoroutineType else awaited(value)
                    try:
                        waits_for = run(coroutine.send, None)
                    except StopIteration as stop:
                        value = stop.value
                    else:
                        waiting = (first + n, now, coroutine, run, waits_for)
                        self._places[number].take(first + n, now)
                        break
            except BaseException as error:  # noqa: BLE001 - any end of an item is its outcome
                failures[n] = failed(error, self._call)
                value = None
            values.append(value)
            n += 1
            times[n] = now = clock()
            if now > due:
                pace.mark(trace, times, n)
                if now > until:
                    break
                due = min(until, now + fine)
        row.head[1] = n  # nothing of it runs any more
        line.next = first + n + (waiting is not None)
        if line.next == line.stop:
            self._queue.popleft()
        if n:
            self._end_row(first, values, failures, trace)
        return waiting

    def _end_row(
        self, first: int, values: list[Any], failures: dict[int, Failure], trace: Trace
    ) -> None:
        """Note the items of a row; the last may have blocked the loop for too long."""
        row, n = self._row_now, len(values)
        if self._late is not None:
            self._late.judge(n - 1, values, failures, row.times)
        self._pace.end_row(trace, row.times, n)
        with self._telling:
            if not self._given_up:
                self._ended.add_row(first, values, failures, row.column(n), trace)
        self._announce()

    async def _finish(self, number: int, waiting: Waiting) -> None:
        """Await an item that has begun to wait, to its end."""
        index, started, coroutine, run, waits_for = waiting
        value = failure = None
        cancelled, pace = False, self._pace
        first = pace.step(started)
        place = self._places[number]
        try:
            value = await drive(coroutine, run, waits_for, index, pace)
        except asyncio.CancelledError as error:
            if self._closed:
                raise
            failure = failure_of(error)
            task = asyncio.current_task()
            cancelled = task is not None and task.cancelling() > 0  # the lane, not only the item
        except BaseException as error:
            if self._closed and isinstance(error, GeneratorExit):
                raise  # it has swallowed every cancellation, and the loop is gone by now
            failure = failed(error, self._call)
        finally:
            place.leave()
        cost = pace.item(started, *first)
        if self._late is not None and number in self._late:
            cancelled, failure = (
                False,
                self._late.verdict(number, self._lanes.tasks[number], failure),
            )
        with self._telling:
            if not self._given_up:
                self._ended.add(index, value, failure, (started, clock()), cost)
        self._announce()
        if cancelled:
            raise asyncio.CancelledError
