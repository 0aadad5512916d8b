"""The same loop for a caller who awaits: `amap` and `arun`.

Items may come from an asynchronous iterable. It is read by a task of its own, but only as far as the
dispatcher has asked, so that a slow source never holds up results that are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
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
from outpace.flow.face import Face
from outpace.flow.flow import Flow
from outpace.flow.order import Release
from outpace.flow.run import LEFT

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


class AsyncRun(Face, Generic[T]):
    """Iterate with `async for` over the values (or outcomes) of a job. Use it once.

    `aclose`, the end of an `async with` block and leaving the loop stop the work.
    """

    def __init__(self, flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]) -> None:
        """Start nothing yet: the first value asked for does."""
        self._flow = flow
        self._values = _values(flow, view)
        self._left = False  # a loop over it was left before its end
        self._closing: asyncio.Future[None] | None = None

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

        Raises `UsageError` when a loop over it has been left already: what was in flight is gone.
        """
        if self._left:
            raise UsageError(LEFT.format(next="anext(run) in an `async with` block"))
        return _Loop(self)

    async def __anext__(self) -> T:
        """Return the next value."""
        return await anext(self._values)

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
        """Stop everything now and leave nothing running. May be called twice."""
        await self._values.aclose()

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop close it soon, unless it is over: whoever leaves it does not wait for that."""
        values: Any = self._values
        if values.ag_frame is not None:
            self._left = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the run
                loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        """Close it, unless somebody does already."""
        values: Any = self._values
        if not values.ag_running:
            self._closing = asyncio.ensure_future(self.aclose())


class _Loop(Generic[T]):
    """Be an `async for` over a run: when it is left, nobody has this any more, and the run is closed.

    Not a generator around the run's own: asyncio closes all generators that are left when it ends,
    at once, and one that closes another would find that it is being closed already.
    """

    def __init__(self, run: AsyncRun[T]) -> None:
        """Note on which loop it runs."""
        self._run = run
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> _Loop[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the next value."""
        return await anext(self._run)

    def __del__(self) -> None:
        """Leave the run; nobody can await anything here."""
        self._run.leave(self._loop)


async def _values(
    flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]
) -> AsyncGenerator[T, None]:
    """Carry the job out; yield what the user asked to see."""
    news = asyncio.Event()
    flow.woken = news.set
    items = flow.job.items
    source = _Feed(flow, news) if isinstance(items, AsyncIterable) else iter(items)
    try:
        while not flow.dispatcher.finished:
            for settled, positions in await _decided(flow, source):
                for value in view(settled, positions):
                    yield value
            await _heard(flow, source, news)
        if flow.source_error is not None:
            raise flow.source_error
    finally:
        await _aclose(flow, source)


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
