"""The measured timeline of one run: columns that a recorder fills and every picture is drawn from.

Times are seconds of one clock, the caller's `perf_counter`; `began` and `ended` are the makespan. Rows
are not objects: ten thousand items are a dozen arrays.

**Amounts and moments.** An interval says that its lane was in a state for `share` of the time between
`began` and `ended`. A share of 1 is a moment known: it was so all along. Where only amounts are known
(an item's CPU seconds, a sampler's bin), several intervals lie over the same stretch with shares that
add up to at most 1, and a picture shows heights instead of an order that nobody measured. What no
interval covers is idle.

Pure: no clock, no thread, no I/O. Tested by `tests/record/test_properties.py`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from outpace.errors import UsageError
from outpace.flow.data import Kind
from outpace.flow.trace import Blocked

if TYPE_CHECKING:
    from pathlib import Path  # 10 ms of the first `map`, which saves nothing

KINDS: tuple[Kind, ...] = get_args(Kind)
LaneKind = Literal["main", "thread", "process", "slot", "loop", "lane"]
LANE_KINDS: tuple[LaneKind, ...] = get_args(LaneKind)


def ints() -> array[int]:
    """Make an empty column of whole numbers."""
    return array("q")


def floats() -> array[float]:
    """Make an empty column of seconds or shares."""
    return array("d")


@dataclass(slots=True, frozen=True)
class Lane:
    """One place where one item runs at a time, `number` of its worker.

    A `slot` is one of an event loop's places. A `loop` is the loop itself: what it shows, the slots
    show too, so sums over a whole timeline leave loops out.
    """

    kind: LaneKind
    worker: int = 0
    number: int = 0

    @property
    def name(self) -> str:
        """Name it among the lanes of its worker."""
        match self.kind:
            case "main":
                return "main thread"
            case "loop":
                return "event loop"
            case "process":
                return f"process {self.worker}"
            case _:
                return f"{self.kind} {self.number}"


@dataclass(slots=True)
class Items:
    """The columns of items, one row an attempt.

    A row may stand for `count` items in a row of one lane, beginning with `index`, where there are too
    many to keep each; `wall_s` is then what they took in all, without the gaps. `cpu_s` is CPU time, and
    `shared` says that it is a share of a group's, measured with one reading. `kind` is a position in
    `KINDS`.
    """

    index: array[int] = field(default_factory=ints)
    count: array[int] = field(default_factory=ints)
    lane: array[int] = field(default_factory=ints)
    attempt: array[int] = field(default_factory=ints)
    kind: array[int] = field(default_factory=ints)
    shared: array[int] = field(default_factory=ints)
    queued: array[float] = field(default_factory=floats)
    started: array[float] = field(default_factory=floats)
    ended: array[float] = field(default_factory=floats)
    wall_s: array[float] = field(default_factory=floats)
    cpu_s: array[float] = field(default_factory=floats)
    label: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.index)

    def add(
        self,
        index: int,
        lane: int,
        started: float,
        ended: float,
        *,
        cpu_s: float = 0.0,
        shared: bool = False,
        queued: float | None = None,
        attempt: int = 1,
        kind: Kind = "done",
        count: int = 1,
        wall_s: float | None = None,
        label: str = "",
    ) -> None:
        """Append a row."""
        self.index.append(index)
        self.count.append(count)
        self.lane.append(lane)
        self.attempt.append(attempt)
        self.kind.append(KINDS.index(kind))
        self.shared.append(shared)
        self.queued.append(started if queued is None else queued)
        self.started.append(started)
        self.ended.append(ended)
        self.wall_s.append(ended - started if wall_s is None else wall_s)
        self.cpu_s.append(cpu_s)
        self.label.append(label)


@dataclass(slots=True)
class Intervals:
    """The columns of what lanes were doing. `state` is a position in `states.STATES`.

    `sampled` is 1 where somebody looked from outside every now and then, or where only an amount is
    known, and 0 where both ends are instants that the lane itself has noted.
    """

    lane: array[int] = field(default_factory=ints)
    state: array[int] = field(default_factory=ints)
    sampled: array[int] = field(default_factory=ints)
    began: array[float] = field(default_factory=floats)
    ended: array[float] = field(default_factory=floats)
    share: array[float] = field(default_factory=floats)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.lane)

    def add(
        self,
        lane: int,
        state: int,
        began: float,
        ended: float,
        share: float = 1.0,
        *,
        sampled: bool = False,
    ) -> None:
        """Append a row."""
        self.lane.append(lane)
        self.state.append(state)
        self.sampled.append(sampled)
        self.began.append(began)
        self.ended.append(ended)
        self.share.append(share)


class Writer(Protocol):
    """Whatever draws and saves races and timelines: a door gives it, since pictures are its business."""

    def save(self, what: Any, path: str | Path) -> None:
        """Write a file, by the suffix of its path."""
        ...

    def notebook(self, what: Any) -> str:
        """Draw in HTML that goes into the page of a notebook."""
        ...


@dataclass(slots=True, repr=False)
class Timeline:
    """What ran when under one model. Draws itself in a notebook; `save` writes a picture of it.

    `how` says how it was measured, and `notes` what of it is no longer one by one, if anything is.
    """

    model: str
    began: float
    ended: float
    cores: int
    in_flight: int
    lanes: list[Lane] = field(default_factory=list)
    items: Items = field(default_factory=Items, repr=False)
    intervals: Intervals = field(default_factory=Intervals, repr=False)
    blocked: list[Blocked] = field(default_factory=list)
    how: str = ""  # it was measured, in a sentence for the reader of a picture
    startup_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    writer: Writer | None = field(default=None, repr=False, compare=False)

    @property
    def span_s(self) -> float:
        """Return the seconds from its beginning to its end."""
        return self.ended - self.began

    @property
    def is_sampled(self) -> bool:
        """Say whether anything in it is known by amount alone."""
        return any(self.intervals.sampled)

    def save(self, path: str | Path) -> None:
        """Write a picture (.html, .svg, .png, .txt), a trace (.trace.json) or the data (.json).

        Raises `UsageError` for another suffix.
        """
        if self.writer is None:
            raise UsageError(
                "a timeline that was put together by hand has no writer to save it with"
            )
        self.writer.save(self, path)

    def __repr__(self) -> str:
        """Say in one line of what, and how much, it is."""
        items, lanes = sum(self.items.count), len(self.lanes)
        return (
            f"<outpace.Timeline {self.model}: {items} items in {lanes} lanes, {self.span_s:.3g} s>"
        )

    def _repr_html_(self) -> str | None:
        """Draw itself in a notebook."""
        return None if self.writer is None else self.writer.notebook(self)
