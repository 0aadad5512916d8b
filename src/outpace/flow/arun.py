"""The same loop for a caller who awaits: `amap` and `arun`.

Items may come from an asynchronous iterable (`feed`). Tested by `tests/flow/test_arun.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterator,
    Sequence,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.data import Settled, Summary
from outpace.flow.dispatch import Open, Pull, Settle, Start
from outpace.flow.ending import LAST
from outpace.flow.engine import Cancel, Engine, Listen, Rest, Step
from outpace.flow.face import FEEDS, Face, take_for
from outpace.flow.feed import Feed
from outpace.flow.protocol import AsyncWorkers
from outpace.flow.run import CLOSED, LEFT, USED_UP
from outpace.flow.source import InPlace, open_source

T = TypeVar("T")

AWAITED = (
    "a run is not awaited, its values are: `async for value in outpace.amap(…)`, or, for a list of all, "
    "`[value async for value in outpace.amap(…)]`"
)


class AsyncRun(Face, Generic[T]):
    """Iterate with `async for` over the values (or outcomes) of a job. Use it once.

    `aclose`, the end of an `async with` block and leaving the loop stop the work. Whoever gives up
    waiting for a value (`asyncio.wait_for(anext(run), 1)`) loses none: the next one gets it.
    """

    def __init__(
        self, engine: Engine, view: Callable[[Settled, Sequence[int]], Iterator[T]]
    ) -> None:
        """Start nothing yet: the first value asked for does."""
        take_for(engine)
        self._engine = engine
        self._work = _Work(engine, view)
        self._over = ""  # why no loop over it can begin any more
        # A run that is dropped half-way, or alive at exit, still leaves nothing behind.
        weakref.finalize(self, _Work.end_from_outside, self._work)

    @property
    def model(self) -> str:
        """Name the model that the work runs under."""
        return self._engine.opening.model

    @property
    def summary(self) -> Summary:
        """Say what is known so far: counts, times, throughput, and why this model."""
        return self._engine.summary()

    @property
    def timeline(self) -> Any:
        """Return what ran when, as far as it has come: a `Timeline`, to look at and to save.

        Raises `UsageError` where nothing is recorded.
        """
        return self._engine.timeline

    def __aiter__(self) -> AsyncIterator[T]:
        """Return the values, as they are settled; leaving the loop closes the run.

        Raises `UsageError` when a loop over it has ended or been left already, or the run is closed.
        """
        if self._engine.feeds:
            raise UsageError(FEEDS.format("; take the values there"))
        return self.avalues()

    def avalues(self) -> AsyncIterator[T]:
        """Return the values, also of a run that is the items of another: for that one."""
        if self._over:
            how = {
                "next": "anext(run) in an `async with` block",
                "call": "amap",
                "keep": "[value async for value in run]",
            }
            raise UsageError(self._over.format_map(how))
        return _Loop(self)

    if not TYPE_CHECKING:  # to a type checker it is no awaitable, and awaiting it an error

        def __await__(self) -> Iterator[Any]:
            """Raise `UsageTypeError`: Python's own message would not say what to do instead."""
            raise UsageTypeError(AWAITED)

    async def __anext__(self) -> T:
        """Return the next value."""
        while True:
            try:
                return self._engine.ready.popleft()  # type: ignore[no-any-return]
            except IndexError:
                pass
            if not await self._work.more():
                raise StopAsyncIteration

    async def __aenter__(self) -> AsyncRun[T]:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    def stop(self) -> None:
        """Start no more items; those in flight end and come out."""
        self._engine.stop()

    async def aclose(self) -> None:
        """Stop everything now and leave nothing running. May be called twice, and by any task.

        While another task waits for a value, its iteration ends.
        """
        self._over = self._over or CLOSED
        self._engine.ready.clear()
        await self._work.aclose()

    async def end(self) -> None:
        """End it, and wait for that."""
        await self.aclose()

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop close it soon, unless it is over: whoever leaves it does not wait for that."""
        if not (self._over or loop.is_closed()):  # else the run is closed, and maybe all is ending
            self._over = LEFT
            with contextlib.suppress(RuntimeError):  # it is closed just now
                loop.call_soon_threadsafe(self._work.let_go)

    @property
    def ready(self) -> deque[T]:
        """Return the values that are there to be taken."""
        return self._engine.ready

    def used_up(self) -> None:
        """Note that a loop over it has come to its end."""
        self._over = USED_UP


class _Loop(Generic[T]):
    """Be an `async for` over a run: when it is left, nobody has this any more, and the run is closed.

    Not a generator around the run's own: asyncio closes all generators that are left when it ends,
    at once, and one that closes another would find that it is being closed already.
    """

    def __init__(self, run: AsyncRun[T]) -> None:
        """Note on which loop it runs."""
        self._run = run
        self._ready = run.ready
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> _Loop[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the next value."""
        try:
            return self._ready.popleft()
        except IndexError:
            pass
        try:
            return await self._run.__anext__()
        except asyncio.CancelledError:
            raise  # of whoever waits; he may come again
        except BaseException:
            self._run.used_up()
            raise

    def __del__(self) -> None:
        """Leave the run; nobody can await anything here."""
        self._run.leave(self._loop)


class _Work(Generic[T]):
    """The loop, turn by turn, in whichever task waits for a value; and who may give up waiting.

    What is awaited goes on when nobody waits for it any more, and the next turn begins there. Workers
    and what they have set up are opened and closed in one task of our own, as some setups demand. It
    holds no reference to the run, so one that is dropped ends it.
    """

    def __init__(
        self, engine: Engine, view: Callable[[Settled, Sequence[int]], Iterator[T]]
    ) -> None:
        """Start nothing yet."""
        self._engine = engine
        self._view = view
        self._keeper: asyncio.Task[None] | None = None
        self._source: Feed | InPlace | None = None
        self._turn = asyncio.Lock()
        self._needed, self._opened, self._stirred = (asyncio.Event() for _ in range(3))
        self._steps = engine.steps()
        self._step: Step | None = None  # what is to be done, and is not done yet
        self._workers: AsyncWorkers | None = None
        self._error: BaseException | None = None  # what has ended it, until somebody has got it
        self._exit_error: BaseException | None = None  # of the closing
        self._ending = False  # the workers are being closed, or are
        self._unheard = False  # nobody asks how that went
        self._over = threading.Event()

    async def more(self) -> bool:
        """Carry the job on until there are values; say whether there are. Any number of tasks may."""
        engine = self._engine
        engine.refuse_forks()
        async with self._turn:
            while not (engine.ready or self._ending):
                await self._advance()
        if not engine.ready:
            await self._closed()
            self._raise()
        return bool(engine.ready)

    async def aclose(self) -> None:
        """End it, and wait for that."""
        self._unheard = False
        self._end()
        await self._closed()
        error, self._exit_error = self._exit_error, None
        if error is not None:
            raise error

    def let_go(self) -> None:
        """Have it end soon, though nobody will ask whether that went well."""
        self._unheard = True
        self._end()

    def end_from_outside(self) -> None:
        """Have the loop end it, when nobody has the run any more, or the program ends.

        In a fork there is nothing to end; and a loop in a thread that is a daemon may need a moment.
        """
        if self._keeper is None or self._keeper.done() or self._engine.parent:
            return
        loop = self._keeper.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the run
            loop.call_soon_threadsafe(self.let_go)
            if loop.is_running() and not threading.main_thread().is_alive():  # all is ending
                self._over.wait(LAST)

    def _end(self) -> None:
        """Have it end soon; what closes everything then is not cut short by a second call."""
        if not self._ending:
            self._ending = self._engine.abandoned = True
            if self._keeper is not None:
                self._keeper.cancel()
                self._engine.wake()

    async def _closed(self) -> None:
        """Wait until everything is closed."""
        if self._keeper is not None and not self._engine.parent:
            await asyncio.wait([self._keeper])

    def _raise(self) -> None:
        """Raise what has ended it, once."""
        error, self._error, self._exit_error = self._error or self._exit_error, None, None
        if error is not None:
            raise error

    # A turn.

    async def _advance(self) -> None:
        """Do what the engine wants done next; end it where that raises something.

        A step that was awaited when somebody gave up waiting is still to be done.
        """
        try:
            if self._keeper is None:
                self._begin()
            self._step = self._step or self._next()
            if self._step is not None:
                await self._do(self._step)
                self._step = None
        except asyncio.CancelledError:
            raise  # of whoever waits; what they wait for goes on
        except BaseException as error:  # noqa: BLE001 - it is raised once all before it was taken
            self._error = error
            self._end()

    def _next(self) -> Step | None:
        """Return what is to be done next; None at the end, be it with an error of the items' source."""
        step = None
        try:
            step = next(self._steps, None)
        except BaseException as error:  # noqa: BLE001 - it may be a CancelledError, and nobody's here
            self._error = error
        if step is None:
            self._end()
        return step

    def _begin(self) -> None:
        """Have the items read, and the workers opened when they are needed."""
        engine, loop = self._engine, asyncio.get_running_loop()
        engine.woken = partial(_call_soon, loop, self._stirred.set)
        if isinstance(engine.job.items, AsyncIterable):
            self._source = Feed(engine, self._stirred)
        else:
            self._source = open_source(engine)
        self._keeper = asyncio.create_task(self._keep(), name="outpace run")
        self._keeper.add_done_callback(self._ended)

    async def _do(self, step: Step) -> None:
        """Do one step of the engine's. What is awaited here can be awaited again."""
        engine, source, workers = self._engine, self._source, self._workers
        match step:
            case Pull(room):
                assert source is not None
                source.pull(room)
            case Open():
                self._needed.set()
                await self._opened.wait()
            case Settle(settled, positions):
                engine.ready.extend(self._view(settled, positions))
            case Rest(pause):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stirred.wait()
                self._stirred.clear()
            case Start() | Cancel() | Listen():
                if workers is not None:  # else they could not be opened, and all is ending
                    await self._ask(workers, step)

    async def _ask(self, workers: AsyncWorkers, step: Start | Cancel | Listen) -> None:
        """Do one step that is the workers'."""
        match step:
            case Start(chunk):
                workers.start(chunk)
            case Cancel(worker, index):
                workers.cancel(worker, index)
            case Listen(patience):
                self._engine.told(await workers.areports(patience))

    # The task that opens and closes.

    async def _keep(self) -> None:
        """Open the workers when they are needed; close them when somebody cancels this."""
        engine = self._engine
        try:
            await self._needed.wait()
            before = engine.begin()
            self._workers = await engine.opening.aopen(engine.job.call)
            engine.opened(self._workers, before)
            self._opened.set()
            await asyncio.Event().wait()
        except BaseException as error:  # noqa: BLE001 - it is raised where the values are taken
            if not (self._ending and isinstance(error, asyncio.CancelledError)):
                self._error = error
        self._ending = True
        try:
            await self._close()
        except asyncio.CancelledError:
            pass  # of somebody who ends the loop, and waits for nothing more
        except BaseException as error:  # noqa: BLE001 - the same
            self._exit_error = error

    async def _close(self) -> None:
        """Close what reads the items, and the workers."""
        try:
            if isinstance(self._source, Feed):
                await self._source.aclose()
        finally:
            try:
                if isinstance(self._source, InPlace):
                    self._source.end()
                try:
                    if self._workers is not None:
                        await self._workers.aclose()
                finally:
                    if isinstance(self._source, InPlace):
                        await _read_to_the_end(self._source)
                    self._source = None
            finally:
                self._engine.closed()

    def _ended(self, keeper: asyncio.Task[None]) -> None:
        """Note that everything is closed; or that the task was cancelled before it began."""
        if keeper.cancelled() and not self._ending:
            self._error, self._ending = asyncio.CancelledError(), True
        if self._exit_error is not None and self._unheard:  # as asyncio does for its tasks
            what = {"message": "an outpace run could not be closed", "exception": self._exit_error}
            keeper.get_loop().call_exception_handler(what)
        self._opened.set()
        self._engine.wake()
        self._over.set()


async def _read_to_the_end(source: InPlace) -> None:
    """Wait until nothing is read any more on the side."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    if source.when_over(partial(_call_soon, loop, over.set)):
        await over.wait()


def _call_soon(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    """Have something done on a loop, from whichever thread, unless it is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what)
