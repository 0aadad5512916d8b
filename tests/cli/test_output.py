"""What is printed: on any stream, in its characters; and one line where it can't be."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outpace.cli import main
from outpace.flow.show import fitting
from outpace.report.progress import Snapshot, StatusLine, make_progress

WORK = "import time\ndef nap(text):\n    time.sleep(0.0001)\n    return text\n"
FULL = Path("/dev/full")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "items.txt").write_text("\n".join(map(str, range(6))))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "work", raising=False)
    return tmp_path


RACE = ["race", "work.py:nap", "--items", "items.txt", "--models", "threads,asyncio"]


def outpace(*arguments: str, shell: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, its output going where the shell says."""
    command = f'"$@" {shell}'
    return subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, "-m", "outpace", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "", **more},
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Give a race that was saved."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "work.py").write_text(WORK)
    path = folder / "race.json"
    command = f"cd {folder} && seq 6 | {sys.executable} -m outpace {' '.join(RACE)} --json {path}"
    subprocess.run(
        command.replace("items.txt", "-"), shell=True, timeout=60, check=True, capture_output=True
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["report"], ["report", "--timeline"], RACE, [*RACE, "--timeline"], ["models"]]
)
def test_pure_ascii_gets_what_there_is_in_ascii(folder, saved, arguments) -> None:
    files = [str(saved)] if arguments[0] == "report" else []
    done = outpace(*arguments, *files, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")

    assert done.returncode == 0
    assert done.stderr == ""
    done.stdout.encode("ascii")
    assert "\\x" not in done.stdout
    if arguments[0] != "models":
        assert " us" in done.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("35 µs, x4 …", "35 us, x4 ..."),
        ("60 \N{MULTIPLICATION SIGN} ≈", "60 x ~"),
        ("é", "\\xe9"),
        ("\udc80", "\\udc80"),
    ],
)
def test_a_text_is_written_in_the_characters_that_a_stream_has(text, expected) -> None:
    assert fitting(text, io.TextIOWrapper(io.BytesIO(), encoding="ascii")) == expected


def test_a_stream_that_has_them_gets_them_as_they_are() -> None:
    assert fitting("35 µs …", io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == "35 µs …"
    assert fitting("35 µs", io.TextIOWrapper(io.BytesIO(), encoding="latin-1")) == "35 µs"
    assert fitting("35 µs …", io.StringIO()) == "35 µs …"


def test_progress_is_drawn_in_ascii_as_well() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    progress = make_progress(wanted=True, stream=stream)
    progress._show(Snapshot(10, 4, 0, 1, 0.0, 3.0, 5e-6))
    stream.seek(0)
    assert "5 us left" in stream.read()


class Broken(io.StringIO):
    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_progress_line_that_cannot_be_drawn_is_left_out() -> None:
    line = StatusLine(Broken())
    line("half-way")
    line.clear()


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [RACE, ["models"], ["--help"], ["--version"]])
def test_a_full_disk_is_one_line_and_the_files_are_written(folder, arguments, unbuffered) -> None:
    files = ["--json", "race.json", "--html", "race.html"] if arguments == RACE else []
    done = outpace(*arguments, *files, shell="> /dev/full", PYTHONUNBUFFERED=unbuffered)

    assert done.returncode == 1
    assert done.stderr == "outpace: cannot write to standard output: No space left on device\n"
    if files:
        assert json.loads((folder / "race.json").read_text())["entrants"]
        assert (folder / "race.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("shell", ["2> /dev/full", "2>&-", ">&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_or_full_keeps_no_command_from_its_work(folder, shell) -> None:
    done = outpace(*RACE, "--json", "race.json", shell=shell)
    assert done.returncode == 0
    assert done.stderr == ""
    assert (folder / "race.json").exists()

    assert outpace("race", "nonesuch:f", shell=shell).returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX pipe")
def test_a_reader_that_leaves_early_changes_nothing_else(folder, saved) -> None:
    done = outpace("report", str(saved), "--timeline", shell="| head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1

    (folder / "wrong.py").write_text("def wrong(text):\n    raise ValueError\n")
    done = outpace(
        *("race", "wrong.py:wrong", "--items", "items.txt", "--models", "threads"),
        shell="| head -n 0; exit ${PIPESTATUS[0]}",
    )
    assert (done.returncode, done.stderr) == (1, "")  # items have failed, whoever reads of it


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{'x' * 300}.json", "File name too long"),
        ("folder.json", "is a folder"),
        ("no/where.json", "does not exist"),
        ("a\0b.json", "null"),
    ],
)
@pytest.mark.parametrize("command", [RACE, ["fetch", "http://127.0.0.1:9/"]], ids=["race", "fetch"])
def test_a_file_that_cannot_be_written_is_found_before_any_work(
    folder, capsys, path, words, command
) -> None:
    (folder / "folder.json").mkdir()
    assert main([*command, "--json", path]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_file_that_cannot_be_written_in_the_end_does_not_keep_the_others(
    folder, capsys, monkeypatch
) -> None:
    from outpace.report import save

    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target.name == "race.json":
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(save.Path, "replace", replace)
    code = main([*RACE, "--repeat", "1", "--json", "race.json", "--html", "race.html"])

    out, err = capsys.readouterr()
    assert code == 1
    assert err == "outpace: cannot write 'race.json': No space left on device\n"
    assert (folder / "race.html").exists()
    assert "makespan" in out
    assert not list(folder.glob(".outpace*"))


def test_without_a_command_the_help_is_shown(capsys) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""  # nothing was asked for, so this is no result
    assert err.startswith("usage: outpace ")
    assert "race" in err
