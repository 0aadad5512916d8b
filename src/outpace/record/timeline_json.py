"""A timeline as JSON, `outpace.timeline/1` (docs/timeline-json.md), and back.

Times are seconds from its own beginning, rounded to a tenth of a microsecond; states and kinds of end
are positions in the lists that stand in the same object. A file is what somebody sends: every
field is checked, and a wrong one is a `UsageError` that names it. Pure; tested by
`tests/record/test_timeline_json.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

from outpace.errors import UsageError
from outpace.flow.trace import Blocked
from outpace.record import states
from outpace.record.timeline import KINDS, LANE_KINDS, Intervals, Items, Lane, Timeline

TIMELINE_SCHEMA = "outpace.timeline/1"
DIGITS = 7
TIME_COLUMNS = ("queued", "started", "ended", "began")  # columns that count from the beginning
LARGEST_ROWS = 2_000_000  # of a file; more is a mistake or an attack
BLOCKED_FIELDS = {"file": str, "line": int, "source": str, "label": str, "seconds": float, "count": int,
           "how": str, "advice": str}  # fmt: skip

Column = TypeVar("Column", Items, Intervals)


def as_json(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline as plain lists and numbers."""
    return {
        "schema": TIMELINE_SCHEMA,
        "model": timeline.model,
        "span_s": round(timeline.span_s, DIGITS),
        "startup_s": round(timeline.startup_s, DIGITS),
        "cores": timeline.cores,
        "in_flight": timeline.in_flight,
        "how": timeline.how,
        "notes": list(timeline.notes),
        "kinds": list(KINDS),
        "states": list(states.NAMES),
        "lanes": [{"kind": x.kind, "worker": x.worker, "number": x.number} for x in timeline.lanes],
        "items": _columns_out(timeline.items, timeline.began),
        "intervals": _columns_out(timeline.intervals, timeline.began),
        "blocked": [{name: getattr(b, name) for name in BLOCKED_FIELDS} for b in timeline.blocked],
    }


def from_json(data: Any) -> Timeline:
    """Make a timeline of what `as_json` gave; raise `UsageError` for anything else."""
    data = _object(data, "the timeline")
    if data.get("schema") != TIMELINE_SCHEMA:
        raise UsageError(
            f"this is no timeline of the schema {TIMELINE_SCHEMA}: {data.get('schema')!r:.60}"
        )
    span = _number(data.get("span_s"), "span_s")
    if span < 0:
        raise _wrong("span_s", "a number of at least 0")
    known = _names(data.get("states"), "states")
    if strange := [name for name in known if name not in states.NAMES]:
        raise UsageError(
            f"a newer outpace wrote this timeline: it has the state {strange[0]!r:.60}"
        )
    kinds = _names(data.get("kinds"), "kinds")
    if strange := [name for name in kinds if name not in KINDS]:
        raise UsageError(f"a newer outpace wrote this timeline: it has the end {strange[0]!r:.60}")
    lanes = [_lane(lane, n) for n, lane in enumerate(_list(data.get("lanes"), "lanes"))]
    items = _columns_in(Items(), data.get("items"), "items")
    intervals = _columns_in(Intervals(), data.get("intervals"), "intervals")
    for where, column in (("items", items.lane), ("intervals", intervals.lane)):
        _positions(column, len(lanes), f"{where}.lane")
    _translate(items.kind, [KINDS.index(name) for name in kinds], "items.kind")
    _translate(intervals.state, list(map(states.number, known)), "intervals.state")
    if any(share < 0 or share > 1 for share in intervals.share):
        raise _wrong("intervals.share", "shares between 0 and 1")
    if any(count < 1 for count in items.count):
        raise _wrong("items.count", "numbers of at least 1")
    return Timeline(
        model=_typed(data.get("model"), str, "model"),
        began=0.0,
        ended=span,
        cores=_typed(data.get("cores"), int, "cores"),
        in_flight=_typed(data.get("in_flight"), int, "in_flight"),
        lanes=lanes,
        items=items,
        intervals=intervals,
        blocked=[
            _blocked(row, n) for n, row in enumerate(_list(data.get("blocked", []), "blocked"))
        ],
        how=_typed(data.get("how", ""), str, "how"),
        startup_s=_number(data.get("startup_s", 0.0), "startup_s"),
        notes=_names(data.get("notes", []), "notes"),
    )


def _columns_out(columns: Items | Intervals, began: float) -> dict[str, list[Any]]:
    """Write columns as lists."""
    out: dict[str, list[Any]] = {}
    for name in columns.__slots__:
        column = getattr(columns, name)
        if isinstance(column, array) and column.typecode == "d":
            offset = began if name in TIME_COLUMNS else 0.0
            out[name] = [round(value - offset, DIGITS) for value in column]
        else:
            out[name] = list(column)
    return out


def _columns_in(columns: Column, data: Any, where: str) -> Column:
    """Read columns of one length into those given."""
    data = _object(data, where)
    length: int | None = None
    for name in columns.__slots__:
        values = _list(data.get(name), f"{where}.{name}")
        length = len(values) if length is None else length
        if len(values) != length or length > LARGEST_ROWS:
            raise _wrong(f"{where}.{name}", f"a column as long as the others ({length} rows)")
        column = getattr(columns, name)
        if isinstance(column, array):
            check = _integer if column.typecode == "q" else _number
            column.extend([check(value, f"{where}.{name}") for value in values])
        else:
            column.extend([_typed(value, str, f"{where}.{name}") for value in values])
    return columns


def _translate(column: array[int], now: list[int], where: str) -> None:
    """Turn positions in the file's list into positions in ours."""
    _positions(column, len(now), where)
    column[:] = array("q", [now[value] for value in column])


def _positions(column: array[int], length: int, where: str) -> None:
    """Check that all are positions in a list of a length."""
    if any(not 0 <= value < length for value in column):
        raise _wrong(where, f"positions from 0 to {length - 1}")


def _lane(data: Any, n: int) -> Lane:
    """Read a lane."""
    data = _object(data, f"lanes[{n}]")
    kind = data.get("kind")
    return Lane(
        kind if kind in LANE_KINDS else "lane",
        _integer(data.get("worker"), f"lanes[{n}].worker"),
        _integer(data.get("number"), f"lanes[{n}].number"),
    )


def _blocked(data: Any, n: int) -> Blocked:
    """Read a blocked place."""
    data = _object(data, f"blocked[{n}]")
    fields = {
        name: _of_kind(kind, data.get(name), f"blocked[{n}].{name}")
        for name, kind in BLOCKED_FIELDS.items()
    }
    if fields["how"] not in ("computing", "waiting"):
        raise _wrong(f"blocked[{n}].how", "'computing' or 'waiting'")
    return Blocked(**fields)


def _of_kind(kind: type, value: Any, where: str) -> Any:
    """Read a value of one of the kinds that a blocked place has."""
    if kind is str:
        return _typed(value, str, where)
    return _integer(value, where) if kind is int else _number(value, where)


def _number(value: Any, where: str) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _wrong(where, "numbers")
    return float(value)


def _integer(value: Any, where: str) -> int:
    """Read a whole number that a column can hold."""
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise _wrong(where, "whole numbers")
    return int(value)


def _typed(value: Any, kind: type, where: str) -> Any:
    """Read a value of a type."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(where, {str: "text", int: "a whole number"}[kind])
    return value


def _names(value: Any, where: str) -> list[str]:
    """Read a list of texts."""
    return [_typed(name, str, where) for name in _list(value, where)]


def _list(value: Any, where: str) -> list[Any]:
    """Read a list."""
    if not isinstance(value, list):
        raise _wrong(where, "a list")
    return value


def _object(value: Any, where: str) -> Mapping[str, Any]:
    """Read an object."""
    if not isinstance(value, dict):
        raise _wrong(where, "an object")
    return value


def _wrong(where: str, wanted: str) -> UsageError:
    """Say what is wrong with a field of a file."""
    return UsageError(f"the timeline cannot be read: {where} should be {wanted}")
