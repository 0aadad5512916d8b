"""A race from its file: an old one is read, and one that is wrong is refused with the field's name."""

import json

import pytest

from outpace.errors import UsageError
from outpace.racing.race_json import from_json, read

# As it was written before there were timelines.
FIRST = """
{"schema": "outpace.race/1", "machine": {"cpus": 2, "python": "3.11.7", "gil": true},
 "job": {"name": "pages", "items": 160, "item_wall_s": 0.1, "item_cpu_s": 0.001, "waits": 0.99},
 "entrants": [{"model": "serial", "function": "f", "status": "ran", "reason": null, "workers": 1,
   "in_flight": 1, "startup_s": 0.0,
   "makespan_s": {"median": 16.0, "min": 15.0, "max": 17.0, "trials": 3},
   "speedup": 1.0, "throughput": 10.0, "cpu_s": 0.2, "peak_rss_bytes": 60000000, "results": "same",
   "done": 160, "failed": 0, "published_s": null}],
 "recommendation": {"model": "serial", "reasons": ["it is the only one"]}, "notes": []}
"""


def test_a_file_of_before_there_were_timelines_is_read():
    race = from_json(json.loads(FIRST))

    assert race.entrants[0].makespan_s.median == 16.0
    assert race.entrants[0].timeline is None
    assert race.recommendation.reasons == ("it is the only one",)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schema", "outpace.race/9", "schema"),
        ("entrants", {}, "entrants"),
        ("entrants.0", 5, "entrant"),
        ("entrants.0.model", 5, "model"),
        ("entrants.0.status", "flew", "status"),
        ("entrants.0.results", "fine", "results"),
        ("entrants.0.makespan_s", {"median": "x"}, "min"),
        ("entrants.0.speedup", float("inf"), "speedup"),
        ("entrants.0.workers", "one", "workers"),
        ("entrants.0.timeline", {"schema": "x"}, "timeline"),
        ("machine.cpus", "two", "cpus"),
        ("job.name", None, "name"),
        ("recommendation", None, "recommendation"),
    ],
)
def test_a_wrong_field_is_named(path, value, named):
    data = json.loads(FIRST)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner = data
    for step in parents:
        inner = inner[step]
    inner[last] = value

    with pytest.raises(UsageError, match=named):
        from_json(data)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "\xff\xfe", "{}"])
def test_a_file_that_is_no_race_is_one_clear_line(tmp_path, text):
    path = tmp_path / "race.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(UsageError) as raised:
        read(path)

    assert "race.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path / "race.json")
