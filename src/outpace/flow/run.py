"""A run for who waits: what the engine wants done is done by whoever iterates over it.

That is only while they wait for the next value: a slow consumer therefore stops the reading of inputs,
and leaving the `for` stops the work.

Guarantees: the workers are closed when the iteration ends in any way; an error of the items iterable is
raised after everything before it has come out; a `Run` is used once; Ctrl-C and SIGTERM end it within a
second, whatever the workers do, and say in a line what became of it. Tested by `tests/flow/test_run.py`
and, over every model, by `tests/conformance`.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, TypeVar

from outpace.errors import OutpaceError, UsageError
from outpace.flow.data import Settled, Summary
from outpace.flow.dispatch import Open, Pull, Settle, Start
from outpace.flow.ending import LAST, without_ours
from outpace.flow.engine import Cancel, Engine, Listen, Rest
from outpace.flow.face import FEEDS, Face, take_for
from outpace.flow.order import Release
from outpace.flow.protocol import Workers
from outpace.flow.show import said
from outpace.flow.signals import (
    Terminated,
    claimed,
    going_on,
    interrupted,
    send_again,
    undisturbed,
)
from outpace.flow.source import open_source

T = TypeVar("T")

LEFT = (
    "this run was closed when the loop over it was left; to take some values now and some later, "
    "use {next}"
)
USED_UP = (
    "this run has been used up: its values come once; call outpace.{call} again, or keep them: "
    "{keep}"
)
INSIDE = (
    "this run is asked for a value by its own items, or by what it calls for them, and there is none "
    "before they are through; take the values outside"
)
CLOSED = "this run is closed; call outpace.{call} again"


class Run(Face, Generic[T]):
    """Iterate over the values (or outcomes) of a job, working only while somebody asks.

    Use it once: in a `for`, with `next`, or in a `with` block. `close`, the end of the `with` block
    and leaving the `for` stop the work and leave nothing running; `stop` lets what is in flight end.
    Several threads may iterate over one run: each value goes to one of them.
    """

    def __init__(
        self, engine: Engine, view: Callable[[Settled, Sequence[int]], Iterator[T]]
    ) -> None:
        """Start nothing yet: the first value asked for does."""
        take_for(engine)
        self._engine = engine
        self._view = view
        self._releases = releases(engine)
        # Whoever works here has it. Not a `Lock`: an item may close the run that it is in.
        self._lock = threading.RLock()
        self._error: BaseException | None = None  # to be raised once what is before it was taken
        self._failed = ""  # what was raised
        self._over = ""  # why no loop over it can begin any more
        # A run that is dropped half-way, or alive at exit, still leaves nothing behind.
        self._finalizer = weakref.finalize(self, _dropped, engine, self._releases, self._lock)

    @property
    def model(self) -> str:
        """Name the model that the work runs under."""
        return self._engine.opening.model

    @property
    def summary(self) -> Summary:
        """Say what is known so far: counts, times, throughput, and why this model."""
        return self._engine.summary()

    @property
    def timeline(self) -> Any:
        """Return what ran when, as far as it has come: a `Timeline`, to look at and to save.

        Raises `UsageError` where nothing is recorded.
        """
        return self._engine.timeline

    def __iter__(self) -> Iterator[T]:
        """Yield the values, as they are settled; leaving the loop closes the run.

        Raises `UsageError` when a loop over it has ended or been left already, or the run is closed.
        """
        if self._engine.feeds:
            raise UsageError(FEEDS.format("; take the values there"))
        return self.values()

    def values(self) -> Iterator[T]:
        """Yield the values, also of a run that is the items of another: for that one."""
        if self._over:
            how = {"next": "next(run) in a `with` block", "call": "map", "keep": "list(run)"}
            raise UsageError(self._over.format_map(how))
        return self._until_left()

    def _until_left(self) -> Iterator[T]:
        """Yield the values; close the run when nobody wants any more."""
        take, over = self._engine.ready.popleft, USED_UP
        try:
            while True:
                try:
                    while True:
                        yield take()
                except IndexError:
                    pass
                if not self._more():
                    break
            if self._failed:
                msg = f"this run has ended with an error that was raised elsewhere: {self._failed}"
                raise OutpaceError(msg)
        except GeneratorExit:
            over = LEFT
            raise
        except (KeyboardInterrupt, Terminated) as error:
            raise self._told(error) from None
        finally:
            self._over = over
            if over is LEFT:
                self._close_left()
            else:
                self.close()

    def _close_left(self) -> None:
        """Close the run of a loop that was left; what a signal raises meanwhile is raised after that.

        Python is taking the loop down, and would print that, and go on.
        """
        try:
            self.close()
        except (KeyboardInterrupt, Terminated) as error:
            send_again(error)

    def __next__(self) -> T:
        """Return the next value."""
        while True:
            try:
                return self._engine.ready.popleft()  # type: ignore[no-any-return]
            except IndexError:
                pass
            try:
                if not self._more():
                    raise StopIteration
            except (KeyboardInterrupt, Terminated) as error:
                raise self._told(error) from None

    def _more(self) -> bool:
        """Carry the job on until there are values; say whether there are. One thread at a time."""
        engine = self._engine
        engine.refuse_forks()
        going_on()
        try:
            with self._lock:
                if not engine.ready:
                    self._advance()
                return bool(engine.ready)
        except BaseException as error:
            self._failed = said(error)
            raise
        finally:
            engine.refuse_forks()  # an item may have forked
            if engine.abandoned:
                self._end_unless_busy()

    def _advance(self) -> None:
        """Carry the job on until there are values, or nothing left to do; raise an error in its turn."""
        if self._releases.gi_running:  # type: ignore[attr-defined] # by this thread: it has the lock
            raise UsageError(INSIDE)
        error = self._error or self._until_ready()
        if error is not None and not self._engine.ready:
            self._error = None
            raise error

    def _until_ready(self) -> BaseException | None:
        """Carry the job on until there are values; return an error that is to follow them, if any."""
        for release in self._releases:
            self._take_in(release)
            if self._error is not None:
                self._releases.close()
                break
            if self._engine.ready:
                break
        return self._error

    @undisturbed
    def _take_in(self, release: Release) -> None:
        """Keep what the user asked to see, up to the first error that is to be raised."""
        try:
            self._engine.ready.extend(self._view(*release))
        except BaseException as error:  # noqa: BLE001 - an item's, which may have raised anything
            self._error = error

    def _told(self, error: BaseException) -> BaseException:
        """Say what became of a run that was interrupted, in one line; return what to raise."""
        self._cut_short(error)
        return without_ours(error)

    def _cut_short(self, error: BaseException) -> None:
        """End a run that was interrupted, without waiting for what is running, and say so."""
        going_on()
        try:
            if self._engine.is_on:
                self._engine.hurry()
            self.close()
        finally:
            self._engine.tell(error)

    def __enter__(self) -> Run[T]:
        """Return itself."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Close it."""
        if isinstance(error, KeyboardInterrupt | Terminated) and self._engine.is_on:
            self._cut_short(error)
        self.close()

    def stop(self) -> None:
        """Start no more items; those in flight end and come out. Any thread may call this."""
        self._engine.stop()

    def close(self) -> None:
        """Stop everything now and leave nothing running. May be called twice.

        While another thread waits for a value, that thread is the one that closes: its iteration ends.
        """
        engine = self._engine
        self._over = self._over or CLOSED
        if engine.parent:
            return
        engine.abandoned = True
        if not self._end_unless_busy():
            engine.wake()

    def _end_unless_busy(self) -> bool:
        """End everything, unless somebody is at work here, who will: he looks at `abandoned`."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._releases.gi_running:  # type: ignore[attr-defined] # an item closes it, say
                return False
            self._engine.ready.clear()
            if self._finalizer.detach() is not None:
                _end(self._engine, self._releases, self._lock)
        finally:
            self._lock.release()
        return True


def releases(engine: Engine) -> Generator[Release, None, None]:
    """Carry the job out; yield what is finished, in the order it is wanted."""
    with claimed():
        try:
            yield from _carried_out(engine)
        except (KeyboardInterrupt, Terminated):
            engine.hurry()
            raise
        finally:
            _close(engine)


def _carried_out(engine: Engine) -> Iterator[Release]:
    """Do what the engine wants done, one step after another."""
    engine.source = source = open_source(engine)
    for step in engine.steps():
        match step:
            case Pull(room):
                source.pull(room)
            case Open():
                _open(engine)
            case Start(chunk):
                _workers(engine).start(chunk)
            case Settle(settled, positions):
                yield settled, positions
            case Cancel(worker, index):
                _workers(engine).cancel(worker, index)
            case Listen(patience):
                engine.told(_workers(engine).reports(patience))
            case Rest(pause):
                engine.rest(pause)


def _open(engine: Engine) -> None:
    """Open the workers."""
    before = engine.begin()
    # At once: what is interrupted after it is to find them, and close them.
    engine.workers = engine.opening.open(engine.job.call)
    engine.opened(engine.workers, before)


def _workers(engine: Engine) -> Workers:
    """Return the workers, which are open."""
    assert engine.workers is not None
    return engine.workers


def _close(engine: Engine) -> None:
    """Close the workers, if there are any and they are ours."""
    if engine.parent:
        return
    workers, source = engine.workers, engine.source
    in_a_hurry = isinstance(sys.exc_info()[1], KeyboardInterrupt | Terminated)
    try:
        if source is not None:
            source.end(hurry=in_a_hurry)
        try:
            if workers is not None:
                if in_a_hurry:
                    engine.hurry()  # again: a second one may have come before the first was heeded
                workers.close()
        finally:
            if source is not None:
                interrupted_now = isinstance(sys.exc_info()[1], KeyboardInterrupt | Terminated)
                source.close(hurry=in_a_hurry or interrupted_now)
                engine.source = None  # which knows the engine
    except (KeyboardInterrupt, Terminated):  # enough: closing again waits for nobody
        engine.hurry()
        raise
    finally:
        engine.closed()


Work = Generator[Release, None, None]


def _dropped(engine: Engine, work: Work, lock: threading.RLock) -> None:
    """End a run that nobody has any more, or that the program leaves behind.

    There is nobody to raise an interruption to: Python would print it with frames of ours.
    """
    try:
        _end(engine, work, lock)
    except (KeyboardInterrupt, Terminated) as error:
        engine.tell(error)
        send_again(error)


def _end(engine: Engine, work: Work, lock: threading.RLock) -> None:
    """End a run; in a hurry, and saying so, when that is because of a signal.

    It may be at work in a thread that is a daemon; then that one ends it, if it can in a moment.
    """
    engine.abandoned = True
    if engine.parent:  # it was forked: whoever has the lock is not here
        lock = threading.RLock()
    if not lock.acquire(blocking=False):
        engine.hurry()
        engine.wake()
        if not lock.acquire(timeout=LAST):
            return
    try:
        if work.gi_running:  # type: ignore[attr-defined] # it is of a generator function
            return
        # Raised by a signal outside of the run, in the code that takes its values, and on its way.
        error = interrupted() if engine.is_on else None
        if error is None:
            work.close()
            return
        engine.hurry()
        try:
            work.close()
        finally:
            engine.tell(error)
    finally:
        lock.release()
