"""The same loop for a caller who awaits: `amap` and `arun`.

Items may come from an asynchronous iterable. It is read by a task of its own, but only as far as the
dispatcher has asked, so that a slow source never holds up results that are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterator,
    Sequence,
)
from typing import Any, Generic, Protocol, TypeVar

from outpace.errors import UsageError
from outpace.flow.data import Settled, Summary
from outpace.flow.dispatch import Pull, Settle, Start
from outpace.flow.flow import Flow
from outpace.flow.order import Release
from outpace.flow.run import CLOSED, LAST, LEFT, USED_UP

T = TypeVar("T")

clock = time.perf_counter


class AsyncWorkers(Protocol):
    """Be workers whose waiting can be awaited."""

    slots: int
    usage: Any

    def start(self, chunk: Any) -> None:
        """Hand over items."""
        ...

    async def areports(self, timeout: float | None) -> Sequence[Any]:  # noqa: ASYNC109 - as `reports`
        """Await reports."""
        ...

    def wake(self) -> None:
        """Make `areports` return early."""
        ...

    async def aclose(self) -> None:
        """Stop everything."""
        ...


class AsyncRun(Generic[T]):
    """Iterate with `async for` over the values (or outcomes) of a job. Use it once.

    `aclose`, the end of an `async with` block and leaving the loop stop the work. Whoever gives up
    waiting for a value (`asyncio.wait_for(anext(run), 1)`) loses none: the next one gets it.
    """

    def __init__(self, flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]) -> None:
        """Start nothing yet: the first value asked for does."""
        self._flow = flow
        self._work = _Work(flow, view)
        self._over = ""  # why no loop over it can begin any more
        # A run that is dropped half-way, or alive at exit, still leaves nothing behind.
        weakref.finalize(self, _Work.end_from_outside, self._work)

    @property
    def model(self) -> str:
        """Name the model that the work runs under."""
        return self._flow.opening.model

    @property
    def summary(self) -> Summary:
        """Say what is known so far: counts, times, throughput, and why this model."""
        return self._flow.summary()

    @property
    def timeline(self) -> Any:
        """Return what ran when, as far as it has come: a `Timeline`, to look at and to save.

        Raises `UsageError` where nothing is recorded.
        """
        return self._flow.timeline

    def __aiter__(self) -> AsyncIterator[T]:
        """Return the values, as they are settled; leaving the loop closes the run.

        Raises `UsageError` when a loop over it has ended or been left already, or the run is closed.
        """
        if self._over:
            how = {
                "next": "anext(run) in an `async with` block",
                "call": "amap",
                "keep": "[value async for value in run]",
            }
            raise UsageError(self._over.format_map(how))
        return _Loop(self)

    async def __anext__(self) -> T:
        """Return the next value."""
        while True:
            try:
                return self._flow.ready.popleft()  # type: ignore[no-any-return]
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
        self._flow.stop()

    async def aclose(self) -> None:
        """Stop everything now and leave nothing running. May be called twice, and by any task.

        While another task waits for a value, its iteration ends.
        """
        self._over = self._over or CLOSED
        self._flow.ready.clear()
        await self._work.aclose()

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop close it soon, unless it is over: whoever leaves it does not wait for that."""
        if not self._over:
            self._over = LEFT
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the run
                loop.call_soon_threadsafe(self._work.let_go)

    @property
    def ready(self) -> deque[T]:
        """Return the values that are there to be taken."""
        return self._flow.ready

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
    """The loop, in a task of its own, so that it goes on when whoever waits for a value gives up.

    It works only while somebody asks: when there are values, it waits until they are taken and more are
    wanted. It holds no reference to the run, so one that is dropped ends it.
    """

    def __init__(self, flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]) -> None:
        """Start nothing yet."""
        self._flow = flow
        self._view = view
        self._task: asyncio.Task[None] | None = None
        self._asked, self._news = asyncio.Event(), asyncio.Event()
        self._ending = False  # the workers are being closed, or are
        self._error: BaseException | None = None  # what has ended it, until somebody has got it
        self._exit_error: BaseException | None = None  # of the closing
        self._unheard = False  # nobody asks for that
        self._over = threading.Event()

    async def more(self) -> bool:
        """Wait until there are values; say whether there are. Any number of tasks may wait."""
        flow = self._flow
        flow.refuse_forks()
        while not flow.ready:
            if self._task is None and not flow.abandoned:
                self._task = asyncio.create_task(self._carry(), name="outpace run")
                self._task.add_done_callback(self._ended)
            if self._task is None or self._task.done():
                self._raise()
                return False
            self._asked.set()
            self._news.clear()
            await self._news.wait()
        return True

    async def aclose(self) -> None:
        """End it, and wait for that."""
        self._unheard = False
        self._cancel()
        if self._task is not None and not self._flow.parent:
            await asyncio.wait([self._task])
            error, self._exit_error = self._exit_error, None
            if error is not None:
                raise error

    def end_from_outside(self) -> None:
        """Have the loop end it, when nobody has the run any more, or the program ends.

        In a fork there is nothing to end; and a loop in a thread that is a daemon may need a moment.
        """
        task = self._task
        if task is None or task.done() or self._flow.parent:
            return
        loop = task.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the run
            loop.call_soon_threadsafe(self.let_go)
            if loop.is_running() and not threading.main_thread().is_alive():  # all is ending
                self._over.wait(LAST)

    def let_go(self) -> None:
        """Have it end soon, though nobody will ask whether that went well."""
        self._unheard = True
        self._cancel()

    def _cancel(self) -> None:
        """Have it end soon; what closes everything then is not cut short by a second call."""
        self._flow.abandoned = True
        if self._task is not None and not self._ending:
            self._ending = True
            self._task.cancel()

    def _raise(self) -> None:
        """Raise what has ended it, once."""
        error, self._error, self._exit_error = self._error or self._exit_error, None, None
        if error is not None:
            raise error

    async def _carry(self) -> None:
        """Carry the job out; raise nothing: what an item has raised might end the loop itself."""
        flow, stirred = self._flow, asyncio.Event()
        flow.woken = stirred.set
        source: _Feed | Iterator[Any] | None = None
        try:
            items = flow.job.items
            source = _Feed(flow, stirred) if isinstance(items, AsyncIterable) else iter(items)
            await self._turns(source, stirred)
        except BaseException as error:  # noqa: BLE001 - it is raised where the values are taken
            if not (self._ending and isinstance(error, asyncio.CancelledError)):
                self._error = error
        self._ending = True
        try:
            await _aclose(flow, source)
        except asyncio.CancelledError:
            pass  # of somebody who ends the loop, and waits for nothing more
        except BaseException as error:  # noqa: BLE001 - the same
            self._exit_error = error

    async def _turns(self, source: _Feed | Iterator[Any], stirred: asyncio.Event) -> None:
        """Ask the dispatcher what to do, do it, wait for news, tell the dispatcher."""
        flow = self._flow
        while not (flow.dispatcher.finished or flow.abandoned):
            for release in await _decided(flow, source):
                flow.ready.extend(self._view(*release))
            if flow.ready:
                self._asked.clear()
                self._news.set()
                await self._asked.wait()
            await _heard(flow, source, stirred)
        if flow.source_error is not None:
            raise flow.source_error

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Note that the task is over, also if somebody has cancelled it before it began."""
        if task.cancelled() and not self._ending:
            self._error = asyncio.CancelledError()
        if self._exit_error is not None and self._unheard:  # as asyncio does for its tasks
            what = {"message": "an outpace run could not be closed", "exception": self._exit_error}
            task.get_loop().call_exception_handler(what)
        self._over.set()
        self._news.set()


async def _decided(flow: Flow, source: _Feed | Iterator[Any]) -> list[Release]:
    """Do what the dispatcher decides; return what is finished, in the order it is wanted."""
    if flow.stopping:
        flow.dispatcher.stop()
    released = []
    for action in flow.dispatcher.decide(clock()):
        match action:
            case Pull(room):
                if isinstance(source, _Feed):
                    source.pull(room)
                else:
                    flow.pull(source, room)
            case Start(chunk):
                (flow.workers or await _opened(flow)).start(chunk)
            case Settle(settled, positions):
                released.append((settled, positions))
    return released


async def _heard(flow: Flow, source: _Feed | Iterator[Any], news: asyncio.Event) -> None:
    """Wait for news: of the workers, of the items, or that it is time to try an item again."""
    workers: Any = flow.workers
    if workers is not None and flow.dispatcher.awaits_reports:
        flow.observe(await workers.areports(flow.patience))
        return
    pause = flow.pause
    awaits_items = isinstance(source, _Feed) and not source.ready
    if not flow.dispatcher.finished and (awaits_items or pause is not None):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await news.wait()
        news.clear()


async def _aclose(flow: Flow, source: object) -> None:
    """Close what reads the items, and the workers."""
    workers: Any = flow.workers
    try:
        if isinstance(source, _Feed):
            await source.aclose()
    finally:
        try:
            if workers is not None:
                await workers.aclose()
        finally:
            flow.closed()


async def _opened(flow: Flow) -> AsyncWorkers:
    """Open the workers."""
    before = flow.open_soon()
    workers: Any = await flow.opening.aopen(flow.job.call)  # type: ignore[attr-defined]
    flow.opened(workers, before)
    return workers  # type: ignore[no-any-return]


class _Feed:
    """Read an asynchronous iterable in a task, as far as it was asked to."""

    def __init__(self, flow: Flow, news: asyncio.Event) -> None:
        """Read nothing yet; `news` is set when something was read."""
        self._flow = flow
        self._asked = 0
        self._taken: deque[Any] = deque()
        self._over = self._closing = False
        self._more = asyncio.Event()
        self._news = news
        self._task = asyncio.create_task(self._read(), name="outpace items")

    def pull(self, room: int) -> None:
        """Give the dispatcher what has been read, or ask for more."""
        dispatcher = self._flow.dispatcher
        if self._taken:
            items = [self._taken.popleft() for _ in range(min(room, len(self._taken)))]
            dispatcher.admit(items, clock())
        elif self._over:
            dispatcher.exhaust()
        self._news.clear()
        self._asked = 0 if self._over else max(0, room - len(self._taken))
        self._more.set()

    @property
    def ready(self) -> bool:
        """Say whether something was read, or never will be."""
        return bool(self._taken) or self._over

    async def aclose(self) -> None:
        """Stop reading and close the iterable's generator."""
        self._closing = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        """Read one item after another while any are asked for."""
        items: Any = None
        try:
            items = aiter(self._flow.job.items)  # type: ignore[arg-type]
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
            self._flow.source_error = error  # the iterable's own, or of somebody who ends the loop
        except Exception as error:  # noqa: BLE001 - it is raised at the caller's loop
            self._flow.source_error = error
        finally:
            self._over = True
            self._announce()
            if (close := getattr(items, "aclose", None)) is not None:
                await close()

    def _announce(self) -> None:
        """Say that there is something new to whoever waits."""
        self._news.set()
        if self._flow.workers is not None:
            self._flow.workers.wake()
