"""The two sockets of the engine: what a driver and a host must do to become models.

A **driver** keeps items in flight inside one worker; a **host** gives many workers somewhere else and
puts a driver in each. Both open `Workers`, and the loop in `flow.run` knows nothing else of them.

The contract, run against every model by `tests/conformance`: every started item is reported exactly
once (or returned unstarted); a worker that dies is a report, never a hang; `open` returns when the
workers are ready, and lanes may be hired later, as items come for them; after `close` no thread,
process, descriptor or temporary file is left.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from outpace.flow.data import Chunk, Report, Returned, Settled
from outpace.machine.cpu_time import worked

if TYPE_CHECKING:  # columns and boards are made where items run
    from outpace.flow.board import Board
    from outpace.flow.data import Record


@dataclass(slots=True, frozen=True)
class Call:
    """Be what every lane carries out: `fn(item)`, or `fn(item, state)` when there is a setup.

    `is_async` says that `fn` is a coroutine function. `timeout` is how many seconds one attempt of
    one item may take. `context` is the caller's context variables; it stays in this process.
    `board` is where the lanes of a hosted worker write what they are on. `record` is how much is to be
    recorded of what runs when (`flow.trace`).
    """

    fn: Callable[..., Any]
    setup: Callable[[], Any] | None = None
    is_async: bool = False
    timeout: float | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context, compare=False)
    board: Board | None = field(default=None, compare=False)
    record: Record = "default"


@dataclass(slots=True, frozen=True)
class Care:
    """Be how long a worker of a host is kept, and how often it is replaced.

    `max_items`: how many items it carries out before a fresh one takes its place. `max_memory`: the
    same for bytes resident, looked at between items. `max_crashes`: how many deaths of one worker are
    made good; None for as many as it takes while items succeed in between.
    """

    max_items: int | None = None
    max_memory: int | None = None
    max_crashes: int | None = None


@dataclass(slots=True)
class Usage:
    """Be what workers outside this process used: CPU seconds, and the sum of their peak memories."""

    cpu_s: float = 0.0
    peak_bytes: int = 0

    def add(self, cpu_s: float, peak_bytes: int) -> None:
        """Count what one of them says it has used, here and in the account of the whole process."""
        self.cpu_s += cpu_s
        self.peak_bytes += peak_bytes
        worked(cpu_s)


class Workers(Protocol):
    """Be open workers of one model. Used by one thread at a time, so nothing in it is locked."""

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

    def wake(self) -> None:
        """Make `reports` return early. The one method that any thread may call."""
        ...

    def close(self) -> None:
        """Stop everything, drop what is unfinished, leave nothing behind. May be called twice."""
        ...


def processes_of(workers: object) -> list[int]:
    """List the processes that workers are in: this one, unless they say otherwise."""
    own: Callable[[], list[int]] | None = getattr(workers, "processes", None)
    return [os.getpid()] if own is None else own()


class Driver(Protocol):
    """Be one way to keep items in flight inside one worker.

    `native_async`: coroutine functions are what it is for. `overlaps`: it holds several items at
    once in one worker, so its number of lanes is a setting. `scattered`: the items of a chunk may
    end in any order. `inline`: the work happens inside `reports`, on the calling thread.
    """

    name: str
    summary: str
    native_async: bool
    overlaps: bool
    scattered: bool
    inline: bool

    def unavailable(self) -> str | None:
        """Say why it cannot run on this Python and what to do, or None when it can."""
        ...

    def open(self, call: Call, lanes: int) -> Workers:
        """Make ready that many lanes; raise `SetupError` when the job's setup fails."""
        ...


class Host(Protocol):
    """Be one place for many workers."""

    name: str
    summary: str

    def unavailable(self) -> str | None:
        """Say why it cannot run here and what to do, or None when it can."""
        ...

    def open(self, call: Call, driver: Driver, workers: int, slots: int, care: Care) -> Workers:
        """Make ready that many workers with a driver each, `slots` lanes in all."""
        ...


class Opening(Protocol):
    """Be a model with its setting, ready to be opened: `registry` makes these."""

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

    def open(self, call: Call) -> Workers:
        """Open the workers."""
        ...


class Recorder(Protocol):
    """Be what keeps a record of a run: `record.recorder` does."""

    def begin(self) -> None:
        """Get ready, before the workers are opened."""
        ...

    def look_at(self, workers: object) -> None:
        """Know the workers, some of whom may be new."""
        ...

    def keep(self, settled: Settled) -> None:
        """Take in attempts that have ended."""
        ...

    def end(self) -> None:
        """Let go of everything but what is known. May be called twice."""
        ...

    def timeline(self, flow: Any) -> Any:
        """Make the timeline of the run, as far as it has come."""
        ...


class Watching(Protocol):
    """Be told how far a run is, and show it to somebody: `report.progress` does.

    `on` is set to what yields, for every item that runs, its worker, its index and since when.
    """

    on: Callable[[], Any]

    def started(self, total: int | None, now: float | None = None) -> None:
        """Begin, when the workers are ready."""
        ...

    def settled(self, counts: Any, in_flight: int, now: float) -> None:
        """Learn how far it is; cheap, and called for every report."""
        ...

    def patience(self, now: float) -> float:
        """Return the seconds until it wants to know again, though nothing may have settled."""
        ...

    def finished(self, counts: Any, now: float | None = None) -> None:
        """Show the end."""
        ...
