"""A race, or a timeline, from the JSON that it was saved as: every field that is used is checked.

What was raced and where is shown as it stands in the file; a field of the wrong kind is a `UsageError`
that names it. A file of an older outpace has no timelines, and is read all the same.
"""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from outpace.errors import UsageError
from outpace.racing.result import RACE_SCHEMA, Entrant, Race, Recommendation, Results, Status
from outpace.racing.stats import MedianRange
from outpace.record.timeline import Timeline
from outpace.record.timeline_json import TIMELINE_SCHEMA
from outpace.record.timeline_json import from_json as timeline_from_json

LARGEST_FILE = 1 << 29  # bytes of a file; a race of the most timelines has a hundredth of that
NUMBER_FIELDS = ("startup_s", "speedup", "throughput", "cpu_s", "published_s")
COUNT_FIELDS = ("workers", "in_flight", "peak_rss_bytes", "hanging_item")
JOB_FIELDS = {"name": str, "items": int, "item_wall_s": float, "waits": float}
MACHINE_FIELDS = {"cpus": int, "python": str, "gil": bool}


def read(path: str | Path) -> Race | Timeline:
    """Read a race, or a single timeline, from a file that `save` wrote; else raise `UsageError`."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{str(path)!r} is too large to be a race")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is no JSON: {error}") from error
    try:
        if isinstance(content, dict) and content.get("schema") == TIMELINE_SCHEMA:
            return timeline_from_json(content)
        return from_json(content)
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from error


def from_json(content: Any) -> Race:
    """Make a race of what `Race.as_json` gave; raise `UsageError` for anything else."""
    if not isinstance(content, dict) or content.get("schema") != RACE_SCHEMA:
        raise UsageError(f"this is no race of the schema {RACE_SCHEMA}")
    chosen = _field(content, "recommendation", dict)
    reasons = _field(chosen, "reasons", list)
    entrants = [_entrant(row) for row in _field(content, "entrants", list)]
    return Race(
        machine=_with(_field(content, "machine", dict), MACHINE_FIELDS),
        job=_with(_field(content, "job", dict), JOB_FIELDS),
        entrants=entrants,
        recommendation=Recommendation(_field(chosen, "model", str), tuple(map(str, reasons))),
        notes=list(map(str, content.get("notes") or ())),
    )


def _entrant(row: Any) -> Entrant:
    """Read one entrant."""
    if not isinstance(row, dict):
        raise UsageError("an entrant is no object")
    entrant = Entrant(_field(row, "model", str), _field(row, "function", str))
    entrant.status = _one_of(row, "status", get_args(Status))
    entrant.results = _one_of(row, "results", get_args(Results))
    entrant.reason = None if row.get("reason") is None else _field(row, "reason", str)
    for name in NUMBER_FIELDS:
        setattr(entrant, name, _perhaps(row, name, float))
    for name in COUNT_FIELDS:
        setattr(entrant, name, _perhaps(row, name, int))
    entrant.done = _perhaps(row, "done", int) or 0
    entrant.failed = _perhaps(row, "failed", int) or 0
    spread = row.get("makespan_s")
    if spread is not None:
        low, middle, high = (_field(spread, name, float) for name in ("min", "median", "max"))
        entrant.makespan_s = MedianRange(middle, low, high, _field(spread, "trials", int))
    if row.get("timeline") is not None:
        entrant.timeline = timeline_from_json(row["timeline"])
    return entrant


def _with(content: dict[str, Any], wanted: dict[str, type]) -> dict[str, Any]:
    """Return an object in which the fields that are shown are of their kinds."""
    for name, kind in wanted.items():
        _field(content, name, kind)
    return content


def _perhaps(content: Any, name: str, kind: type) -> Any:
    """Return a field that may be null or absent."""
    return None if content.get(name) is None else _field(content, name, kind)


def _one_of(content: Any, name: str, words: tuple[str, ...]) -> Any:
    """Return a field that has one of a few words."""
    value = _field(content, name, str)
    if value not in words:
        raise UsageError(f"{name} should be one of {', '.join(words)}, and is {value!r:.60}")
    return value


def _field(content: Any, name: str, kind: type) -> Any:
    """Return a field of a kind."""
    value = content.get(name) if isinstance(content, dict) else None
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not fits:
        raise UsageError(f"{name} should be {FIELD_KINDS[kind]}")
    return float(value) if kind is float else value  # type: ignore[arg-type] # it fits


FIELD_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false",
         list: "a list", dict: "an object"}  # fmt: skip
