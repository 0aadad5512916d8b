"""A timeline from the columns of reports: what every run knows, with nothing recorded beside.

What came back is kept as it came while the run is on, which costs next to nothing, and put into columns
when somebody wants to see it. More rows than `MOST` are of no use to anyone who looks: then a row stands
for several items that ran one after another. Tested by `tests/record/test_gather.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from outpace.flow.data import Settled
from outpace.flow.order import Release
from outpace.flow.show import shown
from outpace.record.fold import partition
from outpace.record.timeline import Items, Lane, LaneKind, Timeline

MOST = 10_000  # rows of items; a screen has fewer columns by far, and a page with them stays smooth
LABEL = 60  # characters of an item's name

KIND_OF_DRIVER: dict[str, LaneKind] = {"serial": "main", "threads": "thread", "asyncio": "slot"}


def gathered(
    releases: Sequence[Release],
    model: str,
    span: tuple[float, float],
    *,
    cores: int,
    in_flight: int,
    startup_s: float = 0.0,
    label: Callable[[int], str] = str,
) -> Timeline:
    """Make a timeline of what has settled, at the positions given; `label` names an item by index."""
    total = sum(len(positions) for _, positions in releases)
    group = -(-total // MOST) or 1
    places: dict[tuple[int, int], list[Release]] = {}
    for settled, positions in releases:
        report = settled.report
        places.setdefault((report.worker, report.lane), []).append((settled, positions))
    items, lanes = Items(), []
    for (worker, number), found in sorted(places.items(), key=lambda pair: pair[0]):
        rows = Items()
        for settled, positions in found:
            _add(rows, settled, positions, group, label)
        inner = partition(rows.started, rows.ended)
        several = max(inner) > 0
        kind = lane_kind(model)
        lanes += [Lane(kind, worker, n if several else number) for n in range(max(inner) + 1)]
        _extend(items, rows, [len(lanes) - 1 - max(inner) + n for n in inner])
    return Timeline.from_items(
        model, span, items, lanes, cores=cores, in_flight=in_flight, startup_s=startup_s
    )


def lane_kind(model: str) -> LaneKind:
    """Say what the lanes of a model are, by its driver; serial ones are the process's only lane."""
    host, _, driver = model.rpartition("+")
    if not host and driver in KIND_OF_DRIVER:
        return KIND_OF_DRIVER[driver]
    return KIND_OF_DRIVER.get(driver, "lane") if host else "process"


def _add(
    rows: Items, settled: Settled, positions: Sequence[int], group: int, label: Callable[[int], str]
) -> None:
    """Append the items at some positions of a report, `group` of them a row."""
    report = settled.report
    each = report.cpu_s / len(report)
    for at in range(0, len(positions), group):
        part = positions[at : at + group]
        first, last = part[0], part[-1]
        walls = [report.ended[p] - report.started[p] for p in part]
        bad = [report.failures[p].kind for p in part if p in report.failures]
        name = label(report.indexes[first])
        if len(part) > 1:
            name += f" … {label(report.indexes[last])}"
        rows.add(
            report.indexes[first],
            0,
            min(report.started[p] for p in part),
            max(report.ended[p] for p in part),
            cpu_s=each * len(part),
            shared=len(report) > 1,
            queued=settled.queued[first],
            attempt=settled.attempts[first],
            kind=bad[0] if bad else "done",
            count=len(part),
            wall_s=sum(walls),
            label=name,
        )


def _extend(items: Items, rows: Items, lanes: Iterable[int]) -> None:
    """Append rows that are in the lanes given."""
    rows.lane[:] = type(rows.lane)("q", lanes)
    for name in Items.__slots__:
        getattr(items, name).extend(getattr(rows, name))


def labelled(item: object) -> str:
    """Name an item in a picture: a string as it is, anything else by its repr, both cut short."""
    if not isinstance(item, str):
        return shown(item, LABEL)
    return item if len(item) <= LABEL else item[: LABEL - 1] + "…"
