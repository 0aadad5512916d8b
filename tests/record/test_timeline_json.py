"""The JSON of a timeline: old files are read, wrong ones are refused with the field's name."""

import copy
import json

import pytest

from outpace.errors import UsageError
from outpace.flow.trace import Blocked
from outpace.record import states
from outpace.record.timeline import Lane, Timeline
from outpace.record.timeline_json import as_json, from_json

# As the first version wrote it. Never changed: what it reads as is what files out there mean.
FIRST = """
{"schema": "outpace.timeline/1", "model": "asyncio", "span_s": 0.5, "startup_s": 0.01, "cores": 2,
 "in_flight": 1, "how": "each step", "kinds": ["done", "failed", "timed-out", "lost", "cancelled"],
 "states": ["running", "ready", "waiting-network", "waiting-disk", "waiting-sleep", "waiting-lock",
            "waiting-child", "waiting", "waiting-gil", "blocking-computing", "blocking-waiting", "idle"],
 "lanes": [{"kind": "slot", "worker": 0, "number": 0}],
 "items": {"index": [7], "count": [1], "lane": [0], "attempt": [2], "kind": [1], "shared": [0],
           "queued": [0.0], "started": [0.1], "ended": [0.4], "wall_s": [0.3], "cpu_s": [0.1],
           "label": ["seven"]},
 "intervals": {"lane": [0, 0], "state": [0, 2], "sampled": [0, 1], "began": [0.1, 0.2],
               "ended": [0.2, 0.4], "share": [1.0, 0.5]},
 "blocked": [{"file": "a.py", "line": 3, "source": "time.sleep(1)", "label": "seven", "seconds": 0.1,
              "count": 1, "how": "waiting", "advice": "await asyncio.sleep"}]}
"""


def test_a_file_of_the_first_version_is_read():
    timeline = from_json(json.loads(FIRST))

    assert (timeline.model, timeline.span_s, timeline.cores) == ("asyncio", 0.5, 2)
    assert timeline.lanes == [Lane("slot", 0, 0)]
    assert timeline.items.label == ["seven"]
    assert list(timeline.intervals.state) == [states.RUNNING, states.NETWORK]
    assert timeline.blocked[0].line == 3
    assert json.loads(json.dumps(as_json(timeline))) == {**json.loads(FIRST), "notes": []}


def test_positions_are_those_of_the_file_and_not_of_this_version():
    data = json.loads(FIRST)
    data["states"] = ["waiting-network", "idle", "running"]

    timeline = from_json(data)

    assert list(timeline.intervals.state) == [states.NETWORK, states.RUNNING]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schema", "outpace.timeline/2", "outpace.timeline/1"),
        ("notes", [3], "notes"),
        ("span_s", "long", "span_s"),
        ("span_s", -1, "span_s"),
        ("span_s", float("nan"), "span_s"),
        ("states.0", "flying", "newer outpace"),
        ("kinds.0", "vanished", "newer outpace"),
        ("lanes", {}, "lanes"),
        ("lanes.0.worker", "first", "lanes[0].worker"),
        ("items.lane", [1], "items.lane"),
        ("items.kind", [9], "items.kind"),
        ("items.started", [], "items.started"),
        ("items.label", [5], "items.label"),
        ("items.index", [2**70], "items.index"),
        ("items.count", [0], "items.count"),
        ("intervals.state", [0, -1], "intervals.state"),
        ("intervals.share", [1.0, 1.5], "intervals.share"),
        ("intervals.began", [None, 0.1], "intervals.began"),
        ("blocked.0.how", "thinking", "blocked[0].how"),
        ("blocked.0.line", "third", "blocked[0].line"),
        ("model", None, "model"),
        ("cores", True, "cores"),
    ],
)
def test_a_wrong_field_is_named(path, value, named):
    data = json.loads(FIRST)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner = data
    for step in parents:
        inner = inner[step]
    inner[last] = value

    with pytest.raises(UsageError) as raised:
        from_json(data)

    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("data", [None, [], 5, "text", {}])
def test_what_is_no_timeline_is_refused(data):
    with pytest.raises(UsageError):
        from_json(data)


def test_no_field_may_be_missing_but_those_that_have_a_default():
    for name in json.loads(FIRST):
        data = json.loads(FIRST)
        del data[name]
        if name in ("how", "blocked", "startup_s"):
            from_json(data)
        else:
            with pytest.raises(UsageError):
                from_json(copy.deepcopy(data))


def test_times_count_from_the_beginning():
    timeline = Timeline("serial", 1000.0, 1001.0, 1, 1, [Lane("main")])
    timeline.items.add(0, 0, 1000.25, 1000.5, queued=999.0)

    items = as_json(timeline)["items"]

    assert (items["started"], items["ended"], items["queued"]) == ([0.25], [0.5], [-1.0])


def test_a_blocked_place_says_itself_in_a_line():
    place = Blocked(
        "/home/me/app.py", 12, "time.sleep(1)", "item 4", 1.5, 3, "waiting", "use asyncio"
    )

    assert str(place) == (
        "app.py:12 `time.sleep(1)` blocked the event loop for 1.5 s (3 times) by waiting, in item 4: "
        "use asyncio"
    )
