"""A timeline from the columns of reports: what every run knows, with nothing recorded beside.

A `Collector` keeps the columns of what settles as they came, which costs an item nothing to speak of,
and stays small: of more than `ITEMS_KEPT` items, the oldest are given their lanes; then those that
followed one another in a lane share rows, and what they did is added up (`thin`). Ten million items take
little more memory than a hundred thousand. Tested by `tests/record/test_collect.py` and `test_many.py`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from operator import itemgetter, le, sub
from typing import Any, NamedTuple

from outpace.flow.data import Kind, Settled
from outpace.flow.show import seconds, shown
from outpace.flow.trace import Trace
from outpace.record.lane_intervals import LaneIntervals, steps_of
from outpace.record.lanes import Slots
from outpace.record.thin import INTERVALS_KEPT, FewIntervals, FewItems, columns, from_to
from outpace.record.timeline import KINDS, Intervals, Items, Lane, LaneKind

ITEMS_KEPT = 100_000  # items that are kept as they came, and are in a timeline one by one
STEPS_KEPT = 1_000_000  # steps on loops that are kept as they came: 32 MB
LET_GO_AT_ONCE = 2_000  # items: a loop that runs in this thread waits for 10 ms
PAST_ROWS = 30_000  # of items that have been let go of
USUAL_ITEMS_A_ROW = (
    64  # items of the usual length that share a row: less would cost more than 0.1 us an item
)
LABEL_LENGTH = 60  # characters of an item's name
KEPT_AS_LABELS = (str, int, float)  # items that name themselves: small, and nobody's memory
LANE_KIND_OF_DRIVER: dict[str, LaneKind] = {
    "serial": "main",
    "threads": "thread",
    "asyncio": "slot",
    "fetch": "slot",
}


def labelled(item: object) -> str:
    """Name an item in a picture: a string as it is, anything else by its repr, both cut short."""
    if not isinstance(item, str):
        return shown(item, LABEL_LENGTH)
    return item if len(item) <= LABEL_LENGTH else item[: LABEL_LENGTH - 1] + "…"


class Origin(NamedTuple):
    """Where items that share rows ran: worker, lane and slot; and who says what they did meanwhile."""

    worker: int
    lane: int
    slot: int
    process: int
    thread: int
    stepped: bool  # a loop has said it


@dataclass(slots=True)
class ReportColumns:
    """The columns of one report without the values: what is kept of it.

    `first` is when the first of its items began. `slots` are those that they have been given, -1 for
    none so far; `in_turn` is known by then, and says that they ran one after another.
    """

    worker: int
    lane: int
    indexes: Sequence[int]
    items: Sequence[Any] | None
    started: array[float]
    ended: array[float]
    cpu_s: float
    trace: Trace | None
    kinds: dict[int, Kind]
    queued: Sequence[float]
    attempts: Sequence[int]
    first: float
    slots: list[int] | None = None
    in_turn: bool = False

    def __len__(self) -> int:
        """Count the items."""
        return len(self.started)

    @property
    def steps(self) -> int:
        """Count the steps."""
        return 0 if self.trace is None or self.trace.owners is None else len(self.trace.owners)

    def origin(self, position: int) -> Origin:
        """Say where an item ran that has been given its slot."""
        trace, slot = self.trace, self.slots[position] if self.slots else 0
        if trace is None:
            return Origin(self.worker, self.lane, slot, 0, 0, stepped=False)
        stepped = trace.steps is not None
        return Origin(self.worker, self.lane, slot, trace.process, trace.thread, stepped)

    def cpu_of(self, position: int) -> tuple[float, bool]:
        """Return an item's CPU seconds, and whether they are its share of what a group took."""
        if self.trace is not None and self.trace.cpus:
            return self.trace.cpu_of(position, self.started, self.ended)
        return self.cpu_s / len(self), len(self) > 1

    def cpu_between(self, first: int, stop: int) -> float:
        """Return the CPU seconds of the items from one position to another."""
        if self.trace is not None and self.trace.cpus:
            return self.trace.cpu_between(first, stop, self.started, self.ended)
        return self.cpu_s / len(self) * (stop - first)


@dataclass(slots=True)
class Collected:
    """The items of a run in rows, and the lanes they are in.

    `of` says for every row which report it is from and where in it; of a row of items that have been let
    go of, whence they were. `past` is what loops had said of those, and `notes` what is to be said.
    """

    items: Items
    lanes: list[Lane]
    of: list[tuple[ReportColumns | Origin | None, int]]
    past: Intervals = field(default_factory=Intervals)
    notes: list[str] = field(default_factory=list)
    finest: float = 0.0


class Collector:
    """The columns of a run so far. `label` names an item by its index."""

    def __init__(self, label: Callable[[int], str] | None = None) -> None:
        """Begin with nothing; without a label, small items are kept to name them."""
        self._label = label
        self._kept: list[ReportColumns] = []
        self._items_kept = self._steps_kept = 0  # items and steps that are kept
        self._slots: dict[tuple[int, int], Slots] = {}
        # What has been let go of: rows in lanes of its own, by whence the items were.
        self._lanes: dict[Origin, int] = {}
        self._past = FewItems(PAST_ROWS)
        self._past_intervals = FewIntervals(INTERVALS_KEPT // 3)
        self._let_go = 0

    def __len__(self) -> int:
        """Count what is held: items and rows."""
        return self._items_kept + len(self._past.rows)

    def add(self, settled: Settled) -> None:
        """Take in what has settled."""
        report, items = settled.report, settled.items
        keep = self._label is None and type(items[0]) in KEPT_AS_LABELS
        indexes, in_turn = report.indexes, isinstance(report.indexes, range)
        kept = ReportColumns(
            report.worker,
            report.lane,
            indexes if in_turn else array("q", indexes),
            items if keep else None,
            report.started,
            report.ended,
            report.cpu_s,
            report.trace,
            {n: failure.kind for n, failure in report.failures.items()},
            settled.queued,
            settled.attempts,
            report.started[0] if in_turn else min(report.started),
        )
        self._kept.append(kept)
        self._items_kept += len(kept)
        self._steps_kept += kept.steps
        if self._items_kept > ITEMS_KEPT or self._steps_kept > STEPS_KEPT:
            self._let_go_of_oldest()

    def _let_go_of_oldest(self) -> None:
        """Put the items that came first into rows that they share.

        Before that they get their slots, and so does whatever else began before the last of them. Only
        what began then and runs even now, so much later, is not known yet.
        """
        stop = items = steps = 0
        while items < LET_GO_AT_ONCE and steps < STEPS_KEPT // 50 and stop < len(self._kept):
            items += len(self._kept[stop])
            steps += self._kept[stop].steps
            stop += 1
        oldest = self._kept[:stop]
        assign_slots(self._kept, self._slots, max(max(kept.started) for kept in oldest))
        del self._kept[:stop]
        self._items_kept -= items
        self._steps_kept -= steps
        self._let_go += items
        if not self._past.finest and self._let_go + self._items_kept > ITEMS_KEPT:
            walls = sum(sum(kept.ended) - sum(kept.started) for kept in oldest)
            self._past.finest = USUAL_ITEMS_A_ROW * walls / items
        runs = sorted(runs_of_items(oldest), key=lambda run: run[0].started[run[1]])
        for kept, first, stop in runs:
            lane = self._lanes.setdefault(kept.origin(first), len(self._lanes))
            self._share_rows(kept, first, stop, lane)
            if kept.trace is not None and kept.trace.steps is not None:
                of_lane = LaneIntervals(self._past_intervals, lane)
                for n in range(first, stop):
                    of_lane.add_steps(kept.started[n], kept.ended[n], steps_of(kept.trace, n), None)

    def _share_rows(self, kept: ReportColumns, first: int, stop: int, lane: int) -> None:
        """Add items that followed one another to the rows of those that have been let go of."""
        while first < stop:
            until = kept.started[first] + self._past.finest
            after = max(first + 1, bisect_left(kept.ended, until, first, stop))
            self._past.add(**self._row(kept, first, after), lane=lane)
            first = after

    def collected(self, model: str) -> Collected:
        """Return rows and lanes. Items that overlap in what a report calls one lane get slots."""
        slots = {place: taken.copy() for place, taken in self._slots.items()}
        rest = [replace(kept, slots=kept.slots and kept.slots[:]) for kept in self._kept]
        assign_slots(rest, slots, inf)
        collected = Collected(Items(), [], [], finest=self._past_intervals.finest)
        numbers: dict[tuple[int, int], int] = {}
        for place, taken in sorted(slots.items()):
            numbers[place], width = len(collected.lanes), len(taken.ends)
            collected.lanes += [
                Lane(lane_kind(model), place[0], n if width > 1 else place[1]) for n in range(width)
            ]
        self._add_past(collected, numbers)
        for kept in sorted(rest, key=lambda kept: (kept.worker, kept.lane)):
            self._add_kept(collected, kept, numbers[kept.worker, kept.lane])
        return collected

    def _add_kept(self, collected: Collected, kept: ReportColumns, lane: int) -> None:
        """Add a row for each item of a report, in lanes from that of its first slot on."""
        items, count = collected.items, len(kept)
        kinds = (
            [kept.kinds.get(n, "done") for n in range(count)] if kept.kinds else ["done"] * count
        )
        cpus = [kept.cpu_of(n) for n in range(count)]
        items.index.extend(kept.indexes)
        items.count.extend([1] * count)
        items.lane.extend([lane + slot for slot in kept.slots or ()])
        items.attempt.extend(kept.attempts)
        items.kind.extend(map(KINDS.index, kinds))
        items.shared.extend([shared for _, shared in cpus])
        items.queued.extend(kept.queued)
        items.started.extend(kept.started)
        items.ended.extend(kept.ended)
        items.wall_s.extend(map(sub, kept.ended, kept.started))
        items.cpu_s.extend([cpu_s for cpu_s, _ in cpus])
        items.label += [self._name(kept, n) for n in range(count)]
        collected.of += [(kept, n) for n in range(count)]

    def _add_past(self, collected: Collected, numbers: dict[tuple[int, int], int]) -> None:
        """Add what has been let go of, in the lanes that it has now."""
        origins = list(self._lanes)
        lanes = [numbers[one.worker, one.lane] + one.slot for one in origins]
        rows = self._past.rows
        for name in Items.__slots__:
            getattr(collected.items, name).extend(getattr(rows, name))
        collected.items.lane[:] = array("q", [lanes[lane] for lane in rows.lane])
        collected.of += [(origins[lane], -1) for lane in rows.lane]
        for lane, state, sampled, *rest in zip(*columns(self._past_intervals.rows()), strict=True):
            collected.past.add(lanes[lane], state, *rest, sampled=bool(sampled))
        if self._past.finest:
            collected.notes.append(
                f"of {self._let_go + self._items_kept:,} items the first {self._let_go:,} are no longer "
                "kept one by one: those that followed one another in a lane within "
                f"{seconds(self._past.finest)} share a row"
            )

    def _name(self, kept: ReportColumns, position: int) -> str:
        """Name an item."""
        index = kept.indexes[position]
        if self._label is not None:
            return self._label(index)
        return f"item {index}" if kept.items is None else labelled(kept.items[position])

    def _row(self, kept: ReportColumns, first: int, stop: int) -> dict[str, Any]:
        """Return the row of the items from one position to another, which followed one another."""
        name = self._name(kept, first)
        cpu_s, shared = kept.cpu_of(first)
        began, ended = kept.started[first], kept.ended[stop - 1]
        wall_s, kind = ended - began, KINDS.index(kept.kinds.get(first, "done"))
        if (count := stop - first) > 1:
            name = from_to(name, self._name(kept, stop - 1))
            wall_s = sum(kept.ended[first:stop]) - sum(kept.started[first:stop])
            cpu_s, shared = kept.cpu_between(first, stop), True
            if kept.kinds:
                bad = (kept.kinds[n] for n in range(first, stop) if n in kept.kinds)
                kind = KINDS.index(next(bad, "done"))
        return {
            "index": kept.indexes[first],
            "started": began,
            "ended": ended,
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "shared": shared,
            "queued": kept.queued[first],
            "attempt": kept.attempts[first],
            "kind": kind,
            "count": count,
            "label": name,
        }


def assign_slots(
    reports: Iterable[ReportColumns], slots: dict[tuple[int, int], Slots], until: float
) -> None:
    """Give a slot to every item that began by then and has none; those that ran in turn have one."""
    began: list[tuple[float, float, ReportColumns, int]] = []
    for kept in reports:
        if kept.first > until:
            continue
        if kept.slots is None:
            followed = map(le, kept.ended, islice(kept.started, 1, None))
            kept.in_turn = isinstance(kept.indexes, range) and all(followed)
            if kept.in_turn:
                began.append((kept.first, kept.ended[-1], kept, -1))
                continue
            kept.slots = [-1] * len(kept)
        times = zip(kept.started, kept.ended, kept.slots, strict=True)
        began += [
            (started, ended, kept, n)
            for n, (started, ended, slot) in enumerate(times)
            if slot < 0 and started <= until
        ]
    for started, ended, kept, n in sorted(began, key=itemgetter(0)):
        place = kept.worker, kept.lane
        if (taken := slots.get(place)) is None:
            taken = slots[place] = Slots()
        slot = taken.take(started, ended)
        if n < 0:
            kept.slots = [slot] * len(kept)
        elif kept.slots is not None:
            kept.slots[n] = slot


def runs_of_items(reports: Iterable[ReportColumns]) -> Iterator[tuple[ReportColumns, int, int]]:
    """Yield what followed one another in a slot: all of a report, or each item by itself."""
    for kept in reports:
        if kept.in_turn:
            yield kept, 0, len(kept)
        else:
            yield from ((kept, n, n + 1) for n in range(len(kept)))


def lane_kind(model: str) -> LaneKind:
    """Say what the lanes of a model are, by its driver; a process that takes items in turn is one."""
    host, _, driver = model.rpartition("+")
    if not host and driver in LANE_KIND_OF_DRIVER:
        return LANE_KIND_OF_DRIVER[driver]
    return LANE_KIND_OF_DRIVER.get(driver, "lane") if host else "process"
