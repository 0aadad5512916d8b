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

import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from outpace.errors import UsageError
from outpace.flow.data import Report, Settled, Summary
from outpace.flow.dispatch import AIM, Dispatcher, Pull, Settle, Start
from outpace.flow.ending import Terminated, say, tell, terminable, without_ours
from outpace.flow.job import Job
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome, InOrder, Release
from outpace.flow.protocol import Opening, Recorder, Usage, Workers
from outpace.flow.trace import Blocked, Blockings

T = TypeVar("T")

SLOW_SOURCE = 0.01  # seconds for reports between two slow items: half of what AIM gives those
LEFT = (
    "this run was closed when the loop over it was left; to take some values now and some later, "
    "use {next}"
)

clock = time.perf_counter


class Flow:
    """Be one job on its way through one model: what the plain and the asynchronous run share.

    `recorder` keeps a record of it, if it is wanted. With `quiet` nothing is said on stderr.
    """

    def __init__(
        self, job: Job, opening: Opening, recorder: Recorder | None = None, *, quiet: bool = False
    ) -> None:
        """Start nothing yet."""
        self.job = job
        self.opening = opening
        self.recorder = recorder
        self.quiet = quiet
        self.blockings = Blockings()
        self.dispatcher = Dispatcher(
            limit=Fixed(opening.slots),
            order=InOrder() if job.ordered else AsTheyCome(),
            slots=opening.slots,
            lanes=max(1, opening.slots // opening.workers),
            shared=opening.shared,
            total=job.total,
            fixed_chunk=job.chunk,
            keep_order_window=job.ordered,
            retry=job.retry,
            dice=_dice() if job.retry is not None else lambda: 0.0,
            keep=(lambda _: None) if recorder is None else recorder.keep,
        )
        self.workers: Workers | None = None
        self.usage = Usage()
        self.startup_s = 0.0
        self.began = 0.0
        self.latest = 0.0
        self.stopping = False
        self.woken: Callable[[], object] = lambda: None  # who else waits, beside the workers
        self.abandoned = False
        self.cut_short = 0  # items that ran when somebody interrupted
        self.source_error: BaseException | None = None
        self.reading_s = 0.0  # spent on reading since results were last looked for
        self._news = threading.Event()  # somebody has said `wake` while nothing was in flight

    def pull(self, source: Iterator[Any], room: int) -> None:
        """Read up to `room` items; fewer when they come slowly, so that results are not held up."""
        began = clock()
        until = began + AIM
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
        now = clock()
        self.dispatcher.admit(taken, now)
        self.reading_s += now - began
        if self.reading_s >= AIM:
            self.reading_s = 0.0
            self.dispatcher.hold_reading()

    @property
    def patience(self) -> float | None:
        """Say how long to wait for reports: not long while there are slow items to be read.

        And no longer than until an item is to be tried again.
        """
        slow = SLOW_SOURCE if self.dispatcher.reading_held else None
        pause = self.pause
        return slow if pause is None else pause if slow is None else min(slow, pause)

    @property
    def pause(self) -> float | None:
        """Say how many seconds there are until an item is to be tried again, None without one."""
        return self.dispatcher.pause(clock())

    def rest(self) -> None:
        """Wait until an item is to be tried again, or somebody says `wake`; nothing is in flight."""
        if self._news.wait(self.pause):
            self._news.clear()

    def opened(self, workers: Workers, began_opening: float) -> Workers:
        """Note that the workers are ready."""
        self.workers = workers
        self.began = self.latest = clock()
        self.startup_s = self.began - began_opening
        if self.recorder is not None:
            self.recorder.look_at(workers)
        return workers

    def open_soon(self) -> float:
        """Get ready to open the workers; return when that begins."""
        if self.recorder is not None:
            self.recorder.begin()
        return clock()

    def closed(self) -> None:
        """Note that the workers are closed, or have never been open."""
        if self.workers is not None:
            self.usage = self.workers.usage
        if self.recorder is not None:
            self.recorder.end()

    def observe(self, reports: Sequence[Any]) -> None:
        """Tell the dispatcher what the workers said."""
        workers = self.workers
        assert workers is not None
        self.latest = now = clock()
        if self.recorder is not None:
            self.recorder.look_at(workers)
        for report in reports:
            if isinstance(report, Report) and report.trace is not None:
                self._say_what_blocks(self.blockings.add(report.trace))
            self.dispatcher.observe(report, now)
        if workers.slots != self.dispatcher.slots:
            self.dispatcher.limit = Fixed(workers.slots)
            lanes = max(1, workers.slots // self.opening.workers)
            self.dispatcher.resize(workers.slots, lanes, shared=self.opening.shared)
        if self.job.on_error == "raise" and self.dispatcher.counts.bad:
            self.dispatcher.exhaust()

    def _say_what_blocks(self, new: list[Blocked]) -> None:
        """Say on stderr what blocks an event loop, a line for each place."""
        for one in new if not self.quiet else ():
            say(str(one))

    @property
    def timeline(self) -> Any:
        """Return what ran when, as far as it has come; raise `UsageError` where nothing is recorded."""
        if self.recorder is None:
            raise UsageError('there is no timeline of a run with record="off"')
        return self.recorder.timeline(self)

    def stop(self) -> None:
        """Have nothing started any more; what is in flight ends. Any thread may call this."""
        self.stopping = True
        self.wake()

    def abandon(self) -> None:
        """Have the loop end now, whatever is in flight. Any thread may call this."""
        self.abandoned = True
        self.wake()

    def wake(self) -> None:
        """Have whatever the loop waits for end now, so that it looks at what has changed."""
        if self.workers is not None:
            self.workers.wake()
        self._news.set()
        self.woken()

    def hurry(self) -> None:
        """Have the workers closed without waiting for what they are on. Call it before the closing."""
        running: Callable[[], Iterator[Any]] | None = getattr(self.workers, "running", None)
        self.cut_short = sum(1 for _ in running()) if running is not None else 0
        interrupt: Callable[[], object] | None = getattr(self.workers, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def summary(self) -> Summary:
        """Say what is known so far."""
        counts, seconds = self.dispatcher.counts, self.latest - self.began
        return Summary(
            model=self.opening.model,
            workers=self.opening.workers,
            in_flight=self.dispatcher.slots,
            items=counts.settled,
            done=counts.settled - counts.bad,
            failed=counts.failed,
            timed_out=counts.timed_out,
            lost=counts.lost,
            retries=counts.retries,
            startup_s=self.startup_s + getattr(self.opening, "startup_s", 0.0),
            makespan_s=seconds,
            throughput=counts.settled / seconds if seconds > 0 else 0.0,
            cpu_s=self.usage.cpu_s,
            peak_bytes=self.usage.peak_bytes,
            reasons=tuple(getattr(self.opening, "reasons", ())),
            blocked=self.blockings.places,
            saturation=self.blockings.saturation,
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

    def __repr__(self) -> str:
        """Say how far it is."""
        return f"<outpace.Run {self.model}: {self._flow.dispatcher.counts.settled} items settled>"


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


def _dice() -> Callable[[], float]:
    """Return what throws the dice for the pauses between attempts."""
    import random  # noqa: PLC0415 - 3 ms, for jobs that retry

    return random.random
