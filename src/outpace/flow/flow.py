"""One job on its way through one model: what the plain and the asynchronous run share.

Everything that the two do with a dispatcher, workers and a source of items that is not waiting for them.
Tested by `tests/flow/test_run.py` and `tests/flow/test_arun.py`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from outpace.errors import UsageError
from outpace.flow.data import Report, Summary
from outpace.flow.dispatch import AIM, Dispatcher
from outpace.flow.ending import say, tell
from outpace.flow.forks import free_in_forks, in_a_fork
from outpace.flow.job import Job
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome, InOrder
from outpace.flow.protocol import Opening, Recorder, Usage, Watching, Workers
from outpace.flow.signals import undisturbed
from outpace.machine.cpu_time import children_s

if TYPE_CHECKING:
    from outpace.flow.trace import Blocked

SLOW_SOURCE = 0.01  # seconds for reports between two slow items: half of what AIM gives those

clock = time.perf_counter


class Flow:
    """Be one job on its way through one model: what the plain and the asynchronous run share.

    `recorder` keeps a record of it, and `progress` is told how far it is, if they are wanted. With
    `quiet` nothing is said on stderr.
    """

    def __init__(
        self,
        job: Job,
        opening: Opening,
        recorder: Recorder | None = None,
        progress: Watching | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Start nothing yet."""
        self.job = job
        self.opening = opening
        self.recorder = recorder
        self.progress = progress
        self.quiet = quiet
        from outpace.flow.trace import Blockings  # noqa: PLC0415 - 3 of the 40 ms of `import outpace`

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
        self.ready: deque[Any] = deque()  # what the user wanted to see, and has not taken yet
        self.parent = 0  # the process whose run it is, where this is a copy in a fork of that
        self.usage = Usage()
        self._items_cpu_s = self._children_s = 0.0  # of items that were reported, and of children
        self._children_before: float | None = None  # of the whole process, while this goes on
        self.startup_s = 0.0
        self.began = 0.0
        self.latest = 0.0
        self.stopping = False
        self.woken: Callable[[], object] = lambda: None  # who else waits, beside the workers
        self.abandoned = False
        self.over = False  # everything is closed
        self._told = False  # that it was interrupted
        self.cut_short = 0  # items that ran when somebody interrupted
        self.source_error: BaseException | None = None
        self.reading_s = 0.0  # spent on reading since results were last looked for
        # Somebody has said `wake` while nothing was in flight.
        self._news = free_in_forks(threading.Event())
        in_a_fork(self, Flow._disown)

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

        And no longer than until an item is to be tried again, or the progress to be shown.
        """
        slow = SLOW_SOURCE if self.dispatcher.reading_held else None
        shown = None if self.progress is None else self.progress.patience(clock())
        waits = [wait for wait in (slow, self.pause, shown) if wait is not None]
        return min(waits, default=None)

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
        if self.progress is not None:
            self.progress.on = self.running
            self.progress.started(self.dispatcher.total, self.began)
        return workers

    @property
    def is_on(self) -> bool:
        """Say whether it has begun and not ended."""
        return self.workers is not None and not self.over

    def running(self) -> Iterator[tuple[int, int, float]]:
        """Yield, for every item that runs now, its worker, its index, and since when."""
        running: Callable[[], Iterator[Any]] | None = getattr(self.workers, "running", None)
        return iter(()) if running is None else running()

    def open_soon(self) -> float:
        """Get ready to open the workers; return when that begins."""
        if self.recorder is not None:
            self.recorder.begin()
        self._children_before = children_s()
        return clock()

    def closed(self) -> None:
        """Note that the workers are closed, or have never been open."""
        self.over = True
        if self.workers is not None:
            self.usage = self.workers.usage
        self._children_s, self._children_before = self.children_s, None
        if self.recorder is not None:
            self.recorder.end()
        if self.progress is not None and self.workers is not None:
            self.progress.finished(self.dispatcher.counts)
            self.progress = None

    @undisturbed
    def observe(self, reports: Sequence[Any]) -> None:
        """Tell the dispatcher what the workers said."""
        workers = self.workers
        assert workers is not None
        self.latest = now = clock()
        if self.recorder is not None:
            self.recorder.look_at(workers)
        for report in reports:
            if isinstance(report, Report):
                self._items_cpu_s += report.items_cpu_s
                if report.trace is not None:
                    self._say_what_blocks(self.blockings.add(report.trace))
            self.dispatcher.observe(report, now)
        if workers.slots != self.dispatcher.slots:
            self.dispatcher.limit = Fixed(workers.slots)
            lanes = max(1, workers.slots // self.opening.workers)
            self.dispatcher.resize(workers.slots, lanes, shared=self.opening.shared)
        if self.job.on_error == "raise" and self.dispatcher.counts.bad:
            self.dispatcher.exhaust()
        if self.progress is not None:
            self.progress.settled(self.dispatcher.counts, self.dispatcher.in_flight, now)

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

    def _disown(self) -> None:
        """Be of no use from now on, in a fork: what is under way is the parent's."""
        self.parent = os.getppid()
        self.abandoned = True
        self.ready.clear()

    def refuse_forks(self) -> None:
        """Raise `UsageError` in a process that the run was forked into."""
        if self.parent:
            msg = (
                f"this run belongs to process {self.parent}, and this is a fork of it, "
                f"process {os.getpid()}: take the values there, or call outpace here, too"
            )
            raise UsageError(msg)

    def wake(self) -> None:
        """Have whatever the loop waits for end now, so that it looks at what has changed."""
        if self.workers is not None:
            self.workers.wake()
        self._news.set()
        self.woken()

    def hurry(self) -> None:
        """Have the workers closed without waiting for what they are on. Call it before the closing."""
        self.cut_short = sum(1 for _ in self.running())
        interrupt: Callable[[], object] | None = getattr(self.workers, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def tell(self, error: BaseException) -> None:
        """Say in one line on stderr, once, what became of it when somebody interrupted."""
        if not self._told:
            self._told = True
            tell(self.dispatcher, self.cut_short, error)

    @property
    def children_s(self) -> float:
        """Return the CPU seconds of the workers elsewhere and of other children, in the meantime."""
        before = self._children_before
        return self._children_s if before is None else children_s() - before

    @property
    def cpu_s(self) -> float | None:
        """Return the CPU seconds of the items and their programs, or of workers elsewhere if there are.

        None where nobody has measured it.
        """
        workers = self.usage.cpu_s if self.workers is None else self.workers.usage.cpu_s
        if self.job.call.record == "off":
            return workers or None
        return max(workers, self._items_cpu_s) + self.children_s - workers or None

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
            cpu_s=self.cpu_s,
            peak_bytes=self.usage.peak_bytes or None,
            reasons=tuple(getattr(self.opening, "reasons", ())),
            blocked=self.blockings.places,
            saturation=self.blockings.saturation,
        )


def _dice() -> Callable[[], float]:
    """Return what throws the dice for the pauses between attempts."""
    import random  # noqa: PLC0415 - 3 ms, for jobs that retry

    return random.random
