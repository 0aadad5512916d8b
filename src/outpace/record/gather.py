"""A timeline from the columns of reports: what every run knows, with nothing recorded beside.

A `Gathering` keeps the columns of what settles as they came, which costs an item nothing to speak of,
and stays small: of more than `KEPT` items, those that followed one another in a lane are folded into
rows that stand for several. Ten million items take as much memory as a hundred thousand.
Tested by `tests/record/test_gather.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from outpace.flow.data import Kind, Settled
from outpace.flow.show import shown
from outpace.flow.trace import Trace
from outpace.record.fold import partition
from outpace.record.timeline import KINDS, Items, Lane, LaneKind

MOST = 10_000  # rows of items; a screen has fewer columns by far, and a page with them stays smooth
KEPT = 100_000  # items that are kept as they came; folding them costs 0.1 us each
FINER = 10  # folds until there are `MOST` rows: fewer rows a fold are less work, and coarser
LABEL = 60  # characters of an item's name
BETWEEN = " … "
DONE = KINDS.index("done")
PLAIN = (str, int, float)  # items that may be kept for their names: small, and nobody's memory
KIND_OF_DRIVER: dict[str, LaneKind] = {
    "serial": "main",
    "threads": "thread",
    "asyncio": "slot",
    "fetch": "slot",
}


def labelled(item: object) -> str:
    """Name an item in a picture: a string as it is, anything else by its repr, both cut short."""
    if not isinstance(item, str):
        return shown(item, LABEL)
    return item if len(item) <= LABEL else item[: LABEL - 1] + "…"


@dataclass(slots=True)
class Kept:
    """Be what is kept of a report: its columns without the values."""

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

    def __len__(self) -> int:
        """Count the items."""
        return len(self.started)

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
class Gathered:
    """Be the items of a run in rows, and the lanes they are in.

    `of` says for every row which report it is from and where in it, -1 for a row of several items.
    """

    items: Items
    lanes: list[Lane]
    of: list[tuple[Kept | None, int]]


class Gathering:
    """Be the columns of a run so far, by worker and lane. `label` names an item by its index."""

    def __init__(self, label: Callable[[int], str] | None = None, most: int = KEPT) -> None:
        """Begin with nothing; without a label, small items are kept to name them."""
        self._label, self._most = label, most
        self._kept: list[Kept] = []
        self._count = 0  # items kept
        self._folded: dict[tuple[int, int], Items] = {}

    def __len__(self) -> int:
        """Count what is held: items and rows."""
        return self._count + sum(map(len, self._folded.values()))

    def add(self, settled: Settled) -> None:
        """Take in what has settled."""
        report, items = settled.report, settled.items
        keep = self._label is None and type(items[0]) in PLAIN
        indexes = report.indexes
        self._kept.append(
            Kept(
                report.worker,
                report.lane,
                indexes if isinstance(indexes, range) else array("q", indexes),
                items if keep else None,
                report.started,
                report.ended,
                report.cpu_s,
                report.trace,
                {n: failure.kind for n, failure in report.failures.items()},
                settled.queued,
                settled.attempts,
            )
        )
        self._count += len(report)
        if self._count > self._most:
            self._fold()

    def _fold(self) -> None:
        """Fold what is kept into rows, and those once more when there are too many of them."""
        group = -(-self._count * FINER // MOST) or 1
        for kept in self._kept:
            rows = self._folded.setdefault((kept.worker, kept.lane), Items())
            for at in range(0, len(kept), group):
                self._add_row(rows, kept, at, min(at + group, len(kept)))
        self._kept, self._count = [], 0
        before = len(self) + 1
        while MOST < len(self) < before:  # unless every lane has but one
            before = len(self)
            self._folded = {place: _halved(rows) for place, rows in self._folded.items()}

    def gathered(self, model: str) -> Gathered:
        """Return rows and lanes. Items that overlap in what a report calls one lane get slots."""
        if self._count > MOST:
            self._fold()
        places: dict[tuple[int, int], tuple[Items, list[tuple[Kept | None, int]]]] = {}
        for place, folded in self._folded.items():
            rows = Items()
            _extend(rows, folded, folded.lane)
            places[place] = rows, [(None, -1)] * len(rows)
        for kept in self._kept:
            rows, of = places.setdefault((kept.worker, kept.lane), (Items(), []))
            for at in range(len(kept)):
                self._add_row(rows, kept, at, at + 1)
                of.append((kept, at))
        found = Gathered(Items(), [], [])
        kind = lane_kind(model)
        for (worker, number), (rows, of) in sorted(places.items(), key=lambda pair: pair[0]):
            inner = partition(rows.started, rows.ended)
            width = max(inner, default=0) + 1
            _extend(found.items, rows, [len(found.lanes) + n for n in inner])
            found.lanes += [Lane(kind, worker, n if width > 1 else number) for n in range(width)]
            found.of += of
        return found

    def traces(self) -> Iterator[tuple[Kept, Trace]]:
        """Yield what else was recorded of what is kept."""
        for kept in self._kept:
            if kept.trace is not None:
                yield kept, kept.trace

    def _name(self, kept: Kept, position: int) -> str:
        """Name an item."""
        index = kept.indexes[position]
        if self._label is not None:
            return self._label(index)
        return f"item {index}" if kept.items is None else labelled(kept.items[position])

    def _add_row(self, rows: Items, kept: Kept, first: int, stop: int) -> None:
        """Append one row for the items from one position to another."""
        name = self._name(kept, first)
        cpu_s, shared = kept.cpu_of(first)
        began, ended, wall_s = kept.started[first], kept.ended[first], None
        kind = kept.kinds.get(first, "done")
        if (count := stop - first) > 1:
            name += BETWEEN + self._name(kept, stop - 1)
            started, ends = kept.started[first:stop], kept.ended[first:stop]
            began, ended, wall_s = min(started), max(ends), sum(ends) - sum(started)
            cpu_s, shared = kept.cpu_between(first, stop), True
            bad = (kept.kinds[n] for n in range(first, stop) if n in kept.kinds)
            kind = next(bad, "done") if kept.kinds else "done"
        rows.add(
            kept.indexes[first],
            0,
            began,
            ended,
            cpu_s=cpu_s,
            shared=shared,
            queued=kept.queued[first],
            attempt=kept.attempts[first],
            kind=kind,
            count=count,
            wall_s=wall_s,
            label=name,
        )


def lane_kind(model: str) -> LaneKind:
    """Say what the lanes of a model are, by its driver; a process that takes items in turn is one."""
    host, _, driver = model.rpartition("+")
    if not host and driver in KIND_OF_DRIVER:
        return KIND_OF_DRIVER[driver]
    return KIND_OF_DRIVER.get(driver, "lane") if host else "process"


def _halved(rows: Items) -> Items:
    """Join each two rows that follow one another."""
    order = sorted(range(len(rows)), key=rows.started.__getitem__)
    half = Items()
    for a, b in zip(order[::2], order[1::2], strict=False):
        kind = next((k for k in (rows.kind[a], rows.kind[b]) if k != DONE), DONE)
        half.add(
            rows.index[a],
            0,
            rows.started[a],
            max(rows.ended[a], rows.ended[b]),
            cpu_s=rows.cpu_s[a] + rows.cpu_s[b],
            shared=True,
            queued=rows.queued[a],
            attempt=rows.attempt[a],
            kind=KINDS[kind],
            count=rows.count[a] + rows.count[b],
            wall_s=rows.wall_s[a] + rows.wall_s[b],
            label=rows.label[a].partition(BETWEEN)[0]
            + BETWEEN
            + rows.label[b].rpartition(BETWEEN)[2],
        )
    if len(order) % 2:
        _extend(half, rows, [0] * len(rows), order[-1:])
    return half


def _extend(
    items: Items, rows: Items, lanes: Sequence[int], only: Sequence[int] | None = None
) -> None:
    """Append rows, or only some, that are in the lanes given."""
    rows.lane[:] = type(rows.lane)("q", lanes)
    for name in Items.__slots__:
        column = getattr(rows, name)
        getattr(items, name).extend(column if only is None else [column[n] for n in only])
