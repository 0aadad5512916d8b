"""What travels between the dispatcher and the workers, as columns, and what the user gets to see.

Inputs go out as a `Chunk`: a first index and a list. Accounts come back as a `Report`: lists of the
same length, with errors kept apart because they are few. An `Outcome` object is made for an item only
when somebody looks at it; ten million no-ops never become ten million objects.

Pure: no clock, no thread, no I/O.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outpace.flow.show import as_html, seconds, shown

if TYPE_CHECKING:  # columns and boards are made where items run
    from outpace.flow.trace import Blocked, Trace


Record = Literal["off", "default", "full"]  # how much is recorded of what runs when
Kind = Literal["done", "failed", "timed-out", "lost", "cancelled"]


@dataclass(slots=True)
class Chunk:
    """Be a run of consecutive inputs that travel together: `first`, `first + 1` and so on.

    `divisible` says that whoever finds it much longer than it was meant to be may give back the rest.
    """

    first: int
    items: list[Any]
    queued: float = 0.0  # when they were taken from the caller's iterable, seconds
    attempt: int = 1
    divisible: bool = False

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items)

    @property
    def indexes(self) -> range:
        """Say which items these are."""
        return range(self.first, self.first + len(self.items))

    def split(self, size: int) -> tuple[Chunk, Chunk]:
        """Return its first so many items and the rest as chunks of their own; it stays as it is."""
        facts = (self.queued, self.attempt, self.divisible)
        rest = Chunk(self.first + size, self.items[size:], *facts)
        return Chunk(self.first, self.items[:size], *facts), rest


@dataclass(slots=True)
class Failure:
    """Be the end of an attempt that gave no value, as data; it is raised once, at the user's call.

    `traceback` is the text of the traceback where it happened, when that was another process.
    """

    error: BaseException
    kind: Kind = "failed"
    traceback: str | None = None


# The classes that say that what an item awaited was cancelled, by where they are: neither module need be
# imported for it.
CANCELLATIONS = {
    ("asyncio.exceptions", "CancelledError"),
    ("concurrent.futures._base", "CancelledError"),
}


def failure_of(error: BaseException) -> Failure:
    """Return the end of an attempt that has raised this."""
    for kind in type(error).__mro__:
        if (kind.__module__, kind.__name__) in CANCELLATIONS:
            return Failure(error, "cancelled")
    return Failure(error)


@dataclass(slots=True)
class Report:
    """Be a worker's account of attempts that ended: columns of one length, in the order they ended.

    `indexes` is a `range` where items ran one after another. `values` holds None at the positions
    that `failures` names. `started` and `ended` are `perf_counter` seconds of the caller's process.
    `cpu_s` is the CPU time of the whole group in seconds: reading the thread's CPU clock costs ten
    times what the wall clock does, so short items share one reading. `carried_s` is what it cost a
    worker elsewhere to receive items and to send values, in CPU seconds since its last report.
    `trace` is what else was recorded, if anything.
    """

    indexes: Sequence[int]
    values: list[Any]
    started: array[float]
    ended: array[float]
    failures: dict[int, Failure] = field(default_factory=dict)
    cpu_s: float = 0.0
    worker: int = 0
    lane: int = 0
    carried_s: float = 0.0
    trace: Trace | None = None

    def __len__(self) -> int:
        """Count the attempts."""
        return len(self.values)

    def cpu_of(self, position: int) -> tuple[float, bool]:
        """Return an item's CPU seconds, and whether they are its share of what a group took."""
        if self.trace is not None and self.trace.cpus:
            return self.trace.cpu_of(position, self.started, self.ended)
        return self.cpu_s / len(self), len(self) > 1

    @property
    def items_cpu_s(self) -> float:
        """Return the CPU seconds of all its items, without what is between them where that is known."""
        return sum(self.trace.cpus) if self.trace is not None and self.trace.cpus else self.cpu_s


@dataclass(slots=True)
class Returned:
    """Give back items that were handed to a worker and did not end there, through no fault of theirs.

    They were never started, or went down with a worker that another item took along; either way the
    next attempt has the same number as this one.
    """

    indexes: Sequence[int]


@dataclass(slots=True)
class Settled:
    """Be a report together with its inputs: all there is to know of items that are finished."""

    report: Report
    items: Sequence[Any]
    queued: Sequence[float]
    attempts: Sequence[int]

    def __len__(self) -> int:
        """Count the items."""
        return len(self.report)

    def outcome(self, position: int) -> Outcome:
        """Make the `Outcome` of the item at a position of the columns."""
        report = self.report
        failure = report.failures.get(position)
        cpu_s, shared = report.cpu_of(position)
        common: dict[str, Any] = {
            "index": report.indexes[position],
            "item": self.items[position],
            "attempts": self.attempts[position],
            "worker": report.worker,
            "queued": self.queued[position],
            "started": report.started[position],
            "ended": report.ended[position],
            "cpu_s": cpu_s,
            "cpu_is_shared": shared,
            "lane": report.lane,
        }
        if failure is None:
            return Done(value=report.values[position], **common)
        return OUTCOMES[failure.kind](error=failure.error, traceback=failure.traceback, **common)

    def outcomes(self) -> Iterator[Outcome]:
        """Make every outcome, in the order of the columns."""
        return map(self.outcome, range(len(self)))

    def only(self, positions: Sequence[int]) -> Settled:
        """Return those positions of it, with their share of the CPU time."""
        report = self.report
        part = Report(
            [report.indexes[p] for p in positions],
            [report.values[p] for p in positions],
            array("d", (report.started[p] for p in positions)),
            array("d", (report.ended[p] for p in positions)),
            {n: report.failures[p] for n, p in enumerate(positions) if p in report.failures},
            report.cpu_s * len(positions) / len(report),
            report.worker,
            report.lane,
        )
        if report.trace is not None and report.trace.cpus:
            part.trace = report.trace.only(positions, report.started, report.ended)
        return Settled(
            part,
            [self.items[p] for p in positions],
            [self.queued[p] for p in positions],
            [self.attempts[p] for p in positions],
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class Outcome:
    """Be what became of one item.

    Times are `time.perf_counter` seconds: `queued` when the item was taken from the iterable,
    `started` and `ended` around the attempt that settled it. `cpu_s` is CPU seconds of the thread
    that ran it; where items are so short (below a millisecond) that they were measured as a group,
    `cpu_is_shared` says so, and it is the item's part by its length. `lane` is which of the worker's
    threads it was.
    """

    kind: ClassVar[Kind]
    index: int
    item: Any
    attempts: int = 1
    worker: int = 0
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    cpu_s: float = 0.0
    cpu_is_shared: bool = False
    lane: int = 0
    value: Any = None
    error: BaseException | None = None
    traceback: str | None = None

    @property
    def ok(self) -> bool:
        """Say whether there is a value."""
        return self.kind == "done"

    def __repr__(self) -> str:
        """Say it in one short line: what became of which item, with what, and how long it took."""
        came = self.value if self.ok else self.error
        tried = f", {self.attempts} attempts" if self.attempts > 1 else ""
        return (
            f"<{type(self).__name__} {self.index}: {shown(self.item, 40)} -> {shown(came, 40)}, "
            f"{seconds(self.ended - self.started)}{tried}>"
        )

    def _repr_html_(self) -> str:
        """Show itself in a notebook, and where the error came from."""
        return as_html(repr(self), self.traceback)


class Done(Outcome):
    """Be the outcome of an item that returned: `value` is what it returned."""

    __slots__ = ()
    kind = "done"


class Failed(Outcome):
    """Be the outcome of an item that raised: `error` is what it raised."""

    __slots__ = ()
    kind = "failed"


class TimedOut(Outcome):
    """Be the outcome of an item that took longer than its timeout."""

    __slots__ = ()
    kind = "timed-out"


class Lost(Outcome):
    """Be the outcome of an item whose worker vanished: `error` says how."""

    __slots__ = ()
    kind = "lost"


class Cancelled(Outcome):
    """Be the outcome of an item that was stopped before it could end."""

    __slots__ = ()
    kind = "cancelled"


OUTCOMES: dict[Kind, type[Outcome]] = {
    cls.kind: cls for cls in (Done, Failed, TimedOut, Lost, Cancelled)
}


UNKNOWN = "not measured"


@dataclass(slots=True, frozen=True)
class Summary:
    """Be what is known of a run so far.

    `items` are those that have come out: `done`, `failed`, `timed_out`, `lost` and `cancelled` add up to
    it.
    `retries` counts the attempts beyond each item's first. Seconds: `startup_s` until the workers
    were ready, `makespan_s` from then to the last outcome. `throughput` is settled items a second.
    `cpu_s` is what the items took of CPUs, with the programs that they started and waited for; of worker
    processes it is all that they took, complete when the run has ended. `peak_bytes` is the sum of the
    worker processes' own peaks, known then. Both are None where nobody measures them: items in the
    caller's own process have no memory of their own, and with `record="off"` no CPU time.
    `blocked` are the lines of code that blocked an event loop, the worst first; `saturation` says so
    when a loop had too much to do without that.
    """

    model: str
    workers: int
    in_flight: int
    items: int
    done: int
    failed: int
    timed_out: int
    lost: int
    cancelled: int
    retries: int
    startup_s: float
    makespan_s: float
    throughput: float
    cpu_s: float | None
    peak_bytes: int | None
    reasons: tuple[str, ...]
    blocked: tuple[Blocked, ...] = ()
    saturation: str | None = None

    def __str__(self) -> str:
        """Say it in one line, and then the reasons, and what blocked an event loop."""
        counts = (
            (self.failed, "failed"),
            (self.timed_out, "timed out"),
            (self.lost, "lost"),
            (self.cancelled, "cancelled"),
            (self.retries, "retries" if self.retries > 1 else "retry"),
        )
        bad = "".join(f", {count} {what}" for count, what in counts if count)
        cpu = UNKNOWN if self.cpu_s is None else f"{self.cpu_s:.3g} s"
        peak = UNKNOWN if self.peak_bytes is None else f"{self.peak_bytes / 1e6:.0f} MB at most"
        line = (
            f"{self.items} items with {self.model} ({self.in_flight} at once) in "
            f"{self.makespan_s:.3g} s and {self.startup_s:.3f} s start-up: "
            f"{self.throughput:,.0f} items/s{bad}; CPU {cpu}, memory {peak}"
        )
        loop = [*map(str, self.blocked), *filter(None, (self.saturation,))]
        return "\n".join([line, *self.reasons, *loop])

    def __repr__(self) -> str:
        """Say the first line of it."""
        return "<outpace.Summary: {}>".format(str(self).partition("\n")[0])

    def _repr_html_(self) -> str:
        """Show itself in a notebook."""
        line, _, more = str(self).partition("\n")
        return as_html(line, more)
