"""How far a job is, while it runs: drawn at most ten times a second, and never the cause of load.

No thread: a thread of ours beside the measured work would be part of what is measured. Whoever carries
the work out tells a `Progress` what has settled; most of the time that is one comparison of two numbers.
On a terminal it is a few lines that are written over; in a notebook, an output that changes; anywhere
else a plain line now and then. A stream that fails ends the drawing and not the work.
Tested by `tests/report/test_progress.py`; measured by `bench/pictures.py`.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from outpace.errors import UsageTypeError
from outpace.flow.engine import Engine
from outpace.flow.protocol import Observer
from outpace.flow.show import fitting, per_second, seconds, shown

EVERY = 0.1  # seconds between two drawings
PLAIN_EVERY = 10.0  # and between two lines where they stay
RECENT = 50  # drawings that the speed is taken over: 5 s on a terminal
WORKERS_SHOWN = 8  # lines of what workers are on

clock = time.perf_counter

RunningItem = tuple[
    int, int | None, float
]  # a worker, the index of its item, since when (perf_counter)


class SettledCounts(Protocol):
    """The counts of items that have settled, and of how many badly, as the dispatcher has them."""

    settled: int
    failed: int
    timed_out: int
    lost: int
    cancelled: int


@dataclass(slots=True, frozen=True)
class Snapshot:
    """One moment of a job, and how far it is; what a callable given as `progress=` is called with.

    `failed` counts every item that gave no value. `total` and `left_s` are None when nobody knows.
    `items_per_s` is that of the last seconds. `on` says what each worker is on: its number, the index of
    its item, and for how many seconds. `what` names it where there are several: a pass of a race.
    """

    total: int | None
    settled: int
    failed: int
    in_flight: int
    elapsed_s: float
    items_per_s: float
    left_s: float | None
    on: tuple[tuple[int, int, float], ...] = ()
    finished: bool = False
    what: str = ""

    def __str__(self) -> str:
        """Say it in a line."""
        of = (
            f"/{self.total:,} ({self.settled / max(1, self.total):.0%})"
            if self.total is not None
            else ""
        )
        parts = [
            self.what,
            f"{self.settled:,}{of}",
            f"{per_second(self.items_per_s) or 0} items/s",
            f"{self.failed:,} failed" if self.failed else "",
            f"took {seconds(self.elapsed_s)}" if self.finished else f"{self.in_flight:,} in flight",
            f"{seconds(self.left_s)} left" if self.left_s is not None and not self.finished else "",
        ]
        return "  ".join(filter(None, parts))


class Progress(Observer):
    """What shows somebody how far a job is, no more often than it makes sense to look."""

    def __init__(
        self,
        show: Callable[[Snapshot], object],
        every: float = EVERY,
        *,
        on: Callable[[], Iterable[RunningItem]] = tuple,
        what: str = "",
    ) -> None:
        """Show snapshots by a function; `on` says what each worker is on, when it is asked."""
        self._what = what
        self.on = on
        self._show, self._every = show, every
        self._total: int | None = None
        self._began = self._next = 0.0
        self._seen: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self._run: Engine | None = None

    # As an observer.

    def opened(self, run: Engine) -> None:
        """Begin, when the workers are ready."""
        self._run, self.on = run, run.running
        self.started(run.dispatcher.total, run.began)

    def turned(self, now: float) -> None:
        """Show how far the run is, if it is time to."""
        if self._run is not None:
            self.look(self._run.dispatcher.counts, self._run.dispatcher.in_flight, now)

    def closed(self) -> None:
        """Show the end, unless there never was a beginning."""
        run, self._run = self._run, None
        if run is not None:
            self.finished(run.dispatcher.counts)

    # What it does.

    def started(self, total: int | None, now: float | None = None) -> None:
        """Begin to count, when the workers are ready; `total` is None when nobody knows it."""
        now = clock() if now is None else now
        self._total, self._began, self._next = total, now, now + self._every
        self._seen.clear()
        self._seen.append((now, 0))

    def look(self, counts: SettledCounts, in_flight: int, now: float) -> None:
        """Show how far it is, if it is time to. Made to be called for every report."""
        if now >= self._next:
            self._next = now + self._every
            self._show(self._snapshot(counts, in_flight, now))

    def patience(self, now: float) -> float:
        """Return the seconds after which `look` wants to be called even if nothing has settled."""
        return max(0.001, self._next - now)

    def finished(self, counts: SettledCounts, now: float | None = None) -> None:
        """Show the end."""
        now = clock() if now is None else now
        elapsed = max(now - self._began, 1e-9)
        bad = _bad(counts)
        speed = counts.settled / elapsed
        facts = self._total, counts.settled, bad, 0, elapsed, speed, 0.0
        last = Snapshot(*facts, finished=True, what=self._what)
        self._show(last)

    def _snapshot(self, counts: SettledCounts, in_flight: int, now: float) -> Snapshot:
        """Make a snapshot; the speed is that since the oldest of the last drawings."""
        since, before = self._seen[0] if self._seen else (self._began, 0)
        self._seen.append((now, counts.settled))
        speed = (counts.settled - before) / max(now - since, 1e-9)
        left = None
        if self._total is not None and speed > 0:
            left = max(0, self._total - counts.settled) / speed
        return Snapshot(
            total=self._total,
            settled=counts.settled,
            failed=_bad(counts),
            in_flight=in_flight,
            elapsed_s=now - self._began,
            items_per_s=speed,
            left_s=left,
            what=self._what,
            on=tuple((w, index, now - at) for w, index, at in self.on() if index is not None),
        )


def _bad(counts: SettledCounts) -> int:
    """Count the items that gave no value."""
    return counts.failed + counts.timed_out + counts.lost + counts.cancelled


def make_progress(wanted: Any, stream: TextIO | None = None, *, what: str = "") -> Progress | None:
    """Return what `progress=` asked for: None or False nothing, True a display, a callable is called.

    A callable gets a `Snapshot`, ten times a second at most and once at the end, in the thread that
    iterates; what it raises is raised there. Raises `UsageTypeError` for anything else.
    """
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        stream = stream or sys.stderr
        if (notebook := _notebook()) is not None:
            return Progress(notebook, what=what)
        if stream is None:
            return None  # a shell has closed it
        if stream.isatty():
            return Progress(Screen(stream), what=what)
        return Progress(LogLines(stream), PLAIN_EVERY, what=what)
    if callable(wanted):
        return Progress(wanted, what=what)
    raise UsageTypeError(f"progress is True, None or a function to call, not {shown(wanted)}")


class Screen:
    """A few lines on a terminal, written over each time: one for the job, and one for each worker."""

    def __init__(self, stream: TextIO) -> None:
        """Draw nothing yet."""
        self._stream: TextIO | None = stream
        self._lines = 0

    def __call__(self, snapshot: Snapshot) -> None:
        """Draw in place of what was drawn before; the end stays."""
        if self._stream is None:
            return
        width, _ = shutil.get_terminal_size()
        lines = [str(snapshot), *_on(snapshot)]
        text = "\n".join(line[: width - 1] for line in lines)
        up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
        end = "\n" if snapshot.finished else ""
        self._lines = len(lines)
        if not _written(self._stream, f"\r{up}\x1b[J{text}{end}"):
            self._stream = None


class LogLines:
    """A line now and then, where lines stay: in a file, a pipe, a log."""

    def __init__(self, stream: TextIO) -> None:
        """Write nothing yet."""
        self._stream: TextIO | None = stream

    def __call__(self, snapshot: Snapshot) -> None:
        """Write a line."""
        if self._stream is not None and not _written(self._stream, f"outpace: {snapshot}\n"):
            self._stream = None


def _on(snapshot: Snapshot) -> list[str]:
    """Say what workers are on, those first that have been on it longest."""
    longest = sorted(snapshot.on, key=lambda on: -on[2])
    lines = [
        f"  worker {n}: item {index:,} for {seconds(s)}" for n, index, s in longest[:WORKERS_SHOWN]
    ]
    more = len(longest) - WORKERS_SHOWN
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _written(stream: TextIO, text: str) -> bool:
    """Write and say whether that went well: a closed pipe is no reason to stop working."""
    try:
        stream.write(fitting(text, stream))
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _notebook() -> Callable[[Snapshot], None] | None:
    """Return what draws in a notebook, if this is one: an output that is updated in place."""
    python = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(python, "kernel"):
        return None
    from IPython.display import display  # noqa: PLC0415 - it is loaded, since this is a notebook

    handle: Any = None

    def show(snapshot: Snapshot) -> None:
        nonlocal handle
        content = {"text/plain": "\n".join([str(snapshot), *_on(snapshot)])}
        if handle is None:
            handle = display(content, raw=True, display_id=True)
        else:
            handle.update(content, raw=True)

    return show


class StatusLine:
    """One line on a terminal that is written over and over."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        """Draw on a stream (stderr), unless it is no terminal or the user wants quiet."""
        stream = stream or sys.stderr  # None where a shell has closed it
        self._stream = stream if stream is not None and not quiet and stream.isatty() else None
        self._drawn = 0.0
        self._dirty = False

    def __call__(self, text: str) -> None:
        """Show a text in place of the last one, if it is time."""
        now = time.monotonic()
        if self._stream is not None and now - self._drawn >= EVERY:
            self._drawn, self._dirty = now, True
            self._write(text)

    def clear(self) -> None:
        """Take the line away."""
        if self._dirty:
            self._write("")
            self._dirty = False

    def _write(self, text: str) -> None:
        """Write over what there is; no more once that has failed."""
        if self._stream is not None and not _written(self._stream, f"\r\x1b[K{text}"):
            self._stream = None
