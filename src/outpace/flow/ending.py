"""How a run ends before its time: Ctrl-C, SIGTERM, and the one line that says what became of it.

SIGTERM would end the process where it stands. While a run is on in the main thread, and nobody else
has claimed the signal, it unwinds instead as Ctrl-C does, so that setups are closed and nothing is
left, and the process exits with 143. Tested by `tests/conformance/test_interrupts.py`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from outpace.flow.dispatch import Dispatcher
from outpace.flow.show import fitting

OURS = __file__.rpartition("flow")[0]  # where our files are
HURRY = 0.25  # seconds that what is running has to unwind once somebody wants it to end at once


class Terminated(SystemExit):
    """Unwind because of SIGTERM: out of whatever item is running, and out of the run."""


class _Claim:
    """Be whether the signal is ours, and for how many runs."""

    runs = 0
    before: Any = None


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM unwind while the block lasts, where it would otherwise end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    import signal  # noqa: PLC0415 - it brings enum, and a run in a thread does not need it

    _Claim.runs += 1
    if _Claim.runs == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _Claim.before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        _Claim.runs -= 1
        if _Claim.runs == 0 and _Claim.before is not None:
            # A run that is dropped is closed by whichever thread drops it.
            with suppress(ValueError):
                if signal.getsignal(signal.SIGTERM) is _terminate:
                    signal.signal(signal.SIGTERM, _Claim.before)
            _Claim.before = None


def _terminate(number: int, _frame: object) -> None:
    """Unwind, to the exit code that a shell would give this signal."""
    raise Terminated(128 + number)


def tell(dispatcher: Dispatcher, running: int, error: BaseException) -> None:
    """Say in one line on stderr what became of a run that was interrupted."""
    what = "terminated" if isinstance(error, Terminated) else "interrupted"
    say(f"{what}: {fates(dispatcher, running)}")


def say(what: str) -> None:
    """Say something in one line on stderr."""
    with suppress(Exception):  # there may be no stderr, and this is no time to complain of it
        sys.stderr.write(fitting(f"outpace: {what}\n", sys.stderr))
        sys.stderr.flush()


def fates(dispatcher: Dispatcher, running: int) -> str:
    """Say how many items are done, failed, cut short (the `running` ones) and not started."""
    counts, total = dispatcher.counts, dispatcher.total
    parts = [f"{counts.settled - counts.bad} done", f"{counts.bad} failed"]
    parts += [f"{running} cut short"] if running else []
    left = None if total is None else max(0, total - counts.settled - running)
    return ", ".join([*parts, "the rest not started" if left is None else f"{left} not started"])


def without_ours(error: BaseException) -> BaseException:
    """Return an interruption with the user's own frames in its traceback: ours tell them nothing."""
    theirs = []
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(OURS):
            theirs.append(trace)
        trace = trace.tb_next
    made = None
    for one in reversed(theirs):
        made = TracebackType(made, one.tb_frame, one.tb_lasti, one.tb_lineno)
    error.__context__ = None
    return error.with_traceback(made)
