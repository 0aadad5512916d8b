"""Trace events, by the rules of their format: what a viewer needs to draw them as they were."""

import json

import pytest

from outpace.record import states
from outpace.record.timeline import Lane, Timeline
from outpace.report.trace import trace


@pytest.fixture
def events(threads, asyncio):
    return json.loads(json.dumps(trace([threads, asyncio])))["traceEvents"]


def of(events, phase):
    return [event for event in events if event["ph"] == phase]


def test_every_event_has_what_its_phase_needs(events):
    needs = {"X": ("ts", "dur", "name", "pid", "tid"), "M": ("args", "name", "pid"),
             "C": ("ts", "args", "name", "pid")}  # fmt: skip
    for event in events:
        for name in needs[event["ph"]]:
            assert name in event
        assert isinstance(event["pid"], int)
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, float | int) for value in event["args"].values())


def test_the_events_of_a_track_nest(events):
    tracks: dict[tuple, list] = {}
    for event in of(events, "X"):
        tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    assert len(tracks) == 2 + 41
    for track in tracks.values():
        open_until: list[float] = []
        before = -1.0
        for event in track:
            assert event["ts"] >= before
            before, end = event["ts"], event["ts"] + event["dur"]
            while open_until and open_until[-1] <= event["ts"] + 0.01:
                open_until.pop()
            assert not open_until or end <= open_until[-1] + 0.01, event
            open_until.append(end)


def test_workers_and_lanes_have_their_names(events):
    names = {event["args"]["name"] for event in of(events, "M") if event["name"] == "process_name"}
    threads = {event["args"]["name"] for event in of(events, "M") if event["name"] == "thread_name"}

    assert names == {"threads", "asyncio"}
    assert {"thread 0", "event loop", "slot 39"} <= threads


def test_items_and_what_they_did_are_there_in_microseconds(events):
    items = [event for event in of(events, "X") if event["cat"] == "item"]
    exact = [event for event in of(events, "X") if event["cat"] == "exact"]

    assert len(items) == 44
    assert items[0]["dur"] == pytest.approx(500_000)
    assert items[0]["args"]["cpu_ms"] == pytest.approx(190)
    assert {event["name"] for event in exact} >= {"on CPU", "blocks the loop by waiting"}


def test_amounts_are_no_events_since_their_order_is_not_known():
    timeline = Timeline("serial", 0.0, 1.0, 2, 1, [Lane("main")])
    timeline.items.add(0, 0, 0.0, 1.0, cpu_s=0.25)
    timeline.intervals.add(0, states.RUNNING, 0.0, 1.0, 0.25, sampled=True)

    events = [event for event in trace([timeline])["traceEvents"] if event["ph"] == "X"]

    assert [event["cat"] for event in events] == ["item"]


def test_the_counters_say_how_many_cores_and_items(events):
    busy = [
        event["args"]["cores busy"] for event in of(events, "C") if event["name"] == "cores busy"
    ]
    flight = [
        e["args"]["items in flight"] for e in of(events, "C") if e["name"] == "items in flight"
    ]

    assert max(busy) <= 2
    assert max(flight) == pytest.approx(40)
    assert (busy[-1], flight[-1]) == (0, 0)
