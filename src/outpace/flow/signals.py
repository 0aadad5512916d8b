"""Ctrl-C and SIGTERM while a run is on: raised where that does no harm, held back where it would.

Python runs the handler of a signal between any two steps of Python code: between the arrival of bytes
and the note that they have arrived, say. What it raises there would leave a frame torn in two, and the
closing that follows would read the rest of it as the next one. So while a run is on in the main thread
both signals are ours, and what is done about them depends on where they arrive, by the functions that
are being called, the innermost first:

* in one that is `undisturbed`, the signal is noted, and its handler runs when that function is through;
* in one that is `interruptible`, though an undisturbed one has called it (it waits, or it calls code
  of the user's), or in none of either: its handler runs at once.

The handler is whatever it was: Python's own, which raises KeyboardInterrupt, or the user's. Where a
SIGTERM would end the process on the spot, it unwinds instead as Ctrl-C does, so that setups are closed
and nothing is left, and the process exits with 143. Nothing of this costs anything until a signal comes.
Tested by `tests/flow/test_signals.py` and `tests/conformance/test_interrupts.py`.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import Any, ParamSpec, TypeVar

from outpace.flow.forks import in_a_fork

P = ParamSpec("P")
R = TypeVar("R")


class Terminated(SystemExit):
    """The unwinding because of SIGTERM: out of whatever item is running, and out of the run."""


class Recalled(Terminated):
    """The unwinding of a worker that its caller ends, who says himself what became of the items."""


class _Claim:
    """Whose the signals were, and what has become of those that arrived."""

    def __init__(self) -> None:
        """Have claimed nothing."""
        self.runs: set[object] = set()
        self.before: dict[int, Any] = {}  # kept: whoever has put our handler away may put it back
        self.noted: list[int] = []
        self.raised: type[BaseException] | None = None  # the last, until a run has gone on


_claim = _Claim()
_held: dict[int, bool] = {}  # by the identity of a function's code: whether signals wait there


def undisturbed(fn: Callable[P, R]) -> Callable[P, R]:
    """Have signals wait while a function runs; what they raise comes out at its end."""
    _held[id(_code(fn))] = True

    @functools.wraps(fn)
    def through(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        finally:
            if _claim.noted:
                _deliver()

    return through


def interruptible(fn: Callable[P, R]) -> Callable[P, R]:
    """Have signals raise in a function at once, whoever has called it, also those noted before."""

    @functools.wraps(fn)
    def at_once(*args: P.args, **kwargs: P.kwargs) -> R:
        if _claim.noted:  # else the function might wait, and nobody would hear of them
            _deliver()
        return fn(*args, **kwargs)

    _held[id(_code(at_once))] = False
    return at_once


def _code(fn: Any) -> CodeType:
    """Return the code of a function."""
    return fn.__code__  # type: ignore[no-any-return]


@contextmanager
def claimed() -> Iterator[None]:
    """Have both signals be ours while the block lasts; only the main thread ever runs handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import signal  # noqa: PLC0415 - a run in a thread does not need it

    run = object()
    _claim.runs.add(run)
    if len(_claim.runs) == 1:
        going_on()
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            unclaimed = handler is signal.SIG_DFL and number == signal.SIGTERM
            if handler is not _arrived and (unclaimed or callable(handler)):
                _claim.before[number] = handler
                signal.signal(number, _arrived)
    try:
        yield
    finally:
        _claim.runs.discard(run)
        if not _claim.runs:
            _give_back()
            _deliver()  # one of two that came at once: the other has ended the run


def interrupted() -> BaseException | None:
    """Return what a signal has raised and no run has outlived, or one like it; None without one."""
    return None if _claim.raised is None else _claim.raised()


def send_again(error: BaseException) -> None:
    """Have the signal that has raised this come again once what calls this now has returned.

    For what Python calls by itself, to take something down: it prints what is raised there, and goes on.
    """
    import signal  # noqa: PLC0415

    if isinstance(error, Terminated) and type(error) not in (Terminated, Recalled):
        return  # it came of no SIGTERM: the end of a race's time, which insists by itself
    number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
    caller = sys._getframe(1)  # noqa: SLF001 - what everybody uses
    caller = caller.f_back or caller  # the generator that is closed, or the finalizer
    with suppress(RuntimeError):  # the program ends, and no thread can start any more
        threading.Thread(target=_send, args=(number, caller), daemon=True).start()


def _send(number: int, after: FrameType) -> None:
    """Send this process a signal, once the main thread is out of a call."""
    main = threading.main_thread().ident
    assert main is not None
    frame: FrameType | None = after
    while frame is not None and main in (frames := sys._current_frames()):  # noqa: SLF001 - documented
        time.sleep(0.001)
        frame = frames[main]
        while frame is not None and frame is not after:
            frame = frame.f_back
    del after, frame
    os.kill(os.getpid(), number)


def going_on() -> None:
    """Note that a run goes on: whatever a signal has raised, somebody has caught it."""
    _claim.raised = None


def _arrived(number: int, frame: FrameType | None) -> None:
    """Deal with a signal."""
    if waits_in(frame):
        if number not in _claim.noted:  # many at once are one, as ever
            _claim.noted.append(number)
    elif (error := _raised(number, frame)) is not None:
        raise error


def waits_in(frame: FrameType | None) -> bool:
    """Say whether signals are to wait in a frame, by the innermost function that says anything."""
    while frame is not None:
        if (held := _held.get(id(frame.f_code))) is not None:
            return held
        frame = frame.f_back
    return False


def _deliver() -> None:
    """Run the handlers of what was noted, unless whoever called is undisturbed, too."""
    frame = sys._getframe(1)  # noqa: SLF001 - what everybody uses
    if threading.current_thread() is threading.main_thread() and not waits_in(frame):
        while _claim.noted:
            if (error := _raised(_claim.noted.pop(0), frame)) is not None:
                raise error


def _raised(number: int, frame: FrameType | None) -> BaseException | None:
    """Return what a signal raises; call a handler of the user's, which raises what it likes."""
    from signal import default_int_handler  # noqa: PLC0415

    handler = _claim.before[number]
    if handler is default_int_handler:  # not called, so that no more frames of ours are shown
        _claim.raised = KeyboardInterrupt
        return KeyboardInterrupt()
    if not callable(handler):
        _claim.raised = Terminated
        return Terminated(128 + number)
    handler(number, frame)
    return None


def set_handler(number: int, handler: Any) -> None:
    """Set what a signal does, where that may be what it does by itself.

    Python loses one that comes just then, and prints a traceback ("ignored due to race condition"). So
    it has to wait meanwhile; it can't be kept from a thread of somebody else's, who may get it, too.
    """
    import signal  # noqa: PLC0415

    if not hasattr(signal, "pthread_sigmask"):  # pragma: no cover - Windows
        signal.signal(number, handler)
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})  # may raise what has come before
        signal.signal(number, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _give_back() -> None:
    """Let the signals be whose they were, where they still are ours."""
    import signal  # noqa: PLC0415

    # A run that is dropped is closed by whichever thread drops it, and that may not.
    with suppress(ValueError):
        for number, handler in _claim.before.items():
            if signal.getsignal(number) is _arrived:
                set_handler(number, handler)


def _let_go(claim: _Claim) -> None:
    """Give the signals back in a fork, where no run goes on."""
    claim.noted.clear()
    claim.runs.clear()
    if claim.before:
        _give_back()


in_a_fork(_claim, _let_go)
