"""Saving by suffix, and what a notebook shows."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

import outpace
from outpace.errors import UsageError
from outpace.racing.race_json import read
from outpace.report.save import SUFFIXES

PNG = pytest.param(".png", marks=pytest.mark.needs_fonts)


@pytest.mark.parametrize("suffix", [PNG if suffix == ".png" else suffix for suffix in SUFFIXES])
@pytest.mark.parametrize("what", ["race", "threads"])
def test_every_suffix_writes_what_it_says(what, suffix, tmp_path, request):
    path = tmp_path / f"saved{suffix}"

    request.getfixturevalue(what).save(path)

    data = path.read_bytes()
    match suffix:
        case ".json":
            assert json.loads(data)["schema"].startswith("outpace.")
        case ".trace.json":
            assert json.loads(data)["traceEvents"]
        case ".html":
            assert data.startswith(b"<!doctype html>")
        case ".svg":
            ET.fromstring(data)
        case ".png":
            assert data.startswith(b"\x89PNG\r\n")
            assert len(data) > 5000
        case ".md":
            assert data.startswith(b"```\n")
            assert data.endswith(b"\n```\n")
        case ".txt":
            assert b"threads" in data
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("race.pdf", "suffix"),
        ("race", "suffix"),
        (".json", "suffix"),
        ("nowhere/race.svg", "folder of .* does not exist"),
        ("folder.html", "is a folder"),
    ],
)
def test_a_path_that_cannot_be_is_said_in_a_line(race, tmp_path, name, told):
    (tmp_path / "folder.html").mkdir()

    with pytest.raises(UsageError, match=told) as raised:
        race.save(tmp_path / name)

    assert "\n" not in str(raised.value)


def test_what_was_there_stays_when_writing_fails(race, tmp_path, monkeypatch):
    path = tmp_path / "race.svg"
    path.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UsageError, match="No space left"):
        race.save(path)

    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["race.svg"]


def test_a_race_that_is_read_again_is_the_same(race, tmp_path):
    race.save(tmp_path / "race.json")

    again = read(tmp_path / "race.json")

    assert again.as_json() == race.as_json()


def test_a_timeline_of_a_model_that_has_none_is_said_so(race):
    assert race.timeline("threads").model == "threads"
    for model in ("dask", "nonsense"):
        with pytest.raises(UsageError, match="there is of: threads, asyncio"):
            race.timeline(model)


def test_a_notebook_shows_the_table_and_the_picture_and_runs_no_script(race, threads):
    for what in (race, threads):
        markup = what._repr_html_()
        assert "<script" not in markup
        assert "onerror" not in re.sub(r"&lt;.*?&gt;", "", markup)
        assert 'src="data:image/svg+xml;base64,' in markup
    assert "<table>" in race._repr_html_()


@pytest.mark.slow
def test_a_real_race_has_a_timeline_of_everyone_who_ran(tmp_path):
    race = outpace.race(abs, range(50), models=["threads", "processes"], repeat=1)

    for model in ("serial", "threads", "processes"):
        timeline = race.timeline(model)
        assert sum(timeline.items.count) == 50
        assert timeline.span_s == pytest.approx(race.entrant(model).makespan_s.median, rel=0.01)
        # By how much two processes' clocks may seem apart.
        slack = 1.0 if model == "processes" else 1e-3
        assert min(timeline.items.started) >= timeline.began - slack
        assert max(timeline.items.ended) <= timeline.ended + slack
    race.save(tmp_path / "race.html")
    race.timeline("serial").save(tmp_path / "serial.svg")
