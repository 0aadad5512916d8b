"""The end of a trial's time: gently between two items, and then in the middle of one.

Serial and asyncio work in the caller's own thread, and an item that does not end would keep the race for
good. So when time is up and asking was not enough, the main thread is sent a signal whose handler raises
`OutOfTime`, which unwinds out of the item as SIGTERM would: it ends a sleep, a wait for a lock or a
socket, and a loop in Python. Native code that does not return can't be ended so.

The signal is SIGURG, for the reasons that Go's runtime has for it: nobody uses it, its default is to be
ignored, and it says nothing when it comes without cause. Tested by `tests/racing/test_time_limit.py`.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from outpace.flow.engine import Engine
from outpace.flow.signals import Terminated, waits_in

SIGNAL = getattr(signal, "SIGURG", None)  # Windows has none, and no way to send it to a thread
GENTLE_S = 0.5  # seconds that what works in this process has to end when it is asked to
WORKERS_END_S = 15.0  # and workers elsewhere, who are made to end, and some of whom close a setup
INSIST_EVERY_S = 1.0  # seconds until who swallowed it is told once more

clock = time.perf_counter


class OutOfTime(Terminated):
    """The end of a trial's time, which unwinds out of whatever item is running."""


def _can_break_in() -> bool:
    """Say whether an item in this thread can be ended: in the main one, with the signal free."""
    return (
        threading.current_thread() is threading.main_thread()
        and SIGNAL is not None
        and signal.getsignal(SIGNAL) in (signal.SIG_DFL, signal.SIG_IGN)
    )


class TimeLimit:
    """The time that one run has. `inside` is the item that ran longest at its end, and how long."""

    def __init__(self, engine: Engine, seconds: float, *, hosted: bool, inline: bool) -> None:
        """Let the time begin."""
        self.inside: tuple[int, float] | None = None
        self.ended: float | None = None
        self._engine, self._seconds = engine, seconds
        self._hosted, self._inline = hosted, inline
        self._closed = False
        self._over = threading.Event()
        self._before: Any = None
        if SIGNAL is not None and _can_break_in():
            self._before = signal.signal(SIGNAL, self._raise)
        self._watch = threading.Thread(target=self._wait, name="outpace-limit", daemon=True)
        self._watch.start()

    @property
    def breaks_in(self) -> bool:
        """Say whether an item that does not end will be broken into."""
        return self._before is not None

    def look(self) -> None:
        """Note when this is and which item has been running longest, unless that is known."""
        if self.ended is None:
            self.ended = now = clock()
            with suppress(Exception):  # of workers that are closing, perhaps
                running = ((now - since, index) for _, index, since in self._engine.running())
                seconds, index = max(running, default=(0.0, None))
                self.inside = None if index is None else (index, seconds)

    def close(self) -> None:
        """Let nothing be raised from here on. May be called twice."""
        self._closed = True
        self._over.set()
        if threading.current_thread() is not self._watch:
            self._watch.join()
        if SIGNAL is not None and self._before is not None:
            signal.signal(SIGNAL, self._before)
            self._before = None

    def _wait(self) -> None:
        """Wait until time is up or it is over; then ask, and then insist."""
        if self._over.wait(self._seconds):
            return
        self.look()
        self._engine.abandon()
        if not (self._hosted or self._inline):
            self._engine.hurry()  # or closing would wait for the items that are running
        apart = self._hosted and self._engine.workers is not None
        patience = WORKERS_END_S if apart else GENTLE_S
        while not self._over.wait(patience):
            if self._before is not None and SIGNAL is not None:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            patience = INSIST_EVERY_S

    def _raise(self, _number: int, frame: FrameType | None) -> None:
        """Unwind out of what the main thread is on, unless that is not to be disturbed."""
        if not (self._closed or waits_in(frame)) and self._engine.abandoned:
            raise OutOfTime("the time of a trial is up")
