"""A timeline from the columns of reports: what every run knows, with nothing recorded beside.

A `Gathering` takes what settles and stays small: more rows than `MOST` are of no use to anyone who
looks, so when there are twice as many, each two that followed one another in a lane become one that
stands for both. Ten million items take as much memory as ten thousand.
Tested by `tests/record/test_gather.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from outpace.flow.data import Kind, Settled
from outpace.flow.show import shown
from outpace.record.fold import partition
from outpace.record.timeline import KINDS, Items, Lane, LaneKind, Timeline

MOST = 10_000  # rows of items; a screen has fewer columns by far, and a page with them stays smooth
LABEL = 60  # characters of an item's name
BETWEEN = " … "
DONE = KINDS.index("done")
KIND_OF_DRIVER: dict[str, LaneKind] = {"serial": "main", "threads": "thread", "asyncio": "slot"}


def labelled(item: object) -> str:
    """Name an item in a picture: a string as it is, anything else by its repr, both cut short."""
    if not isinstance(item, str):
        return shown(item, LABEL)
    return item if len(item) <= LABEL else item[: LABEL - 1] + "…"


class Gathering:
    """Be the columns of a run so far, by worker and lane."""

    def __init__(self, label: Callable[[Any], str] = labelled) -> None:
        """Begin with nothing; `label` names an item."""
        self._label = label
        self._places: dict[tuple[int, int], Items] = {}
        self._group = 1  # items a row

    def __len__(self) -> int:
        """Count the rows."""
        return sum(map(len, self._places.values()))

    def add(self, settled: Settled, positions: Sequence[int]) -> None:
        """Take in what has settled, at some positions of a report."""
        report = settled.report
        rows = self._places.setdefault((report.worker, report.lane), Items())
        for at in range(0, len(positions), self._group):
            _add(rows, settled, positions[at : at + self._group], self._label)
        while len(self) > 2 * MOST:
            self._group *= 2
            self._places = {place: _halved(rows) for place, rows in self._places.items()}

    def timeline(
        self,
        model: str,
        span: tuple[float, float],
        *,
        cores: int,
        in_flight: int,
        startup_s: float = 0.0,
    ) -> Timeline:
        """Make the timeline. Items that overlap in what a report calls one lane get slots."""
        items = Items()
        lanes: list[Lane] = []
        kind = lane_kind(model)
        for (worker, number), rows in sorted(self._places.items(), key=lambda pair: pair[0]):
            inner = partition(rows.started, rows.ended)
            width = max(inner, default=0) + 1
            _extend(items, rows, [len(lanes) + n for n in inner])
            lanes += [Lane(kind, worker, n if width > 1 else number) for n in range(width)]
        return Timeline.from_items(
            model, span, items, lanes, cores=cores, in_flight=in_flight, startup_s=startup_s
        )


def lane_kind(model: str) -> LaneKind:
    """Say what the lanes of a model are, by its driver; a process that takes items in turn is one."""
    host, _, driver = model.rpartition("+")
    if not host and driver in KIND_OF_DRIVER:
        return KIND_OF_DRIVER[driver]
    return KIND_OF_DRIVER.get(driver, "lane") if host else "process"


def _add(rows: Items, settled: Settled, part: Sequence[int], label: Callable[[Any], str]) -> None:
    """Append one row for the items at some positions of a report."""
    report, first, last = settled.report, part[0], part[-1]
    bad = [report.failures[p].kind for p in part if p in report.failures] if report.failures else []
    kind: Kind = bad[0] if bad else "done"
    name = label(settled.items[first])
    rows.add(
        report.indexes[first],
        0,
        min(report.started[p] for p in part),
        max(report.ended[p] for p in part),
        cpu_s=report.cpu_s / len(report) * len(part),
        shared=len(report) > 1,
        queued=settled.queued[first],
        attempt=settled.attempts[first],
        kind=kind,
        count=len(part),
        wall_s=sum(report.ended[p] - report.started[p] for p in part),
        label=name if len(part) == 1 else name + BETWEEN + label(settled.items[last]),
    )


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
    items: Items, rows: Items, lanes: Iterable[int], only: Sequence[int] | None = None
) -> None:
    """Append rows, or only some, that are in the lanes given."""
    rows.lane[:] = type(rows.lane)("q", lanes)
    for name in Items.__slots__:
        column = getattr(rows, name)
        getattr(items, name).extend(column if only is None else [column[n] for n in only])
