"""See what blocks an event loop, from a thread beside it that hardly ever looks.

The board says which item has the loop and since when (`flow.board`). Nobody looks closer before a
step has lasted `LONG` seconds; then, every `AGAIN` seconds, where the loop's thread is in the user's
code. Native code that keeps the GIL keeps this thread out too; but what it is let in by is that very
call returning, so even then the line is the right one. A step that ends (`ended`) says how long it
really was and how much of that was computing; so a loop full of short steps accuses nobody.

What is on the loop and is no item's step (a task that an item has started) is on no board. Where the
loop is ours, and it is seen there, a callback is put in line, and if that is not called for `LONG`
seconds while one and the same call goes on, it is that which blocks.

Works with any loop, since it asks the loop nothing but that. Tested by `tests/drivers/test_watch.py`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import CodeType
from typing import Any

from outpace.drivers._where import Site, advice, locate, stack_of
from outpace.flow.board import Board
from outpace.flow.forks import free_in_forks
from outpace.flow.trace import LONG, How, Sighting
from outpace.record.sampler.gil import is_for_gil
from outpace.record.sampler.proc import by_syscall, spent

PERIOD = LONG / 2  # seconds between two looks at the board
AGAIN = 0.01  # seconds between two looks at a step that is long
ASKED = 4  # times that who waits for the GIL has at least given up the CPU in half of `LONG`
QUIET = 1.0  # seconds without an item after which nobody looks any more, until there is one
NOBODY = -1
COUNTS_TURNS = sys.platform == "linux"

clock = time.perf_counter


class LoopWatch:
    """Watch the loop whose items are on a board. `loop` is given where it is ours alone."""

    def __init__(self, board: Board, loop: Any = None) -> None:
        """Watch nothing yet."""
        self._board, self._loop = board, loop
        self._lock = free_in_forks(threading.Lock())
        self._awake = free_in_forks(threading.Event())
        self._over = False
        self._ending = threading.Lock()  # held until it is over, so that a sleep can be cut short
        self._ending.acquire()
        self._thread: threading.Thread | None = None
        self._of = self._native = 0  # the loop's thread, as Python and as the system numbers it
        self._began: float | None = None  # when the step began that the following is about
        self._index = NOBODY
        self._seen: Counter[tuple[CodeType, int]] = Counter()
        self._sites: dict[tuple[CodeType, int], Site] = {}
        self._waits: Counter[str] = Counter()
        self._found: list[Sighting] = []
        self._late = False  # kept out, all through a step
        self._stood_still = 0.0  # seconds for which the machine did, since the last look
        self._account = (
            0.0,
            0.0,
        )  # the thread's seconds on a CPU and ready for one, at the last look

    def start(self) -> None:
        """Begin; this is the loop's thread."""
        self._of, self._native = threading.get_ident(), threading.get_native_id()
        self._take_stock()
        self._thread = threading.Thread(target=self._watch, name="outpace-watch", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads: then nobody watches
            self._thread.start()

    def look(self) -> None:
        """Look from now on: there are items."""
        if not self._awake.is_set():
            self._awake.set()

    def close(self) -> None:
        """End the thread; what blocks the loop now has done so for as long as it has."""
        if not self._over:
            self._over = True
            self._ending.release()
        self._awake.set()
        with self._lock:
            if self._began is not None and self._seen:
                self._note(clock() - self._began, "computing" if self._runs() else "waiting")
            self._forget()
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()
            self._thread = None

    def ended(self, began: float, seconds: float, cpu_s: float) -> None:
        """Take in that a long step has ended: how long it was, and its CPU time. Of the loop's thread.

        While no core was free, the step was held up itself, and blocked nobody.
        """
        with self._lock:
            before, still = self._account, self._stood_still
            self._take_stock()
            if self._began == began and self._seen:
                seconds -= still + self._account[1] - before[1]
                computing = cpu_s > seconds / 2 or (self._runs() and not self._late)
                if seconds >= LONG and (cpu_s >= LONG / 2 or not computing):
                    self._note(seconds, "computing" if computing else "waiting")
            self._forget()

    @property
    def ready_s(self) -> float:
        """Return the seconds that the loop's thread was ready with no core free, at the last look."""
        return self._account[1]

    def take(self) -> Sequence[Sighting]:
        """Return what has been found since the last call."""
        if not self._found:
            return ()
        with self._lock:
            found, self._found = self._found, []
        return found

    # The thread.

    def _watch(self) -> None:
        """Look at the board every now and then, and closer when a step is long."""
        idle_since = clock()
        while not self._over:
            self._awake.wait()
            late = self._sleep(PERIOD)
            stack, step, now = stack_of(self._of), self._board.stepping(), clock()
            if step is not None:
                idle_since = now
                self._follow(stack, late=late)
                continue
            self._take_stock()
            if self._loop is not None and locate(stack, of_item=False) is not None:
                idle_since = now
                self._follow_stranger()
            elif any(place.running() for place in self._board.places):
                idle_since = now
            elif now - idle_since > QUIET and not self._over:
                self._awake.clear()
                if self._board.stepping() is not None:
                    self._awake.set()

    def _sleep(self, seconds: float) -> bool:
        """Sleep; say whether the GIL was kept from us for long after that.

        Who waits for it asks again every few milliseconds, and so gives up the CPU again and again. Who
        does not, and is late all the same, is on a machine that stood still, and so did the loop.
        """
        before, turns = clock(), _turns()
        self._ending.acquire(timeout=seconds)
        late = clock() - before - seconds
        if late < LONG / 2:
            return False
        if COUNTS_TURNS and _turns() - turns < ASKED:
            self._stood_still += late
            return False
        return True

    def _follow(self, stack: list[Site], *, late: bool) -> None:
        """Note where the loop is for as long as a long step lasts, and the next one, if it is long.

        Until that is noted, nothing here may let go of the GIL, or a step that kept it may be over.
        """
        while not self._over and (step := self._board.stepping()) is not None:
            index, began = step
            if clock() - began < LONG:
                self._take_stock()
                return
            self._sample(index, began, locate(stack, of_item=True), late=late)
            late = self._sleep(AGAIN)
            stack = stack_of(self._of)

    def _sample(self, index: int, began: float, site: Site | None, *, late: bool) -> None:
        """Note where the loop was, unless the step has ended meanwhile."""
        with self._lock:
            if site is None or self._board.stepping() != (index, began):
                return
            if self._began != began:
                self._forget()
                self._began, self._index, self._late = began, index, late
            self._late = self._late and not self._seen
            place = site.code, site.line
            self._seen[place] += 1
            self._sites[place] = site
        self._waits[self._waiting()] += 1

    def _take_stock(self) -> None:
        """Note how much the loop's thread has spent by now."""
        self._account, self._stood_still = self._spent(), 0.0

    def _runs(self) -> bool:
        """Say whether the thread was running, or ready to, whenever it was looked at."""
        return self._waits["running"] > sum(self._waits.values()) / 2

    def _spent(self) -> tuple[float, float]:
        """Return the loop's thread's seconds on a CPU, and ready for one, as far as the system says."""
        try:
            return spent("self", self._native)
        except (OSError, ValueError):
            return 0.0, 0.0

    def _waiting(self) -> str:
        """Say what the loop's thread waits for, as far as the system says that.

        While we look, the GIL is ours: who waits for it is about to compute.
        """
        try:
            with open(f"/proc/self/task/{self._native}/syscall", "rb") as file:  # noqa: PTH123
                line = file.read()
            wait = by_syscall(line, os.getpid())
            return "running" if wait == "lock" and is_for_gil(line) else wait
        except (OSError, ValueError):
            return "unknown"

    def _follow_stranger(self) -> None:
        """Look whether the loop gets on: something is on it that is no item's step."""
        went_on = threading.Event()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(went_on.set)
            before = self._spent()
            site, waits, since = None, Counter[str](), clock()
            while not self._over and not went_on.wait(AGAIN) and self._board.stepping() is None:
                here = locate(stack_of(self._of), of_item=False)
                if site is None or here is None or here.frame != site.frame:
                    self._note_stranger(site, since, before, waits)
                    site, since, before = here, clock(), self._spent()
                    waits.clear()
                waits[self._waiting()] += 1
            self._note_stranger(site, since, before, waits)

    def _note_stranger(
        self, site: Site | None, since: float, before: tuple[float, float], waits: Counter[str]
    ) -> None:
        """Note what was seen from some moment on until now, if it was long."""
        after = self._spent()
        cpu_s, ready_s = after[0] - before[0], after[1] - before[1]
        took = clock() - since - ready_s
        computing = cpu_s > took / 2 or waits["running"] > sum(waits.values()) / 2
        if site is None or took < LONG or (computing and cpu_s < LONG / 2):
            return
        with self._lock:
            self._forget()
            self._began, self._index = since, NOBODY
            self._seen[site.code, site.line] = 1
            self._sites[site.code, site.line] = site
            self._waits.update(waits)
            self._note(took, "computing" if computing else "waiting")
            self._forget()

    def _note(self, seconds: float, how: How) -> None:
        """Put down what has been seen of a step."""
        worst, _ = self._seen.most_common(1)[0]
        spot = self._sites[worst].described()
        wait = next((wait for wait, _ in self._waits.most_common() if wait != "running"), "unknown")
        what_then = advice(spot, how, wait, keeps_gil=self._late)
        began = self._began or 0.0
        self._found.append(
            Sighting(spot.file, spot.line, spot.source, self._index, began, seconds, how, what_then)
        )

    def _forget(self) -> None:
        """Begin anew."""
        self._began, self._index, self._late = None, NOBODY, False
        self._seen.clear()
        self._sites.clear()
        self._waits.clear()


def _turns() -> int:
    """Return how often this thread has given up the CPU, 0 where nobody counts that."""
    if not COUNTS_TURNS:
        return 0
    import resource  # noqa: PLC0415 - not every platform has it

    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
