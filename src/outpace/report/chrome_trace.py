"""Timelines as Chrome trace events, the JSON that Perfetto opens by drag and drop.

A process of the trace is a worker of a model. A lane has two tracks of complete events (`X`): its items,
and below them what it was doing. Where only amounts are known, the event is what it was mostly doing and
says its share. Cores busy and items in flight are counters. Times are counted from the beginning of each
run, in whole nanoseconds: what overlaps by less than one is dropped by viewers.
(Trace Event Format, "Complete Events", "Metadata Events", "Counter Events".)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from outpace.record import metrics, states
from outpace.record.timeline import KINDS, Timeline

COUNTER_VALUES = 400  # values of a counter
COLOUR_NAMES = {  # the reserved names that the older viewer knows; Perfetto chooses by name
    states.RUNNING: "good",
    states.READY: "thread_state_runnable",
    states.GIL: "terrible",
    states.BLOCKING: "bad",
    states.BLOCKED: "bad",
}
PIDS_A_TIMELINE = 1000  # numbers of processes that one model may have


def chrome_trace(timelines: Sequence[Timeline]) -> dict[str, Any]:
    """Return the trace as an object to be written as JSON."""
    events = [
        event
        for n, timeline in enumerate(timelines, 1)
        for event in _events(timeline, n * PIDS_A_TIMELINE)
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _events(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Yield the events of one timeline; its workers are processes from `first` on."""
    yield from _names(timeline, first)
    yield from _apart(_items(timeline, first))
    yield from _apart(_states(timeline, first))
    yield from _counters(timeline, first)


def _apart(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Order the events of each track, and let none begin before the last has ended."""
    ended: dict[tuple[int, int], int] = {}
    for event in sorted(events, key=lambda event: (event["pid"], event["tid"], event["ts"])):
        track = event["pid"], event["tid"]
        began = max(event["ts"], ended.get(track, event["ts"]))
        until = max(began, event["ts"] + event["dur"])
        ended[track] = until
        yield {**event, "ts": began / 1e3, "dur": (until - began) / 1e3}


def _names(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Name the workers and lanes."""
    workers = sorted({lane.worker for lane in timeline.lanes} or {0})
    for worker in workers:
        name = timeline.model if len(workers) == 1 else f"{timeline.model}: process {worker}"
        pid = first + worker
        yield _meta("process_name", pid, 0, name=name)
        yield _meta("process_sort_index", pid, 0, sort_index=pid)
    for number, lane in enumerate(timeline.lanes):
        for tid, name in ((_track(number), lane.name), (_track(number) + 1, f"{lane.name}: state")):
            yield _meta("thread_name", first + lane.worker, tid, name=name)
            yield _meta("thread_sort_index", first + lane.worker, tid, sort_index=tid)


def _track(lane: int) -> int:
    """Return the number of the track of a lane's items; the next is that of its states."""
    return 2 * lane + 1


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
            "tid": _track(lane),
            **_when(timeline, started, ended),
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
    """Yield an event for every interval that was all, or mostly, of one state."""
    source = timeline.intervals
    for n, lane in enumerate(source.lane):
        state, share = source.state[n], source.share[n]
        if share <= 0.5 or state == states.IDLE:
            continue
        words = states.STATES[state].words
        event: dict[str, Any] = {
            "ph": "X",
            "cat": "sampled" if source.sampled[n] else "exact",
            "name": words if share >= 1.0 else f"mostly {words}",
            "pid": first + timeline.lanes[lane].worker,
            "tid": _track(lane) + 1,
            **_when(timeline, source.began[n], source.ended[n]),
            "args": {"share": round(share, 4)},
        }
        if state in COLOUR_NAMES:
            event["cname"] = COLOUR_NAMES[state]
        yield event


def _counters(timeline: Timeline, first: int) -> Iterator[dict[str, Any]]:
    """Yield the strips, as counters of the first worker; only where they change."""
    for name, line in (
        ("cores busy", metrics.cores_busy(timeline, COUNTER_VALUES)),
        ("items in flight", metrics.in_flight(timeline, COUNTER_VALUES)),
    ):
        before = None
        for n, value in enumerate([*line, 0.0]):
            shown = round(value, 3)
            if shown != before:
                at = round(timeline.span_s * n / COUNTER_VALUES * 1e6, 3)
                yield {"ph": "C", "name": name, "pid": first, "ts": at, "args": {name: shown}}
            before = shown


def _when(timeline: Timeline, began: float, ended: float) -> dict[str, int]:
    """Return when and for how long, in nanoseconds from the beginning; nothing was before that."""
    since = max(0, round((began - timeline.began) * 1e9))
    return {"ts": since, "dur": max(0, round((ended - timeline.began) * 1e9) - since)}
