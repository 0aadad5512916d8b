"""The two sockets of the engine: what a driver and a host must do to become models.

A **driver** keeps items in flight inside one worker; a **host** gives many workers somewhere else and
puts a driver in each. Both open `Workers`, and the engine knows nothing else of them.

The contract, run against every model by `tests/conformance`: every started item is reported exactly
once (or returned unstarted); a worker that dies is a report, never a hang; `open` returns when the
workers are ready, and lanes may be hired later, as items come for them; after `close` no thread,
process, descriptor or temporary file is left.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from outpace.flow.data import Chunk, Report, Returned, Settled
from outpace.machine.cpu_time import worked

if TYPE_CHECKING:  # columns and boards are made where items run
    from outpace.flow.board import Board
    from outpace.flow.data import Record
    from outpace.flow.engine import Engine


@dataclass(slots=True, frozen=True)
class Call:
    """What every lane carries out: `fn(item)`, or `fn(item, state)` when there is a setup.

    `is_async` says that `fn` is a coroutine function. `timeout` is how many seconds one attempt of
    one item may take. `context` is the caller's context variables; it stays in this process.
    `board` is where the lanes of a hosted worker write what they are on. `record` is how much is to be
    recorded of what runs when (`flow.trace`). `supervised` says that the worker is in the hands of a
    host: it keeps the time and ends what is late, and no signal here is a person's.
    """

    fn: Callable[..., Any]
    setup: Callable[[], Any] | None = None
    is_async: bool = False
    timeout: float | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context, compare=False)
    board: Board | None = field(default=None, compare=False)
    record: Record = "default"
    supervised: bool = False


@dataclass(slots=True, frozen=True)
class Care:
    """How long a worker of a host is kept, and how often it is replaced.

    `max_items`: how many items it carries out before a fresh one takes its place. `max_memory`: the
    same for bytes resident, looked at between items. `max_crashes`: how many deaths of one worker are
    made good; None for as many as it takes while items succeed in between.
    """

    max_items: int | None = None
    max_memory: int | None = None
    max_crashes: int | None = None


@dataclass(slots=True)
class Usage:
    """What workers outside this process used: CPU seconds, and the sum of their peak memories."""

    cpu_s: float = 0.0
    peak_bytes: int = 0

    def add(self, cpu_s: float, peak_bytes: int) -> None:
        """Count what one of them says it has used, here and in the account of the whole process."""
        self.cpu_s += cpu_s
        self.peak_bytes += peak_bytes
        worked(cpu_s)


Running = tuple[int, int, float]  # an item that runs: its worker, its index, since when


class Workers(Protocol):
    """Open workers of one model. Used by one thread at a time, so nothing in it is locked."""

    @property
    def slots(self) -> int:
        """Say how many items can run at once."""
        ...

    @property
    def usage(self) -> Usage:
        """Say what workers outside this process used; complete after `close`."""
        ...

    def start(self, chunk: Chunk) -> None:
        """Hand over items; return at once, whatever the work does."""
        ...

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait until something ended, `timeout` seconds passed, or `wake` was called."""
        ...

    def running(self) -> Iterable[Running]:
        """Yield every item that runs now, as far as it is known. For any thread."""
        ...

    def processes(self) -> list[int]:
        """List the processes that the workers are in, for whoever looks at them from outside."""
        ...

    def cancel(self, worker: int, index: int) -> None:
        """Put an end to an item whose time is up, one way or another: a report will say which.

        It is asked for again while the item goes on. What cancels its items itself, as an event loop
        does with coroutines, has nothing to do here until they have had the time to unwind.
        """
        ...

    def wake(self) -> None:
        """Make `reports` return early. For any thread."""
        ...

    def interrupt(self) -> None:
        """Learn that `close` comes, and is to wait for nobody for long. For any thread.

        What can be stopped at once is, so that a `reports` that somebody else waits in comes to its end.
        """
        ...

    def close(self) -> None:
        """Stop everything, drop what is unfinished, leave nothing behind. May be called twice."""
        ...


class InThisProcess:
    """What is the same for most workers in this very process: the base of a simple driver's."""

    @property
    def usage(self) -> Usage:
        """Return that of no other process."""
        return Usage()

    def running(self) -> Iterable[Running]:
        """Yield nothing: it is not known what runs."""
        return ()

    def processes(self) -> list[int]:
        """List this process."""
        return [os.getpid()]

    def cancel(self, worker: int, index: int) -> None:
        """Do nothing: what runs cannot be stopped, or stops by itself."""

    def interrupt(self) -> None:
        """Do nothing: `close` never waits for long."""


class AsyncWorkers(Workers, Protocol):
    """Open workers of one model for somebody who awaits."""

    async def areports(self, timeout: float | None) -> Sequence[Report | Returned]:  # noqa: ASYNC109
        """Do what `reports` does without holding up the loop. Who gives up waiting loses no report."""
        ...

    async def aclose(self) -> None:
        """Do what `close` does without holding up the loop."""
        ...


class Driver(Protocol):
    """One way to keep items in flight inside one worker.

    `native_async`: coroutine functions are what it is for. `overlaps`: it holds several items at
    once in one worker, so its number of lanes is a setting. `scattered`: the items of a chunk may
    end in any order. `inline`: the work happens inside `reports`, on the calling thread.
    `takes_functions`: it carries out any function, and not requests of its own.
    """

    name: str
    summary: str
    native_async: bool = False
    overlaps: bool = False
    scattered: bool = False
    inline: bool = False
    takes_functions: bool = True

    def unavailable(self) -> str | None:
        """Say why it cannot run on this Python and what to do, or None when it can."""
        return None

    def open(self, call: Call, lanes: int) -> Workers:
        """Make ready that many lanes; raise `SetupError` when the job's setup fails."""
        ...

    def on_loop(self, call: Call, lanes: int) -> Awaitable[AsyncWorkers] | None:  # noqa: ARG002
        """Make ready that many lanes on the running loop; None where they would block it.

        Then they are opened and used in a thread beside it.
        """
        return None


class Host(Protocol):
    """One place for many workers."""

    name: str
    summary: str

    def unavailable(self) -> str | None:
        """Say why it cannot run here and what to do, or None when it can."""
        return None

    def open(self, call: Call, driver: Driver, workers: int, slots: int, care: Care) -> Workers:
        """Make ready that many workers with a driver each, `slots` lanes in all."""
        ...


class Opening(Protocol):
    """A model with its setting, ready to be opened.

    `slots`: how many items can run at once in all its `workers`. `shared`: the lanes of a worker take
    from one queue, item by item. `reasons`: why it is this one. `startup_s`: seconds that starting has
    taken beside what `open` took.
    """

    @property
    def model(self) -> str:
        """Name the model."""
        ...

    @property
    def workers(self) -> int:
        """Say how many workers it has."""
        ...

    @property
    def slots(self) -> int:
        """Say how many items can run at once in all of them."""
        ...

    @property
    def shared(self) -> bool:
        """Say whether the lanes of a worker take from one queue, item by item."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """Say why this model was chosen, where it was."""
        ...

    @property
    def startup_s(self) -> float:
        """Return the seconds that starting took beside the opening."""
        ...

    def open(self, call: Call) -> Workers:
        """Open the workers."""
        ...

    async def aopen(self, call: Call) -> AsyncWorkers:
        """Open the workers for somebody who awaits."""
        ...


class Observer:
    """Somebody who watches a run. A base: each method does nothing unless it is written anew.

    All of them are called in the thread that carries the run out, and what they raise ends the run.
    """

    def opening(self) -> None:
        """Get ready, before the workers are opened."""

    def opened(self, run: Engine) -> None:
        """Begin: the workers are open."""

    def settled(self, settled: Settled, now: float) -> None:
        """Learn of attempts that have ended, whether they are the items' last or not."""

    def turned(self, now: float) -> None:
        """Learn that the loop has come round: after every report, and when `patience` was over."""

    def patience(self, now: float) -> float | None:  # noqa: ARG002
        """Return the seconds until it wants to know again though nothing may have ended."""
        return None

    def closed(self) -> None:
        """Let go of everything but what is known: the workers are closed. May be called twice.

        Also where they have never been opened.
        """


class Recorder(Observer):
    """What keeps a record of a run, and makes a timeline of it."""

    def timeline(self, run: Engine) -> Any:
        """Make the timeline of the run, as far as it has come."""
        raise NotImplementedError
