"""One worker as the pool knows it, and the reports that are made for it here.

Pure.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

from outpace.errors import SetupError, WorkerStartError
from outpace.flow.data import Chunk, Failure, Report
from outpace.flow.outstanding import Outstanding
from outpace.flow.show import said
from outpace.hosts.channel.messages import Failed, Locate, Over, Ping
from outpace.hosts.pool.state import Doubt, Happened, Phase, State
from outpace.hosts.pool.transport import Link, Place


@dataclass(slots=True, eq=False)
class Worker:
    """One worker as the pool knows it.

    `suspects`: this one is there for items that are to run alone, one after another, and these are
    still to come; None for an ordinary worker. `late` are items that it is about to be killed for, or
    has been, and since when each of them ran. `due` is when it is killed unless it is spared until then,
    if it is in doubt.
    """

    place: Place
    link: Link
    suspects: deque[Chunk] | None = None
    state: State = field(default_factory=State)
    out: Outstanding = field(default_factory=Outstanding)
    sent: int = 0  # items
    weight: int = 0  # bytes resident when it last said so
    asked: float = 0.0  # when it was last asked to answer
    heard: float = 0.0  # when it last said anything
    due: float | None = None
    late: dict[int, float] = field(default_factory=dict)
    moved: int = 0  # what had moved when it was asked why it stands still
    is_cut_off: bool = False  # it lived on when its connection had ended, or made no sense

    @property
    def takes_work(self) -> bool:
        """Say whether it may be given a chunk."""
        state = self.state
        return state.phase is Phase.READY and self.suspects is None and not state.is_killed

    @property
    def is_starting(self) -> bool:
        """Say whether it is one that will take work."""
        return self.state.phase is Phase.STARTING and self.suspects is None

    @property
    def is_at_work(self) -> bool:
        """Say whether it has become ready, and can still be heard."""
        return self.state.was_ready and self.state.phase in (
            *(Phase.READY, Phase.RETIRING, Phase.LEAVING),
        )

    @property
    def is_busy(self) -> bool:
        """Say whether it has items that it has not reported, or is still starting."""
        return self.out.chunks > 0 or not self.state.was_ready

    @property
    def is_stuck(self) -> bool:
        """Say whether it has not come out of an item, or of its start."""
        return not self.state.was_ready or any(self.link.running())

    @property
    def is_mute(self) -> bool:
        """Say whether it was asked and has said nothing since, so that none of its threads can run."""
        return self.heard < self.asked

    @property
    def was_killed(self) -> bool:
        """Say whether it ended for an item whose time was up, or because it did nothing.

        One that ends by itself when it is about to be killed for an item has ended of that item, too.
        """
        doubt = self.state.doubt
        return doubt is Doubt.KILLED_STILL or (
            doubt in (Doubt.LATE, Doubt.KILLED_LATE) and bool(self.late)
        )

    def load(self) -> float:
        """Return how many chunks it has for each lane."""
        return self.out.chunks / self.place.lanes

    def dismiss(self) -> None:
        """Tell it that it is over."""
        if self.state.phase not in (Phase.LEAVING, Phase.DONE, Phase.SEVERED):
            self.link.send(Over())
        self.state.happened(Happened.DISMISSED)

    def ask(self, now: float, *, where: bool) -> None:
        """Ask for an answer, and to write down where it is; one that keeps the GIL can't answer."""
        self.asked = now
        self.link.send(Ping())
        if where:
            self.link.send(Locate())

    def start_error(self, failed: Failed) -> Exception:
        """Make the error of a worker that cannot begin."""
        cause = failed.error
        error: Exception
        if failed.in_setup:
            error = SetupError(failed.text)
        elif isinstance(cause, WorkerStartError):
            error = WorkerStartError(f"worker process {self.place.number}: {cause}")
        else:
            error = WorkerStartError(
                f"worker process {self.place.number} could not load the function: {said(cause)}"
            )
        error.__cause__ = cause
        error.add_note(f"in the worker process:\n{failed.trace.rstrip()}")
        return error


def failures(
    chunk: Chunk, failure: Failure, worker: int, now: float, since: float | None = None
) -> Report:
    """Make the report of a chunk all of whose items failed in the same way, since then or just now."""
    started, ended = (array("d", [t]) * len(chunk) for t in (now if since is None else since, now))
    all_alike = dict.fromkeys(range(len(chunk)), failure)
    return Report(chunk.indexes, [None] * len(chunk), started, ended, all_alike, worker=worker)
