"""The engine: one job on its way through one model, as steps, without any I/O. The file to read first.

    ask the dispatcher what to do -> do it -> wait for reports -> tell the dispatcher

`Engine.steps` is that loop, and the only one. It yields what is to be done next; whoever drives it does
that, and asks for the next step: a `Run` blocks where there is something to wait for, an `AsyncRun`
awaits it, an executor's manager takes calls from a queue for items. So what a run does is decided here,
for all of them alike, and each of them is only how.

Guarantees: a step is over before the next one is asked for; the workers are opened when the first item
is there; after `stop` nothing starts any more, and after `abandon` nothing is waited for. Tested by
`tests/flow/test_engine.py`, and by the tests of whoever drives it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outpace.errors import UsageError
from outpace.flow.account import Account
from outpace.flow.backlog import ByGroup, InTurn
from outpace.flow.credit import AIM, Credit, OneByOne, credit_for
from outpace.flow.data import Failure, Report, Returned, Summary
from outpace.flow.deadlines import Deadlines
from outpace.flow.dispatch import Action, Dispatcher
from outpace.flow.ending import tell
from outpace.flow.forks import free_in_forks, in_a_fork
from outpace.flow.gate import Rate, Unlimited
from outpace.flow.job import FREELY, Job
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome, InOrder
from outpace.flow.protocol import Observer, Opening, Recorder, Running, Workers
from outpace.flow.show import annotate
from outpace.flow.signals import undisturbed

if TYPE_CHECKING:
    from outpace.flow.source import Source

SLOW_SOURCE = 0.01  # seconds for reports between two slow items: half of what AIM gives those


@dataclass(slots=True, frozen=True)
class Listen:
    """Wait for reports, `patience` seconds at most (None: for ever), and tell them with `told`."""

    patience: float | None


@dataclass(slots=True, frozen=True)
class Rest:
    """Wait until somebody says `wake`, or `pause` seconds have passed: nothing is in flight."""

    pause: float | None


@dataclass(slots=True, frozen=True)
class Cancel:
    """Have this worker put an end to an item: its time is up."""

    worker: int
    index: int


Step = Action | Cancel | Listen | Rest


class Engine:
    """One job on its way through one model.

    `recorder` keeps a record of it, and `observers` are told how it goes. `credit` says how much the
    workers may hold, where that is not what such workers usually may. With `quiet` nothing is said on
    stderr. `clock` gives seconds, as `time.perf_counter` does.
    """

    def __init__(
        self,
        job: Job,
        opening: Opening,
        recorder: Recorder | None = None,
        observers: Iterable[Observer] = (),
        *,
        credit: Credit | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Start nothing yet."""
        self.job = job
        self.opening = opening
        self.recorder = recorder
        self.clock = clock
        from outpace.flow.blockings import Blockings  # noqa: PLC0415 - 3 of the 40 ms of `import outpace`

        self.account = Account()
        self.blockings = Blockings(quiet=quiet)
        own = (self.account, self.blockings, recorder)
        self._observers = [one for one in (*own, *observers) if one is not None]
        self.dispatcher = Dispatcher(
            limit=Fixed(opening.slots),
            order=InOrder() if job.ordered else AsTheyCome(),
            credit=credit or self._credit(),
            gate=Unlimited() if job.pace.rate is None else Rate(job.pace.rate),
            backlog=InTurn()
            if job.pace.group is None
            else ByGroup(job.pace.per_group, job.pace.group_rate),
            has_workers=False,
            total=job.total,
            keep_order_window=job.ordered,
            retry=job.retry,
            dice=_dice() if job.retry is not None else lambda: 0.0,
        )
        self.workers: Workers | None = None
        self.ready: deque[Any] = deque()  # what the user wanted to see, and has not taken yet
        self.parent = 0  # the process whose run it is, where this is a copy in a fork of that
        self._deadlines: Deadlines | None = None
        self.startup_s = 0.0
        self.began = 0.0
        self.latest = 0.0
        self.stopping = False
        self.woken: Callable[[], object] = lambda: None  # who else waits, beside the workers
        self.abandoned = False
        self.over = False  # everything is closed
        self._told = False  # that it was interrupted
        self.feeds = False  # another run, which says what became of it all
        self.cut_short = 0  # items that ran when somebody interrupted
        self.source: Source | None = None
        self.source_error: BaseException | None = None
        self.lacking = False  # the source had nothing to give, and will say when it has
        self._reading_s = 0.0  # spent on reading since results were last looked for
        # Somebody has said `wake` while nothing was in flight.
        self._news = free_in_forks(threading.Event())
        in_a_fork(self, Engine._disown)

    # The loop.

    def steps(self) -> Iterator[Step]:
        """Yield what is to be done next, until all is done, or the run is abandoned.

        Raises what the source of items has raised, once all before it is through.
        """
        while not (self.dispatcher.finished or self.abandoned):
            yield from self._actions()
            yield from self._late()
            if (wait := self._wait()) is not None:
                yield wait
        if self.source_error is not None:
            raise self.source_error

    def _actions(self) -> Iterator[Step]:
        """Yield what the dispatcher decides."""
        if self.stopping:
            self.dispatcher.stop()
        self.lacking = False
        yield from self.dispatcher.decide(self.clock())

    def _late(self) -> Iterator[Step]:
        """Yield the items whose time is up."""
        deadlines, now = self._deadlines, self.clock()
        if deadlines is not None and deadlines.look_at <= now:
            running = [((worker, index), since) for worker, index, since in self.running()]
            for late in deadlines.late(running, now):
                yield Cancel(*late)

    def _wait(self) -> Step | None:
        """Return what there is to wait for, when all that was decided is done; None for nothing."""
        dispatcher = self.dispatcher
        if self.abandoned or dispatcher.finished:
            return None
        if dispatcher.awaits_reports:
            return Listen(self._patience())
        pause, lacking = self.pause, self.lacking and not dispatcher.backlog.items
        return Rest(pause) if lacking or pause is not None else None

    @property
    def pause(self) -> float | None:
        """Say how many seconds there are until an item is to be tried again, None without one."""
        return self.dispatcher.pause(self.clock())

    def _patience(self) -> float | None:
        """Say how long to wait for reports: not long while there are slow items to be read.

        And no longer than until an item is to be tried again, or somebody who watches wants to look.
        """
        now = self.clock()
        slow = SLOW_SOURCE if self.dispatcher.reading_held else None
        watched = (one.patience(now) for one in self._observers)
        late = None if self._deadlines is None else max(0.0, self._deadlines.look_at - now)
        waits = [slow, late, self.dispatcher.pause(now), *watched]
        return min((wait for wait in waits if wait is not None), default=None)

    # What was done.

    def has_read(self, seconds: float) -> None:
        """Learn how long it took to read what was admitted; results do not wait longer than that."""
        self._reading_s += seconds
        if self._reading_s >= AIM:
            self._reading_s = 0.0
            self.dispatcher.hold_reading()

    def admit(self, items: list[Any], now: float) -> None:
        """Take in items that were read, each into its group if there are groups.

        Where `group=` raises, that is what its item fails with.
        """
        group, dispatcher = self.job.pace.group, self.dispatcher
        if group is None:
            dispatcher.admit(items, now)
            return
        for item in items:
            try:
                dispatcher.admit([item], now, [group(item)])
            except Exception as error:  # noqa: BLE001 - the user's function, and what its keys do
                annotate(error, "raised by group=, which is to return the group of its item")
                dispatcher.refuse(item, Failure(error), now)
        self._end_at_error()

    def begin(self) -> float:
        """Get ready to open the workers; return when that begins."""
        for one in self._observers:
            one.opening()
        return self.clock()

    def opened(self, workers: Workers, began_opening: float) -> Workers:
        """Note that the workers are ready."""
        self.workers = workers
        self.began = self.latest = self.clock()
        self.startup_s = self.began - began_opening
        if (timeout := self.job.call.timeout) is not None:
            self._deadlines = Deadlines(timeout, self.began)
        for one in self._observers:
            one.opened(self)
        return workers

    @undisturbed
    def told(self, reports: Sequence[Report | Returned]) -> None:
        """Learn what the workers have said."""
        workers, dispatcher = self.workers, self.dispatcher
        assert workers is not None
        self.latest = now = self.clock()
        for report in reports:
            settled = dispatcher.observe(report, now)
            if settled is not None:
                for one in self._observers:
                    one.settled(settled, now)
        if workers.slots != dispatcher.credit.lanes:
            self._resize(workers.slots)
        self._end_at_error()
        for one in self._observers:
            one.turned(now)

    def _credit(self) -> Credit:
        """Return the credit that such workers usually have."""
        opening = self.opening
        if self.job.pace != FREELY:  # what waits with a worker has started, as far as is known here
            return OneByOne(opening.slots)
        of_worker = max(1, opening.slots // opening.workers)
        return credit_for(opening.slots, of_worker, self.job.chunk, shared=opening.shared)

    def _resize(self, lanes: int) -> None:
        """Learn that the workers have changed, and how many items they can run at once now."""
        dispatcher, opening = self.dispatcher, self.opening
        dispatcher.limit = Fixed(lanes)
        of_worker = max(1, lanes // opening.workers)
        dispatcher.credit = dispatcher.credit.resized(lanes, of_worker, shared=opening.shared)

    def _end_at_error(self) -> None:
        """Read no more where an error will be raised."""
        if self.job.on_error == "raise" and self.dispatcher.counts.bad:
            self.dispatcher.exhaust()

    def rest(self, pause: float | None) -> None:
        """Wait until somebody says `wake`, or so many seconds have passed."""
        if self._news.wait(pause):
            self._news.clear()

    def closed(self) -> None:
        """Note that the workers are closed, or have never been open."""
        self.over = True
        for one in self._observers:
            one.closed()

    # What others want of it.

    @property
    def is_on(self) -> bool:
        """Say whether it has begun and not ended."""
        return self.workers is not None and not self.over

    def running(self) -> Iterable[Running]:
        """Yield every item that runs now."""
        return () if self.workers is None else self.workers.running()

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
        self.cut_short = sum(1 for _ in self.running())
        if self.workers is not None:
            self.workers.interrupt()

    def tell(self, error: BaseException) -> None:
        """Say in one line on stderr, once, what became of it when somebody interrupted."""
        if not (self._told or self.feeds):
            self._told = True
            tell(self.dispatcher, self.cut_short, error)

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

    # What there is to see.

    @property
    def timeline(self) -> Any:
        """Return what ran when, as far as it has come; raise `UsageError` where nothing is recorded."""
        if self.recorder is None:
            raise UsageError('there is no timeline of a run with record="off"')
        return self.recorder.timeline(self)

    @property
    def cpu_s(self) -> float | None:
        """Return the CPU seconds of the items and their programs, or of workers elsewhere if there are.

        None where nobody has measured it.
        """
        return self.account.cpu_s(measured=self.job.call.record != "off")

    def summary(self) -> Summary:
        """Say what is known so far."""
        counts, seconds = self.dispatcher.counts, self.latest - self.began
        return Summary(
            model=self.opening.model,
            workers=self.opening.workers,
            in_flight=self.dispatcher.credit.lanes,
            items=counts.settled,
            done=counts.settled - counts.bad,
            failed=counts.failed,
            timed_out=counts.timed_out,
            lost=counts.lost,
            cancelled=counts.cancelled,
            retries=counts.retries,
            startup_s=self.startup_s + self.opening.startup_s,
            makespan_s=seconds,
            throughput=counts.settled / seconds if seconds > 0 else 0.0,
            cpu_s=self.cpu_s,
            peak_bytes=self.account.peak_bytes or None,
            reasons=tuple(self.opening.reasons),
            blocked=self.blockings.places,
            saturation=self.blockings.saturation,
        )


def _dice() -> Callable[[], float]:
    """Return what throws the dice for the pauses between attempts."""
    import random  # noqa: PLC0415 - 3 ms, for jobs that retry

    return random.random
