"""How a run ends before its time, by Ctrl-C or SIGTERM: the one line that says what became of it.

Tested by `tests/flow/test_ending.py` and `tests/conformance/test_interrupts.py`.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType

from outpace.flow.dispatch import Dispatcher
from outpace.flow.show import fitting
from outpace.flow.signals import Recalled, Terminated

OURS = __file__.rpartition("flow")[0]  # where our files are
LAST = 1.0  # seconds that the end of the program waits for a run in a thread that is a daemon
HURRY = 0.25  # seconds that what is running has to unwind once somebody wants it to end at once


def tell(dispatcher: Dispatcher, running: int, error: BaseException) -> None:
    """Say in one line on stderr what became of a run that was interrupted."""
    if isinstance(error, Recalled):
        return
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
        # An instruction that the compiler has put in itself is on no line.
        line = one.tb_lineno or one.tb_frame.f_code.co_firstlineno
        made = TracebackType(made, one.tb_frame, one.tb_lasti, line)
    error.__context__ = None
    return error.with_traceback(made)
