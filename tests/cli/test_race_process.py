"""A race whose items end its process, and the signals that a race in two processes gets."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outpace.cli import race_process

pytestmark = pytest.mark.skipif(
    not race_process.FORKS, reason="the race has a process of its own: Linux"
)

WORK = """
import ctypes, os, pathlib, time
def exits(text):
    if text == "3":
        os._exit(0)
    return text
def crashes(text):
    if text == "3":
        ctypes.string_at(0)
    return text
def keeps_the_gil(text):
    if text == "3":
        ctypes.PyDLL(None).sleep(1000)
    return text
def hangs(text):
    if text == "3":
        pathlib.Path("here").touch()
        time.sleep(1000)
    return text
"""
PROGRAM = """
import sys
from outpace.cli import main, race_process
race_process.LATE_S = {late}
sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "items.txt").write_text("\n".join(map(str, range(6))))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def race(function: str, *more: str, late: float = race_process.LATE_S) -> list[str]:
    arguments = ["race", f"work.py:{function}", "--items", "items.txt", "--models", "threads"]
    return [sys.executable, "-c", PROGRAM.format(late=late), *arguments, *more]


def outcome(command: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "how"), [("exits", "ended with exit code 0"), ("crashes", "was killed by SIGSEGV")]
)
def test_an_item_that_ends_the_process_is_named_in_one_line(folder, function, how) -> None:
    code, out, err = outcome(race(function))

    assert code == 1
    assert out == ""
    assert f"the process of the race {how} in round 1, with serial on item 3 ('3')" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_budget_holds_in_native_code_that_nothing_can_interrupt(folder) -> None:
    code, _, err = outcome(race("keeps_the_gil", "--budget", "1", late=0.5))

    assert code == 1
    assert "given up" in err
    assert "item 3 ('3')" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_budget_holds_inside_an_item_and_what_there_is_is_printed(folder) -> None:
    code, out, err = outcome(race("hangs", "--budget", "6", "--json", "race.json"))

    assert code == 1
    assert err == ""
    assert "serial: stopped after" in out
    assert "item 3 ('3') had been running for" in out
    rows = json.loads((folder / "race.json").read_text())["entrants"]
    assert [row["hanging_item"] for row in rows] == [3, 3]


def signalled(folder: Path, number: int, send) -> tuple[int, str, str]:
    """Send a signal to a race that is in the middle of serial; return what became of it."""
    with subprocess.Popen(
        race("hangs", "--budget", "1000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 30
        while not (folder / "here").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
        send(process.pid, number)
        out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["by number", "by the terminal"])
@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_an_interrupt_in_the_middle_of_serial_prints_what_there_is(
    folder, number, code, line, send
) -> None:
    returned, out, err = signalled(folder, number, send)

    assert returned == code
    assert err == f"outpace: {line}\n"
    assert "serial: stopped after" in out
    assert "item 3 ('3') had been running for" in out
    assert "threads: the race was interrupted before it had run" in out


@pytest.mark.slow
def test_a_race_whose_parent_is_killed_ends_as_well(folder) -> None:
    code, out, err = signalled(folder, signal.SIGKILL, os.kill)

    assert code == -signal.SIGKILL
    assert err == "outpace: terminated\n"  # both ends of the pipes are closed, so nobody has them
    assert "serial: stopped after" in out


def test_the_fork_of_an_item_does_not_speak_for_the_race(folder) -> None:
    note = race_process.RaceNote()
    note.end(os.getpid() + 1)
    assert not note.has_ended
    note.end(os.getpid())
    assert note.has_ended
