"""A lane: one place where one item runs at a time.

The drivers `serial` and `threads` are nothing but lanes. A lane opens the job's setup once, carries
chunks item by item, and closes the setup at the end. A coroutine function, or an asynchronous setup,
gets an event loop of the lane's own.

Guarantees: whatever an item raises becomes its `Failure` (only a real Ctrl-C, in the caller's main
thread, goes through); a long chunk is reported piece by piece, at least every `PATIENCE` seconds
between items, so that slow items are seen early; a coroutine that takes longer than the call's
timeout is cancelled, and no other item suffers; a process that an item forks ends where its item
ends (`end_with_item`); the setup and the items see the caller's context
variables. What the lane is on stands on the board (`flow.board`). Tested by
`tests/drivers/test_lane.py`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from outpace.drivers._late import ABANDONED, CANCELLED, timed_out
from outpace.drivers._loop import (
    apart_from_loops,
    close_loop,
    end_task,
    loop_is_running,
    new_loop,
    without_loop,
)
from outpace.drivers._marks import carries_items
from outpace.drivers._meter import Meter
from outpace.drivers._setup import enter, needs_loop, setup_failed
from outpace.errors import UsageTypeError
from outpace.flow.board import Board, Row, Shape
from outpace.flow.data import Chunk, Failure, Report, Returned, failure_of
from outpace.flow.deadlines import AGAIN, GRACE
from outpace.flow.forks import end_fork
from outpace.flow.protocol import Call
from outpace.flow.signals import Terminated, interruptible

if TYPE_CHECKING:
    import asyncio  # at run time only where a loop is needed: it costs a worker 40 ms to import

PATIENCE = 0.05  # seconds until a chunk that is not finished is reported in part

clock = time.perf_counter


class Piece(NamedTuple):
    """The part of a chunk that a lane is on: items from a position on, and what came of them so far.

    With a timeout `items` is the piece's own: who gives up the lane cuts it short, and no more begin.
    """

    chunk: Chunk
    position: int
    items: list[Any]
    values: list[Any]
    failures: dict[int, Failure]


class Lane:
    """Carry out items one after another, with the job's setup open around them.

    `row` says which item is running; `piece` is what it belongs to. `lock` is held by whoever takes
    a report from it, or gives it up: what it has done is told once, by one of the two.
    """

    @interruptible
    def __init__(self, call: Call, number: int = 0) -> None:
        """Open the setup in this thread; raise `SetupError` when it fails."""
        self.number = number
        self.row: Row = (call.board or Board(Shape(1, 0))).rows[number if call.board else 0]
        self.piece: Piece | None = None
        self.abandoned = False  # nobody listens to it any more
        self.lock = threading.Lock()
        self.patience: float | None = None  # seconds for who swallows cancellation, at closing
        self._forked_at: int | None = None  # in a fork: items of the piece that had ended
        self._patience = min(PATIENCE, call.timeout or PATIENCE)
        self._late = False  # the item that is awaited has taken too long
        self._meter = Meter(call)
        self._call = call
        self._context = call.context.copy()
        self._exits = contextlib.AsyncExitStack()
        self._loop = new_loop() if needs_loop(call) else None
        self._task: asyncio.Task[Report] | None = None  # what the loop is on now
        self._closing = False
        self._args: tuple[Any, ...] = ()
        try:
            if call.setup is not None:
                entered = self._wait_for(enter(call.setup, self._exits, prefer_async=call.is_async))
                self._args = (entered,)
        except BaseException as error:
            self.close()
            raise setup_failed(error) from error

    def carry(self, chunk: Chunk) -> Iterator[Report | Returned]:
        """Carry out a chunk; yield reports of what is done so far.

        When patience is over, the rest is given back if it may be: others may be idle by now.
        """
        position = 0
        while position < len(chunk):
            step = self._called if self._loop is None else self._awaited
            self._meter.begin()
            try:
                report = self._context.run(step, chunk, position)
            except BaseException as error:
                if self._forked_at is not None:
                    self._end_fork(error, self._forked_at)
                raise
            self.piece = None  # nothing of it is kept: its items may be large
            report.cpu_s, report.trace = self._meter.end(len(report))
            report.lane = self.number
            position += len(report)
            yield report
            del report
            if chunk.divisible and position < len(chunk):
                yield Returned(chunk.indexes[position:])
                break

    @property
    def may_take(self) -> float:
        """Say for how many seconds an item may go on: if it is awaited, it is cancelled before that."""
        return (self._call.timeout or 0.0) + (0.0 if self._loop is None else GRACE)

    def give_up(self, found: tuple[int, float], now: float) -> list[Report | Returned] | None:
        """Begin no more items; account for what is done, the one it is stuck in, and the rest.

        None when it is not stuck in that item any more. For another thread, which holds the `lock`.
        """
        assert self._call.timeout is not None
        piece = self.piece
        if piece is None or self.row.running() != found:
            return None
        del piece.items[1:]  # not the first: the lane may be about to take it
        if self.row.running() != found:  # it has ended; the rest of the chunk is a piece of its own
            return None
        self.abandoned = True
        chunk, position, _, values, failures = piece
        stuck = found[0] - chunk.first
        values, times = values[: stuck - position], self.row.column(stuck - position)
        failures = {n: failure for n, failure in dict(failures).items() if n < len(values)}
        if self._loop is None and any(hasattr(type(value), "__await__") for value in values):
            position, values, failures, times = stuck, [], {}, times[-1:]  # they have not begun
        failures[len(values)] = timed_out(self._call.timeout, ABANDONED)
        times.append(now)
        report = sequential(chunk.first + position, [*values, None], failures, times)
        report.lane = self.number
        rest = chunk.indexes[piece.position : position], chunk.indexes[stuck + 1 :]
        return [report, *(Returned(indexes) for indexes in rest if indexes)]

    def end_with_item(self) -> None:
        """End this process where the item that is running ends; for a fork of the lane's process.

        The lane's row lies in memory that both may share, and the times there are the parent's: to write
        to it raises from here on, first of all where the item has ended.
        """
        self._forked_at = 0 if self.piece is None else len(self.piece.values)
        self.row.release()

    def _end_fork(self, stopped_by: BaseException, before: int) -> NoReturn:
        """End a fork with what became of its item; where that can't go on, with what has stopped it."""
        error: BaseException | None = stopped_by
        if self.piece is not None and (ended := len(self.piece.values)) > before:
            failure = self.piece.failures.get(ended - 1)
            error = None if failure is None else failure.error
        end_fork(error)

    def interrupt(self) -> None:
        """Cancel what the lane awaits, if anything; it is about to be closed. For any thread."""
        self._closing = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed already
                loop.call_soon_threadsafe(self._cancel)

    @interruptible
    def close(self) -> None:
        """Close the setup and the lane's loop; raise `SetupError` when the setup's exit fails."""
        self._closing = True
        if self._loop is None:
            self._close_setup()
        else:
            apart_from_loops(self._close_loop)

    def _close_setup(self) -> None:
        """Close the setup."""
        if self._call.supervised:  # elsewhere it still says what was cut short
            self.row.clear()
        try:
            self._wait_for(self._exits.aclose())
        except BaseException as error:
            raise setup_failed(error, "at its exit, after the items") from error

    def _close_loop(self) -> None:
        """End what a Ctrl-C has left behind on the loop, close the setup, then the loop."""
        loop, task = self._loop, self._task
        assert loop is not None
        try:
            if task is not None and self._cancel():
                end_task(loop, task, self.patience)
            self._close_setup()
        finally:
            close_loop(loop, self.patience)
            self._loop = None

    def _cancel(self) -> bool:
        """Cancel what the lane awaits; say whether there is anything."""
        return self._task is not None and self._task.cancel()

    @carries_items
    def _called(self, chunk: Chunk, position: int) -> Report:
        """Call the function on items from a position on, for as long as patience lasts."""
        fn, args = self._call.fn, self._args
        piece = self._begin(chunk, position)
        _, _, items, values, failures = piece
        times, n, now = self.row.times, 0, clock()
        meter, fine, until = self._meter, self._meter.fine, now + self._patience
        due = min(until, now + fine)  # when something else than the next item is to be done
        self.row.begin(chunk.first + position, len(items), now)
        for item in items:
            try:
                values.append(fn(item, *args))
            except BaseException as error:  # noqa: BLE001 - any end of an item is its outcome
                failures[n] = failed(error, self._call)
                values.append(None)
            n += 1  # `enumerate` would make a tuple an item
            times[n] = now = clock()
            if now > due:
                meter.mark(n)
                if now > until:
                    break
                due = min(until, now + fine)
        self.row.head[1] = n  # nothing runs here any more
        # As `await` looks: at the type. A value may answer to any name, or raise at each.
        if hasattr(type(values[0]), "__await__") or hasattr(type(values[-1]), "__await__"):
            return self._await_made(piece)
        return self._report(chunk.first + position, values, failures)

    def _begin(self, chunk: Chunk, position: int, most: int | None = None) -> Piece:
        """Take up items of a chunk from a position on: `most`, or as many as the row holds."""
        stop = position + (most or self.row.length)
        whole = position == 0 and stop >= len(chunk) and self._call.timeout is None
        items = chunk.items if whole else chunk.items[position:stop]
        self.piece = Piece(chunk, position, items, [], {})
        return self.piece

    def _report(self, first: int, values: list[Any], failures: dict[int, Failure]) -> Report:
        """Make the report of the items whose times are in the row."""
        return sequential(first, values, failures, self.row.column(len(values)))

    def _awaited(self, chunk: Chunk, position: int) -> Report:
        """Do the same with a coroutine function, on the lane's own loop."""
        return self._await_on_loop(self._call.fn, chunk, position)

    def _await_made(self, piece: Piece) -> Report:
        """Await what was returned by a function that did not look it: a lambda, say.

        None of it has begun. The lane has a loop from here on.
        """
        chunk, position, _, made, failures = piece
        first = chunk.first + position
        self._meter.again()
        self.row.head[1] = 0
        with self.lock:
            abandoned = self.abandoned
        if abandoned or loop_is_running():
            for value in made:
                getattr(value, "close", lambda: None)()
            name = getattr(self._call.fn, "__qualname__", repr(self._call.fn))
            msg = (
                f"{name} returns what is to be awaited: make it an `async def`, or use outpace.amap"
            )
            error = Failure(UsageTypeError(msg))
            failures = dict.fromkeys(range(len(made)), error) | failures
            return self._report(first, [None] * len(made), failures)
        self._loop = new_loop()
        results = iter(enumerate(made))

        def made_before(_item: object, *_args: object) -> Any:
            n, value = next(results)
            if n in failures:
                raise failures[n].error
            return value

        report = self._await_on_loop(made_before, chunk, position, len(made))
        for _, value in results:  # patience was over before their turn: they are made anew
            getattr(value, "close", lambda: None)()
        return report

    @carries_items
    def _await_on_loop(
        self, fn: Callable[..., Any], chunk: Chunk, position: int, most: int | None = None
    ) -> Report:
        """Run the lane's loop until patience is over."""
        assert self._loop is not None
        piece = self._begin(chunk, position, most)
        self._task = self._loop.create_task(self._await_each(fn, piece))
        return self._loop.run_until_complete(self._task)

    async def _await_each(self, fn: Callable[..., Any], piece: Piece) -> Report:
        """Await the function on one item after another."""
        args, timeout = self._args, self._call.timeout
        chunk, position, items, values, failures = piece
        times, n, now = self.row.times, 0, clock()
        meter, fine, until = self._meter, self._meter.fine, now + self._patience
        due = min(until, now + fine)  # when something else than the next item is to be done
        self.row.begin(chunk.first + position, len(items), now)
        for item in items:
            try:
                value = fn(item, *args)
                if hasattr(type(value), "__await__"):
                    value = await (value if timeout is None else self._in_time(value, timeout))
                values.append(value)
            except BaseException as error:
                if self._closing:
                    raise
                late = timeout is not None and self._late
                failures[n] = (
                    timed_out(timeout or 0.0, CANCELLED) if late else failed(error, self._call)
                )
                values.append(None)
            n += 1  # `enumerate` would make a tuple an item
            times[n] = now = clock()
            if now > due or self._closing:
                meter.mark(n)
                if now > until or self._closing:
                    break
                due = min(until, now + fine)
        self.row.head[1] = n  # nothing runs here any more
        return self._report(chunk.first + position, values, failures)

    async def _in_time(self, awaitable: Any, timeout: float) -> Any:  # noqa: ASYNC109 - the item's
        """Await an item; cancel it when its time is up, and again where it swallows that."""
        loop, task = self._loop, self._task
        assert loop is not None
        assert task is not None

        def cancel() -> None:
            self._late = True
            timer[0] = loop.call_later(AGAIN, cancel)
            task.cancel()

        self._late = False
        timer = [loop.call_later(timeout, cancel)]
        try:
            return await awaitable
        finally:
            timer[0].cancel()
            while self._late and not self._closing and task.cancelling():
                task.uncancel()

    def _wait_for(self, awaitable: Any) -> Any:
        """Run a coroutine: on the lane's loop, or, where nothing in it waits, without any."""
        run = without_loop if self._loop is None else self._loop.run_until_complete
        return self._context.run(run, awaitable)


def sequential(
    first: int, values: list[Any], failures: dict[int, Failure], times: array[float]
) -> Report:
    """Make the report of items that ran one after another: each started when the last one ended."""
    indexes = range(first, first + len(values))
    return Report(indexes, values, times[:-1], times[1:], failures)


def failed(error: BaseException, call: Call) -> Failure:
    """Turn what an item raised into data; let a real Ctrl-C through, and the end of a worker."""
    if isinstance(error, Terminated) or (
        isinstance(error, KeyboardInterrupt)
        and not call.supervised  # there no signal is a person's
        and threading.current_thread() is threading.main_thread()
    ):
        raise error
    trace = error.__traceback__
    if trace is not None:  # its first frame is ours, and would only lengthen what the user reads
        BaseException.with_traceback(error, trace.tb_next)  # also where no attribute can be set
    return failure_of(error)


worker_loading = False  # set by hosts._worker while it loads the function, and so its module
