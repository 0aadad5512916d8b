"""`outpace race` with pictures, and `outpace report`."""

import json
import signal
import subprocess
import sys
import time

import pytest

import outpace
from outpace.cli import main

WORK = "def double(text):\n    return text * 2\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "items.txt").write_text("\n".join("abcdef"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "work", raising=False)
    return tmp_path


RACE = ["race", "work.py:double", "--items", "items.txt", "--models", "threads", "--repeat", "1"]


@pytest.mark.slow
@pytest.mark.needs_fonts
def test_a_race_is_written_in_every_form_that_was_asked_for(folder, capsys):
    files = {
        "--json": "r.json",
        "--html": "r.html",
        "--svg": "r.svg",
        "--png": "r.png",
        "--trace": "t.json",
    }

    code = main([*RACE, "--timeline", *(word for pair in files.items() for word in pair)])

    assert code == 0
    out = capsys.readouterr().out
    assert "makespan" in out
    assert "cores busy" in out
    assert "work.py" not in out
    assert json.loads((folder / "t.json").read_text())["traceEvents"]
    assert (folder / "r.png").read_bytes().startswith(b"\x89PNG")
    for name in files.values():
        assert (folder / name).stat().st_size > 1000


@pytest.mark.slow
def test_a_saved_race_is_shown_again_with_its_timelines(folder, capsys):
    main([*RACE, "--json", "r.json"])
    table = capsys.readouterr().out

    assert main(["report", "r.json"]) == 0
    assert capsys.readouterr().out == table

    assert main(["report", "r.json", "--html", "r.html", "--svg", "r.svg"]) == 0
    assert capsys.readouterr().out == ""
    assert "double" in (folder / "r.html").read_text()
    assert 'data-model="threads"' in (folder / "r.svg").read_text()

    assert main(["report", "r.json", "--timeline"]) == 0
    assert "main thread" in capsys.readouterr().out


@pytest.mark.slow
def test_a_saved_timeline_is_shown_again_too(folder, capsys):
    outpace.race(abs, [3, 1, 2], models=["threads"], repeat=1).timeline("threads").save("t.json")

    assert main(["report", "t.json", "--html", "t.html"]) == 0
    assert "how long items took" in (folder / "t.html").read_text().lower()
    assert main(["report", "t.json"]) == 0
    assert "threads, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*RACE, "--html", "r.txt"], "--html writes a .html file"),
        ([*RACE, "--svg", "nowhere/r.svg"], "does not exist"),
        ([*RACE, "--trace", "r.html"], "--trace writes a .json file"),
        ([*RACE, "--json", "r.svg"], "--json writes a .json file"),
        (["report", "missing.json"], "cannot read 'missing.json'"),
        (["report", "items.txt"], "'items.txt' is no JSON"),
        (["report", "items.txt", "--png", "r.jpg"], "--png writes a .png file"),
    ],
)
def test_wrong_use_is_one_line_before_any_work(folder, capsys, arguments, told):
    assert main(arguments) == 2

    out, err = capsys.readouterr()
    assert told in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_png_without_its_extra_says_what_to_install(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)

    assert main([*RACE, "--png", "r.png"]) == 2
    assert "pip install 'outpace[png]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_race_that_is_interrupted_half_way_saves_what_it_has(folder):
    (folder / "slow.py").write_text(
        "import asyncio, pathlib\n"
        "def quick(text):\n    return text\n"
        "async def slow(text):\n"
        "    pathlib.Path('begun').touch()\n"
        "    await asyncio.sleep(60)\n    return text\n"
    )
    command = [
        sys.executable, "-m", "outpace", "race", "slow.py:quick", "slow.py:slow", "--items", "items.txt",
        "--models", "asyncio", "--json", "r.json", "--html", "r.html",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (folder / "begun").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

    assert (process.returncode, err) == (130, "outpace: interrupted\n")
    assert "asyncio: the race was interrupted before it had run" in out
    saved = json.loads((folder / "r.json").read_text())
    serial, other = saved["entrants"]
    assert (serial["status"], len(serial["timeline"]["items"]["index"])) == ("ran", 6)
    assert (other["status"], other["timeline"]) == ("stopped", None)
    assert "interrupted" in (folder / "r.html").read_text()
