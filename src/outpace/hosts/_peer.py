"""One worker process as its caller knows it, and how what it says becomes reports.

`_crew` moves the bytes and decides who gets what; here is what the messages mean.
"""

from __future__ import annotations

import contextlib
import time
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from outpace.errors import SetupError, WorkerStartError
from outpace.flow.data import Chunk, Failure, Report
from outpace.flow.outstanding import Outstanding
from outpace.flow.show import said
from outpace.hosts._group import Process
from outpace.hosts._shared import Shared
from outpace.hosts.channel.codec import encode
from outpace.hosts.channel.framing import Channel
from outpace.hosts.channel.messages import Done, Failed, Ping

KILLED = float("inf")  # when a worker is to be killed that has been


@dataclass(slots=True, eq=False)
class Peer:
    """Be what is known here of one worker process.

    `suspects`: this one is there for items that are to run alone, one after another, and these are
    still to come; None for an ordinary worker.
    `late` are items that it is about to be killed for, or has been. `silent`: it is about to be killed
    because it did nothing, or has been; these are the bytes that had moved when it was asked.
    """

    number: int
    lanes: int
    process: Process
    channel: Channel
    shared: Shared
    suspects: deque[Chunk] | None = None
    born: float = field(default_factory=time.perf_counter)
    asked: float = 0.0  # when it was last asked to answer
    heard: float = 0.0  # when it last said anything
    ready: bool = False
    said_bye: bool = False
    retiring: bool = False
    clock_offset: float = 0.0
    sent: int = 0  # items
    weight: int = 0  # bytes resident when it last said so
    late: dict[int, float] = field(default_factory=dict)  # since when each of them ran
    silent: int | None = None
    kill_at: float | None = None
    cut_off: bool = False  # its process lived on when its socket had ended, or made no sense
    out: Outstanding = field(default_factory=Outstanding)

    @property
    def pid(self) -> int:
        """Return its process number."""
        return self.process.pid

    @property
    def takes_work(self) -> bool:
        """Say whether it may be given a chunk."""
        return self.ready and not self.retiring and self.suspects is None

    @property
    def is_busy(self) -> bool:
        """Say whether it has items that it has not reported, or is still starting."""
        return self.out.chunks > 0 or not self.ready

    @property
    def is_stuck(self) -> bool:
        """Say whether it has not come out of an item, or of its start."""
        return not self.ready or any(self.shared.board.running())

    def ask(self, now: float) -> None:
        """Ask for an answer; one whose thread keeps the GIL can't give any."""
        self.asked = now
        with contextlib.suppress(OSError):
            self.channel.send(*encode(Ping()))

    @property
    def is_mute(self) -> bool:
        """Say whether it was asked and has said nothing since, so that none of its threads can run."""
        return self.heard < self.asked

    @property
    def was_killed(self) -> bool:
        """Say whether we have killed it, for an item whose time was up, or because it did nothing."""
        if self.silent is not None:
            return self.kill_at == KILLED
        return self.kill_at is not None and bool(self.late)

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield every item that runs there now, and since when by our clock."""
        for index, since in self.shared.board.running():
            yield index, since + self.clock_offset

    def is_ready(self, there: float, weight: int) -> None:
        """Note that it is, how much it weighs, and how its clock and ours differ."""
        self.weight = weight
        now = time.perf_counter()
        # A moment between its birth and now is one of our own clock, as on every Unix.
        self.clock_offset = 0.0 if self.born <= there <= now else now - there
        self.ready = True

    def close(self) -> None:
        """Let go of all that leads to it."""
        self.channel.close()
        self.process.close()
        self.shared.close()

    def report(self, done: Done) -> Report:
        """Take in a report: its times in our clock, its items no longer out."""
        report, self.weight = done
        report.worker = self.number
        if self.clock_offset:
            report.started = array("d", (t + self.clock_offset for t in report.started))
            report.ended = array("d", (t + self.clock_offset for t in report.ended))
            if report.trace is not None:
                report.trace.moved(self.clock_offset)
        self.out.match(report.indexes)
        return report

    def start_error(self, failed: Failed) -> Exception:
        """Make the error of a worker that cannot begin."""
        cause = failed.error
        error: Exception
        if failed.in_setup:
            error = SetupError(failed.text)
        elif isinstance(cause, WorkerStartError):
            error = WorkerStartError(f"worker process {self.number}: {cause}")
        else:
            error = WorkerStartError(
                f"worker process {self.number} could not load the function: {said(cause)}"
            )
        error.__cause__ = cause
        error.add_note(f"in the worker process:\n{failed.trace.rstrip()}")
        return error


def failures(chunk: Chunk, failure: Failure, worker: int, since: float | None = None) -> Report:
    """Make the report of a chunk all of whose items failed in the same way, since then or just now."""
    now = time.perf_counter()
    started, ended = (array("d", [t]) * len(chunk) for t in (now if since is None else since, now))
    all_alike = dict.fromkeys(range(len(chunk)), failure)
    return Report(chunk.indexes, [None] * len(chunk), started, ended, all_alike, worker=worker)
