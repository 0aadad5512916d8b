"""The loop that carries a job out. The file to read first.

    ask the dispatcher what to do -> do it -> wait for reports -> tell the dispatcher

The loop runs in whoever iterates over the `Run`, and only while they wait for the next value: a slow
consumer therefore stops the reading of inputs, and leaving the `for` stops the work.

Guarantees: workers are opened when the first item is there, and closed when the iteration ends in any
way; an error of the items iterable is raised after everything before it has come out; a `Run` is used
once. Tested by `tests/flow/test_run.py` and, over every model, by `tests/conformance`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from outpace.flow.data import Outcome, Settled
from outpace.flow.dispatch import AIM, Dispatcher, Pull, Settle, Start
from outpace.flow.job import Job
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome, InOrder, Release
from outpace.flow.protocol import Call, Usage, Workers

T = TypeVar("T")

clock = time.perf_counter


class Opening(Protocol):
    """Be a model with its setting, ready to be opened: `models` makes these."""

    model: str
    workers: int
    slots: int
    shared: bool

    def open(self, call: Call) -> Workers:
        """Open the workers."""
        ...


@dataclass(slots=True, frozen=True)
class Summary:
    """Be what is known of a run so far.

    Seconds: `startup_s` until the workers were ready, `makespan_s` from then to the last outcome.
    `throughput` is settled items a second. `cpu_s` and `peak_bytes` are those of worker processes,
    complete when the run has ended; `peak_bytes` is the sum of each one's own peak.
    """

    model: str
    workers: int
    in_flight: int
    items: int
    done: int
    failed: int
    lost: int
    startup_s: float
    makespan_s: float
    throughput: float
    cpu_s: float
    peak_bytes: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line, and then the reasons."""
        bad = f", {self.failed} failed" if self.failed else ""
        bad += f", {self.lost} lost" if self.lost else ""
        line = (
            f"{self.items} items with {self.model} ({self.in_flight} at once) in "
            f"{self.makespan_s:.3g} s + {self.startup_s:.2g} s start-up: "
            f"{self.throughput:.3g} items/s{bad}"
        )
        return "\n".join([line, *self.reasons])


class Flow:
    """Be one job on its way through one model: what the plain and the asynchronous run share."""

    def __init__(self, job: Job, opening: Opening) -> None:
        """Start nothing yet."""
        self.job = job
        self.opening = opening
        self.dispatcher = Dispatcher(
            limit=Fixed(opening.slots),
            order=InOrder() if job.ordered else AsTheyCome(),
            slots=opening.slots,
            lanes=max(1, opening.slots // opening.workers),
            shared=opening.shared,
            total=job.total,
            fixed_chunk=job.chunk,
            keep_order_window=job.ordered,
        )
        self.workers: Workers | None = None
        self.usage = Usage()
        self.startup_s = 0.0
        self.began = 0.0
        self.latest = 0.0
        self.stopping = False
        self.abandoned = False
        self.source_error: BaseException | None = None

    def pull(self, source: Iterator[Any], room: int) -> None:
        """Read up to `room` items; fewer when they come slowly, so that results are not held up."""
        until = clock() + AIM
        taken: list[Any] = []
        try:
            while len(taken) < room and clock() < until:
                wanted = min(room - len(taken), len(taken) or 1)  # 1, 1, 2, 4, …
                before = len(taken)
                taken.extend(islice(source, wanted))
                if len(taken) - before < wanted:
                    self.dispatcher.exhaust()
                    break
        except BaseException as error:
            self.dispatcher.exhaust()
            if not isinstance(error, Exception):
                raise
            self.source_error = error
        self.dispatcher.admit(taken, clock())

    def opened(self, workers: Workers, began_opening: float) -> Workers:
        """Note that the workers are ready."""
        self.workers = workers
        self.began = self.latest = clock()
        self.startup_s = self.began - began_opening
        return workers

    def observe(self, reports: Sequence[Any]) -> None:
        """Tell the dispatcher what the workers said."""
        workers = self.workers
        assert workers is not None
        for report in reports:
            self.dispatcher.observe(report)
        self.latest = clock()
        if workers.slots != self.dispatcher.slots:
            self.dispatcher.limit = Fixed(workers.slots)
            lanes = max(1, workers.slots // self.opening.workers)
            self.dispatcher.resize(workers.slots, lanes, shared=self.opening.shared)
        if self.job.on_error == "raise" and self.dispatcher.counts.failed + self.dispatcher.counts.lost:
            self.dispatcher.exhaust()

    def abandon(self) -> None:
        """Have the loop end now, whatever is in flight. Any thread may call this."""
        self.abandoned = True
        if self.workers is not None:
            self.workers.wake()

    def summary(self) -> Summary:
        """Say what is known so far."""
        counts, seconds = self.dispatcher.counts, self.latest - self.began
        bad = counts.failed + counts.lost
        return Summary(
            model=self.opening.model,
            workers=self.opening.workers,
            in_flight=self.dispatcher.slots,
            items=counts.settled,
            done=counts.settled - bad,
            failed=counts.failed,
            lost=counts.lost,
            startup_s=self.startup_s,
            makespan_s=seconds,
            throughput=counts.settled / seconds if seconds > 0 else 0.0,
            cpu_s=self.usage.cpu_s,
            peak_bytes=self.usage.peak_bytes,
            reasons=tuple(getattr(self.opening, "reasons", ())),
        )


class Run(Generic[T]):
    """Iterate over the values (or outcomes) of a job, working only while somebody asks.

    Use it once: in a `for`, with `next`, or in a `with` block. `close`, the end of the `with` block
    and leaving the `for` stop the work and leave nothing running; `stop` lets what is in flight end.
    """

    def __init__(self, flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]) -> None:
        """Start nothing yet: the first value asked for does."""
        self._flow = flow
        self._values = _values(flow, view)
        # A run that is dropped half-way, or alive at exit, still leaves nothing behind.
        self._finalizer = weakref.finalize(self, _close, flow)

    @property
    def model(self) -> str:
        """Name the model that the work runs under."""
        return self._flow.opening.model

    @property
    def summary(self) -> Summary:
        """Say what is known so far: counts, times, throughput, and why this model."""
        return self._flow.summary()

    def __iter__(self) -> Iterator[T]:
        """Return the values, as they are settled; leaving the loop closes the run."""
        return self._values

    def __next__(self) -> T:
        """Return the next value."""
        return next(self._values)

    def __enter__(self) -> Run[T]:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """Start no more items; those in flight end and come out. Any thread may call this."""
        self._flow.stopping = True
        if self._flow.workers is not None:
            self._flow.workers.wake()

    def close(self) -> None:
        """Stop everything now and leave nothing running. May be called twice."""
        self._values.close()
        self._finalizer()

    def __repr__(self) -> str:
        """Say how far it is."""
        return f"<outpace.Run {self.model}: {self._flow.dispatcher.counts.settled} items settled>"


def releases(flow: Flow) -> Generator[Release, None, None]:
    """Carry the job out; yield what is finished, in the order it is wanted."""
    dispatcher, source = flow.dispatcher, iter(flow.job.items)  # type: ignore[arg-type]
    try:
        while not (dispatcher.finished or flow.abandoned):
            for action in dispatcher.decide():
                match action:
                    case Pull(room):
                        flow.pull(source, room)
                    case Start(chunk):
                        _workers(flow).start(chunk)
                    case Settle(settled, positions):
                        yield settled, positions
            if flow.stopping:
                dispatcher.stop()
            if dispatcher.awaits_reports:
                flow.observe(_workers(flow).reports(None))
        if flow.source_error is not None:
            raise flow.source_error
    finally:
        _close(flow)


def _workers(flow: Flow) -> Workers:
    """Return the workers; open them when the first item needs them."""
    if flow.workers is not None:
        return flow.workers
    before = clock()
    return flow.opened(flow.opening.open(flow.job.call), before)


def _close(flow: Flow) -> None:
    """Close the workers, if there are any."""
    workers = flow.workers
    if workers is not None:
        workers.close()
        flow.usage = workers.usage


def _values(
    flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]
) -> Generator[T, None, None]:
    """Yield what the user asked to see."""
    settled = releases(flow)
    try:
        for release in settled:
            yield from view(*release)
    finally:
        settled.close()


def as_outcomes(settled: Settled, positions: Sequence[int]) -> Iterator[Outcome]:
    """Show an `Outcome` an item."""
    return map(settled.outcome, positions)


def as_values(on_error: str) -> Callable[[Settled, Sequence[int]], Iterator[Any]]:
    """Show bare values; a failed item raises, is left out, or gives its exception."""

    def view(settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        values, failures = settled.report.values, settled.report.failures
        if not failures:
            if len(positions) == len(values):
                return iter(values)
            return map(values.__getitem__, positions)
        return mixed(settled, positions)

    def mixed(settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        for position in positions:
            failure = settled.report.failures.get(position)
            if failure is None:
                yield settled.report.values[position]
            elif on_error == "raise":
                raise noted(settled, position)
            elif on_error == "return":
                yield failure.error

    return view


def noted(settled: Settled, position: int) -> BaseException:
    """Return the item's own exception, with the item and the worker's traceback noted on it."""
    failure = settled.report.failures[position]
    error = failure.error
    if failure.traceback:
        error.add_note(f"in a worker process:\n{failure.traceback.rstrip()}")
    index = settled.report.indexes[position]
    error.add_note(f"outpace: this was item {index}: {shown(settled.items[position])}")
    return error


def shown(item: object, width: int = 80) -> str:
    """Show an item in a message: its repr, cut to a width, whatever its repr does."""
    try:
        text = repr(item)
    except Exception as error:  # noqa: BLE001 - a repr can raise anything
        text = f"<{type(item).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= width else text[: width - 1] + "…"

