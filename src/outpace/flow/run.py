"""The loop that carries a job out. The file to read first.

    ask the dispatcher what to do -> do it -> wait for reports -> tell the dispatcher

The loop runs in whoever iterates over the `Run`, and only while they wait for the next value: a slow
consumer therefore stops the reading of inputs, and leaving the `for` stops the work.

Guarantees: workers are opened when the first item is there, and closed when the iteration ends in any
way; an error of the items iterable is raised after everything before it has come out; a `Run` is used
once; Ctrl-C and SIGTERM end it within a second, whatever the workers do, and say in a line what became
of it. Tested by `tests/flow/test_run.py` and, over every model, by `tests/conformance`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, TypeVar

from outpace.errors import UsageError
from outpace.flow.data import Settled, Summary
from outpace.flow.dispatch import Pull, Settle, Start
from outpace.flow.ending import Terminated, tell, terminable, without_ours
from outpace.flow.face import Face
from outpace.flow.flow import Flow
from outpace.flow.order import Release
from outpace.flow.protocol import Workers

T = TypeVar("T")

LEFT = (
    "this run was closed when the loop over it was left; to take some values now and some later, "
    "use {next}"
)

clock = time.perf_counter


class Run(Face, Generic[T]):
    """Iterate over the values (or outcomes) of a job, working only while somebody asks.

    Use it once: in a `for`, with `next`, or in a `with` block. `close`, the end of the `with` block
    and leaving the `for` stop the work and leave nothing running; `stop` lets what is in flight end.
    """

    def __init__(self, flow: Flow, view: Callable[[Settled, Sequence[int]], Iterator[T]]) -> None:
        """Start nothing yet: the first value asked for does."""
        self._flow = flow
        self._values = _values(flow, view)
        self._left = False
        # A run that is dropped half-way, or alive at exit, still leaves nothing behind. Not of `self`:
        # a `for` holds on to the values alone.
        self._finalizer = weakref.finalize(self._values, _close, flow)

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

    def __iter__(self) -> Iterator[T]:
        """Yield the values, as they are settled; leaving the loop closes the run.

        Raises `UsageError` when a loop over it has been left already: what was in flight is gone.
        """
        if self._left:
            raise UsageError(LEFT.format(next="next(run) in a `with` block"))
        return self._until_left()

    def _until_left(self) -> Iterator[T]:
        """Yield the values; close the run when nobody wants any more."""
        try:
            yield from self._values
        except GeneratorExit:
            self._left = True
            raise
        except (KeyboardInterrupt, Terminated) as error:
            raise self._told(error) from None
        finally:
            self.close()

    def __next__(self) -> T:
        """Return the next value."""
        try:
            return next(self._values)
        except (KeyboardInterrupt, Terminated) as error:
            raise self._told(error) from None

    def _told(self, error: BaseException) -> BaseException:
        """Say what became of a run that was interrupted, in one line."""
        tell(self._flow.dispatcher, self._flow.cut_short, error)
        return without_ours(error)

    def __enter__(self) -> Run[T]:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """Start no more items; those in flight end and come out. Any thread may call this."""
        self._flow.stop()

    def close(self) -> None:
        """Stop everything now and leave nothing running. May be called twice.

        While another thread waits for a value, that thread is the one that closes: its iteration ends.
        """
        if self._values.gi_running:  # type: ignore[attr-defined] # it is of a generator function
            self._flow.abandon()
        else:
            self._values.close()
            self._finalizer()


def releases(flow: Flow) -> Generator[Release, None, None]:
    """Carry the job out; yield what is finished, in the order it is wanted."""
    try:
        with terminable():
            yield from _carried_out(flow)
    except (KeyboardInterrupt, Terminated):
        flow.hurry()
        raise
    finally:
        _close(flow)


def _carried_out(flow: Flow) -> Generator[Release, None, None]:
    """Ask the dispatcher what to do, do it, wait for reports, tell the dispatcher."""
    dispatcher, source = flow.dispatcher, iter(flow.job.items)  # type: ignore[arg-type]
    while not (dispatcher.finished or flow.abandoned):
        if flow.stopping:
            dispatcher.stop()
        for action in dispatcher.decide(clock()):
            match action:
                case Pull(room):
                    flow.pull(source, room)
                case Start(chunk):
                    _workers(flow).start(chunk)
                case Settle(settled, positions):
                    yield settled, positions
        _hear(flow)
    if flow.source_error is not None:
        raise flow.source_error


def _hear(flow: Flow) -> None:
    """Wait for news: of the workers, or that it is time to try an item again."""
    if flow.abandoned:
        return
    if flow.dispatcher.awaits_reports:
        flow.observe(_workers(flow).reports(flow.patience))
    elif flow.pause is not None:
        flow.rest()


def _workers(flow: Flow) -> Workers:
    """Return the workers; open them when the first item needs them."""
    if flow.workers is not None:
        return flow.workers
    before = flow.open_soon()
    return flow.opened(flow.opening.open(flow.job.call), before)


def _close(flow: Flow) -> None:
    """Close the workers, if there are any."""
    workers = flow.workers
    try:
        if workers is not None:
            workers.close()
    except (KeyboardInterrupt, Terminated):  # enough: closing again waits for nobody
        flow.hurry()
        raise
    finally:
        flow.closed()


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
