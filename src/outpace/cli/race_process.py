"""A race in a process of its own, so that somebody is left to say what became of it.

Serial has to run where the race is, in its main thread: in a worker it would be something else than the
loop that the others are compared with. So an item that calls `os._exit`, or native code that crashes or
never returns, takes the race along. Then the process that the user has started says where it was, by
what the race has written into memory that both have (`RaceNote`), and exits with 1.

The race is a fork of a process that has done nothing yet and has one thread. Where forking is not safe
(macOS, Windows) the race runs in the one process that there is.
Tested by `tests/cli/test_race_process.py`.
"""

from __future__ import annotations

import atexit
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from outpace.cli.output import complain
from outpace.flow.board import Board, Shape
from outpace.flow.signals import set_handler
from outpace.hosts.crash.exits import describe_exit

ONE_LANE = Shape(1, 0)
WORDS_SIZE = 64  # bytes for the words that say how far it is
HEAD_SIZE = 24
FORKS = hasattr(os, "fork") and sys.platform != "darwin"
TELL_S = 0.2  # seconds in which who has been told by the terminal says so
END_S = 15.0  # and seconds for it to end, and to write what there is
LATE_S = 30.0  # seconds over the budget: more than anything takes that can be interrupted

clock = time.perf_counter  # the same for all processes, where they can fork


class RaceNote:
    """What the race writes, and the other process reads: how far it is, and when it has to be over."""

    def __init__(self) -> None:
        """Say nothing yet."""
        self._memory = mmap.mmap(-1, HEAD_SIZE + WORDS_SIZE + ONE_LANE.size)
        view = memoryview(self._memory)
        self._counts, self._until = view[:16].cast("q"), view[16:HEAD_SIZE].cast("d")
        self._where = view[HEAD_SIZE : HEAD_SIZE + WORDS_SIZE]
        self.board = Board(ONE_LANE, view[HEAD_SIZE + WORDS_SIZE :])
        self._until[0] = float("inf")

    def write(self, where: str, budget: float | None = None) -> None:
        """Say how far it is; with a budget, that it begins to be spent now, unless it has begun."""
        self._where[:] = where.encode("ascii", "replace")[:WORDS_SIZE].ljust(WORDS_SIZE)
        if budget is None:
            self._until[0] = float("inf")
        elif self._until[0] == float("inf"):
            self._until[0] = clock() + budget + LATE_S

    def end(self, pid: int) -> None:
        """Say that the process is about to end by itself; a fork that an item has made says nothing."""
        if os.getpid() == pid:
            self._counts[1] = 1

    def interrupted(self, *_: object) -> None:
        """Say that there was a Ctrl-C, and let it be one."""
        self._counts[0] += 1
        raise KeyboardInterrupt

    @property
    def interrupts(self) -> int:
        """Return how many times there was a Ctrl-C."""
        return self._counts[0]

    @property
    def has_ended(self) -> bool:
        """Say whether the process was about to end by itself."""
        return bool(self._counts[1])

    @property
    def overdue_s(self) -> float:
        """Return for how many seconds it should have been over; less than 0 before."""
        return clock() - self._until[0]

    def place(self, shown: Callable[[int], str]) -> str:
        """Say where it was: in which round, which model, and, of serial, on which item."""
        words = bytes(self._where).decode().split("  ")
        found = next(self.board.running(), None)
        item = f" on item {found[0]}{shown(found[0])}" if found is not None else ""
        return f" in {words[0]}, with {words[1]}{item}" if len(words) > 1 else ""


def in_own_process(work: Callable[[RaceNote | None], int], shown: Callable[[int], str]) -> int:
    """Do the work in a process of its own; return its exit code, or 1 when it did not get so far.

    `shown` is how an item is shown, by its index.
    """
    if not FORKS or threading.active_count() > 1:
        return work(None)
    note = RaceNote()
    ours, theirs = os.pipe()  # it is closed when this process is gone
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    if pid := os.fork():
        os.close(ours)
        try:
            return _RaceParent(pid, note).wait(shown)
        finally:
            os.close(theirs)
    os.close(theirs)
    atexit.register(note.end, os.getpid())
    threading.Thread(target=_follow, args=(ours,), name="outpace-parent", daemon=True).start()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, note.interrupted)
    return work(note)


def _follow(pipe: int) -> None:
    """End this process when the one that has started it is gone."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


class _RaceParent:
    """The process that the user has started, while it waits for the one with the race."""

    def __init__(self, pid: int, note: RaceNote) -> None:
        """Pass on no signal yet."""
        self._pid, self._note = pid, note
        self._told: int | None = None  # the signal that we were told to end by
        self._until = float("inf")  # when it has to be over by then
        self._interrupts = 0
        self._gave_up = False
        self._ended = False

    def wait(self, shown: Callable[[int], str]) -> int:
        """Wait for it to end, passing signals on; say where it was if it did not end by itself."""
        handlers: dict[int, Callable[..., Any]] = {
            signal.SIGINT: self._interrupt,
            signal.SIGTERM: self._terminate,
            signal.SIGALRM: self._look,
        }
        before = {number: signal.getsignal(number) for number in handlers}
        for number, handler in handlers.items():
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        try:
            # From here on it is no stranger.
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        finally:
            self._ended = True
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number in handlers:
                set_handler(number, before[number])
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if self._note.has_ended and code >= 0:
            return code
        self._say_how(code, self._note.place(shown))
        return 1 if self._told is None else 128 + self._told

    def _say_how(self, code: int, where: str) -> None:
        """Say how the race ended that did not end by itself."""
        if sys.stderr is not None and sys.stderr.isatty():
            with suppress(OSError):
                sys.stderr.write("\r\x1b[K")  # the line that said how far it was
        if self._told is not None:
            if code == -signal.SIGKILL:  # or it has said so itself
                complain("interrupted" if self._told == signal.SIGINT else "terminated")
        elif self._gave_up:
            complain(
                f"the race was given up long after its budget was spent{where}: in native code"
            )
        else:
            complain(
                f"the process of the race {describe_exit(code)}{where}; a plain loop would end so, too, "
                "where worker processes lose that item and go on"
            )

    def _tell(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if not self._ended:
            os.kill(self._pid, number)

    def _interrupt(self, *_: object) -> None:
        """Pass a Ctrl-C on, unless the terminal has told it too; the third time, wait no longer."""
        self._interrupts += 1
        time.sleep(TELL_S)
        if self._interrupts > 2:
            self._tell(signal.SIGKILL)
        elif self._note.interrupts < self._interrupts:
            self._tell(signal.SIGINT)
        self._end(signal.SIGINT)

    def _terminate(self, *_: object) -> None:
        """Pass SIGTERM on."""
        self._tell(signal.SIGTERM)
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        """Note that it has been told to end."""
        if self._told is None:
            self._told, self._until = number, clock() + END_S

    def _look(self, *_: object) -> None:
        """Kill it when it should long have been over."""
        if self._told is None and self._note.overdue_s > 0:
            self._gave_up = True
        if self._gave_up or clock() > self._until:
            self._tell(signal.SIGKILL)
