"""The thread between those who submit calls and the workers: their single user.

It drives the engine as `flow.run` does, with calls from a queue for items, and a future for each.

Guarantees, tested by `tests/test_executor.py` and by CPython's own tests: every future that was handed
out is settled, whatever becomes of the workers; nothing of a call is kept once its future is settled;
it holds no reference to the executor, so one that is dropped ends its manager; at the interpreter's
exit what was submitted is carried out first.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

from outpace.errors import OutpaceError
from outpace.flow.credit import IN_HAND, OneByOne
from outpace.flow.data import Settled
from outpace.flow.dispatch import Open, Pull, Settle, Start
from outpace.flow.engine import Cancel, Engine, Listen, Rest
from outpace.flow.job import Job, is_coroutine_function
from outpace.futures.calls import Submitted
from outpace.futures.failing import ExecutorBrokenError, cannot_travel, error_of
from outpace.futures.travel import ByValue, Customs
from outpace.registry import Opening

# Python 3.12 starts no thread once the main thread is through, though there is still work to be done.
# So there the first call waits until a lane has started; elsewhere nobody need wait for a setup.
THREADS_END_EARLY = sys.version_info[:2] == (3, 12)

Waiting = tuple["Future[Any]", Submitted]

_interpreter_ends = False
_managers: weakref.WeakSet[Manager] = weakref.WeakSet()


class Manager:
    """Be the single user of an executor's workers, in a thread of its own."""

    def __init__(self, job: Job, opening: Opening) -> None:
        """Start nothing yet: the first call that is submitted does."""
        self._hosted = opening.of.host is not None
        credit = None
        if job.chunk == 1:
            credit = OneByOne(opening.slots, in_hand=0 if self._hosted else IN_HAND)
        self.engine = Engine(job, opening, credit=credit)
        self._customs = Customs() if self._hosted else None
        self._inline = not self._hosted and opening.of.driver.inline
        self._together = job.chunk != 1
        self._thread: threading.Thread | None = None
        # Shared with those who submit. `RLock`, since a garbage collection may call `end` anywhere.
        self._lock = threading.RLock()
        self._inbox: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._opened = threading.Event()
        self._listening = False  # it would wait for reports though it could take more calls
        self._ending = self._terminated = False
        self._why_not: BaseException | None = None  # it takes no more calls: broken, or forked
        # The thread's own.
        self._ahead: deque[Waiting] = deque()  # taken from the inbox, not from us yet
        self._running: dict[int, Future[Any]] = {}
        self._awaited = False
        self._exit_error: BaseException | None = None

    # For any thread.

    def submit(self, call: Submitted) -> Future[Any]:
        """Take a call; return its future. Raises `RuntimeError` once no more are taken."""
        future: Future[Any] = Future()
        with self._lock:
            self._refuse()
            first = self._thread is None
            if first:
                self._begin((future, call))
            else:
                self._inbox.put((future, call))
            if self._listening:
                self._listening = False
                self.engine.wake()
        if first and THREADS_END_EARLY and not self._hosted:
            self._opened.wait()
        return future

    def end(self, *, cancel: bool = False, awaited: bool = False) -> None:
        """Take no more calls; carry out what was submitted, or cancel what has not begun.

        `awaited` says that somebody is about to `join`.
        """
        if self._why_not is not None or self.engine.over:
            return
        dropped: list[Waiting | None] = []
        with self._lock:
            self._ending = True
            self._awaited = self._awaited or awaited
            if cancel:
                with contextlib.suppress(queue.Empty):
                    while True:
                        dropped.append(self._inbox.get_nowait())
            self._inbox.put(None)
            self._listening = False
            self.engine.wake()
        for waiting in dropped:  # not under the lock: it calls what is the user's
            if waiting is not None and waiting[0].cancel():
                waiting[0].set_running_or_notify_cancel()

    def terminate(self) -> None:
        """Take no more calls, and give up those that are not settled."""
        self._terminated = self.engine.abandoned = True
        self.end(cancel=True)

    def join(self) -> None:
        """Wait until everything is done and closed; raise the error of a setup's exit."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            error, self._exit_error = self._exit_error, None
            if error is not None:
                raise error

    def forked(self) -> None:
        """Learn that this is a copy in a child process, where no thread of ours runs."""
        self._why_not = RuntimeError(
            "this executor belongs to the process that this one was forked from; make one here"
        )
        self._lock = threading.RLock()

    @property
    def takes_calls(self) -> bool:
        """Say whether `submit` would take a call now."""
        return self._why_not is None and not (self._ending or _interpreter_ends)

    def _refuse(self) -> None:
        """Raise unless calls are taken."""
        why = self._why_not
        if isinstance(why, ExecutorBrokenError):
            raise ExecutorBrokenError(*why.args) from why.__cause__
        if why is not None:
            raise RuntimeError(*why.args)
        if self._ending or _interpreter_ends:
            when = "shutdown" if self._ending else "interpreter shutdown"
            raise RuntimeError(f"cannot schedule new futures after {when}")

    def _begin(self, first: Waiting) -> None:
        """Start the thread, with a call that has thereby begun: `end` does not cancel it any more."""
        thread = threading.Thread(target=self._manage, name="outpace-executor")
        self._ahead.append(first)
        try:
            thread.start()
        except BaseException:
            self._ahead.clear()
            raise
        self._thread = thread
        _managers.add(self)

    # The thread.

    def _manage(self) -> None:
        """Carry out calls until no more come; settle every future, whatever happens."""
        try:
            self._carry_out()
            if self._terminated:
                self._break(OutpaceError("its workers were terminated"))
        except BaseException as error:  # noqa: BLE001 - it is that of every call there is
            self._break(error)
        finally:
            self._opened.set()
            self._close()

    def _carry_out(self) -> None:
        """Do what the engine wants done, one step after another."""
        engine = self.engine
        for step in engine.steps():
            match step:
                case Pull(room):
                    self._admit(room)
                case Open():
                    before = engine.begin()
                    engine.opened(engine.opening.open(engine.job.call), before)
                    self._opened.set()
                case Start(chunk):
                    assert engine.workers is not None
                    engine.workers.start(chunk)
                case Settle(settled, positions):
                    self._settle(settled, positions)
                case Cancel(worker, index):
                    assert engine.workers is not None
                    engine.workers.cancel(worker, index)
                case Listen(patience):
                    self._listen(patience)
                case Rest(pause):
                    self._await_call(pause)

    def _listen(self, patience: float | None) -> None:
        """Wait for reports and, if there is room, for calls."""
        workers = self.engine.workers
        assert workers is not None
        if self.engine.lacking:
            self._listening = True
            # Whoever submits puts first and looks at `_listening` then; here it is the other way round.
            if self._ahead or not self._inbox.empty() or self._ending:
                self._listening = False
                return
        self.engine.told(workers.reports(patience))
        self._listening = False

    def _await_call(self, pause: float | None) -> None:
        """Wait for a call, or for the end; nothing is in flight."""
        workers = self.engine.workers
        if workers is not None and not self._inline:
            self._listen(pause)
            return
        with contextlib.suppress(queue.Empty):
            if (waiting := self._inbox.get(timeout=pause)) is not None:
                self._ahead.append(waiting)

    def _admit(self, room: int) -> None:
        """Give the dispatcher up to that many calls, without those that were cancelled."""
        calls: list[Submitted | ByValue] = []
        engine = self.engine
        first = engine.dispatcher.counts.pulled
        awaited = False
        while len(calls) < room and (waiting := self._next()) is not None:
            future, call = waiting
            if self._together and calls and is_coroutine_function(call[0]) != awaited:
                # A lane knows what to await by the first and the last.
                self._ahead.appendleft(waiting)
                break
            if not future.set_running_or_notify_cancel():
                continue
            awaited = self._together and is_coroutine_function(call[0])
            try:
                item = call if self._customs is None else self._customs.portable(call)
            except Exception as error:  # noqa: BLE001 - pickling runs the user's code
                future.set_exception(cannot_travel(call, error))
                continue
            self._running[first + len(calls)] = future
            calls.append(item)
        with self._lock:
            is_all = self._ending and not self._ahead and self._inbox.empty()
        if is_all:
            engine.dispatcher.exhaust()
        engine.lacking = len(calls) < room and not is_all
        engine.dispatcher.admit(calls, engine.clock())

    def _next(self) -> Waiting | None:
        """Return the next call that was submitted, if there is one."""
        if self._ahead:
            return self._ahead.popleft()
        with contextlib.suppress(queue.Empty):
            while True:
                if (waiting := self._inbox.get_nowait()) is not None:
                    return waiting
        return None

    def _settle(self, settled: Settled, positions: Sequence[int]) -> None:
        """Settle the futures of calls that have ended, and forget all else about these."""
        report = settled.report
        for position in positions:
            future = self._running.pop(report.indexes[position])
            failure = report.failures.get(position)
            with contextlib.suppress(InvalidStateError):  # somebody else has settled it: theirs
                if failure is None:
                    future.set_result(report.values[position])
                else:
                    future.set_exception(error_of(failure))
        # A lane of this process has the same report, and may keep it until its next call.
        report.values.clear()
        report.failures.clear()
        if isinstance(settled.items, list):
            settled.items.clear()

    def _break(self, error: BaseException) -> None:
        """Give every call that is not settled the error that has ended the workers."""
        broken = ExecutorBrokenError(f"the executor has no workers any more: {error}")
        broken.__cause__ = error
        with self._lock:
            self._why_not = broken
            left = [*self._running.values()]
            while (waiting := self._next()) is not None:
                if waiting[0].set_running_or_notify_cancel():
                    left.append(waiting[0])
        self._running.clear()
        for future in left:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(broken)

    def _close(self) -> None:
        """Close the workers."""
        workers = self.engine.workers
        if workers is None:
            return
        if self._terminated:
            self.engine.hurry()
        try:
            workers.close()
        except BaseException as error:
            if not self._awaited:
                raise  # nobody would hear of it: `threading.excepthook` tells
            self._exit_error = error  # `join` raises it
        finally:
            self.engine.closed()


def _at_exit() -> None:
    """Have every manager carry out what it has; the interpreter then waits for their threads."""
    global _interpreter_ends  # noqa: PLW0603 - it is one interpreter's, as the flag of the standard pools
    _interpreter_ends = True
    for manager in list(_managers):
        manager.end()


def _after_fork() -> None:
    """Tell the copies of all managers that they are copies."""
    for manager in list(_managers):
        manager.forked()
    _managers.clear()


# What the standard pools use: it comes before the interpreter waits for threads that are no daemons.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # noqa: SLF001
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
