"""Timelines as Chrome trace events, the JSON that Perfetto opens by drag and drop.

A process of the trace is a worker of a model. A lane is a track of complete events (`X`): its items, and
inside them what they were doing, where that is known by the moment. Where only amounts are known, an
item carries its CPU share as an argument, and no order is made up. Cores busy and items in flight are
counters. Times are microseconds from the beginning of each run.
(Trace Event Format, "Complete Events", "Metadata Events", "Counter Events".)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from outpace.record import derive, states
from outpace.record.timeline import KINDS, Timeline

COUNTS = 400  # values of a counter
COLOURS = {  # the reserved names that the older viewer knows; Perfetto chooses by name
    states.RUNNING: "good",
    states.READY: "thread_state_runnable",
    states.GIL: "terrible",
    states.BLOCKING: "bad",
    states.BLOCKED: "bad",
}
WORKERS = 1000  # numbers of processes that one model may have


def trace(timelines: Sequence[Timeline]) -> dict[str, Any]:
    """Return the trace as an object to be written as JSON."""
    events = [
        event for n, timeline in enumerate(timelines, 1) for event in _events(timeline, n * WORKERS)
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _events(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Yield the events of one timeline; its workers are processes from `first` on."""
    yield from _names(timeline, first)
    ranked = sorted([*_items(timeline, first), *_states(timeline, first)], key=_outer_first)
    yield from ranked
    yield from _counters(timeline, first)


def _names(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Name the workers and lanes."""
    workers = sorted({lane.worker for lane in timeline.lanes} or {0})
    for worker in workers:
        name = timeline.model if len(workers) == 1 else f"{timeline.model}: process {worker}"
        pid = first + worker
        yield _meta("process_name", pid, 0, name=name)
        yield _meta("process_sort_index", pid, 0, sort_index=pid)
    for tid, lane in enumerate(timeline.lanes, 1):
        yield _meta("thread_name", first + lane.worker, tid, name=lane.name)
        yield _meta("thread_sort_index", first + lane.worker, tid, sort_index=tid)


def _meta(what: str, pid: int, tid: int, **args: Any) -> dict[str, Any]:
    """Make an event that names something."""
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}


def _items(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Yield an event for every row of items."""
    items = timeline.items
    for n, lane in enumerate(items.lane):
        started, ended = items.started[n], items.ended[n]
        yield {
            "ph": "X",
            "cat": "item",
            "name": items.label[n] or f"item {items.index[n]}",
            "pid": first + timeline.lanes[lane].worker,
            "tid": lane + 1,
            "ts": _micro(started - timeline.began),
            "dur": _micro(ended - started),
            "args": {
                "index": items.index[n],
                "items": items.count[n],
                "attempt": items.attempt[n],
                "end": KINDS[items.kind[n]],
                "cpu_ms": round(items.cpu_s[n] * 1e3, 4),
                "cpu_measured": "as a share of its group" if items.shared[n] else "by itself",
                "waited_in_line_ms": round(max(0.0, started - items.queued[n]) * 1e3, 4),
            },
        }


def _states(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Yield an event for every interval that was all of one state."""
    source = timeline.intervals
    for n, lane in enumerate(source.lane):
        state = source.state[n]
        if source.share[n] < 1.0 or state == states.IDLE:
            continue
        event = {
            "ph": "X",
            "cat": "sampled" if source.sampled[n] else "exact",
            "name": states.STATES[state].words,
            "pid": first + timeline.lanes[lane].worker,
            "tid": lane + 1,
            "ts": _micro(source.began[n] - timeline.began),
            "dur": _micro(source.ended[n] - source.began[n]),
        }
        if state in COLOURS:
            event["cname"] = COLOURS[state]
        yield event


def _counters(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Yield the strips, as counters of the first worker; only where they change."""
    for name, line in (
        ("cores busy", derive.cores_busy(timeline, COUNTS)),
        ("items in flight", derive.in_flight(timeline, COUNTS)),
    ):
        before = None
        for n, value in enumerate([*line, 0.0]):
            shown = round(value, 3)
            if shown != before:
                at = _micro(timeline.span_s * n / COUNTS)
                yield {"ph": "C", "name": name, "pid": first, "ts": at, "args": {name: shown}}
            before = shown


def _micro(value: float) -> float:
    """Write seconds in microseconds."""
    return round(value * 1e6, 3)


def _outer_first(event: dict[str, Any]) -> tuple[int, int, float, float]:
    """Order events as viewers nest them: by beginning, and the longer one first."""
    return event["pid"], event["tid"], event["ts"], -event["dur"]
