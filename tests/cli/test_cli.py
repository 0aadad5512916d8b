"""The command line as a person meets it: good use, wrong use, Ctrl-C, a pipe."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outpace.cli import main

WORK = """
import time
def nap(text):
    time.sleep(0.001)
    return text
async def anap(text):
    return text
def bad(text):
    if text == "3":
        raise ValueError("three")
    return text
def two(a, b):
    return a
def by_column(text):
    return float(text)
def long_nap(text):
    print("napping", flush=True)
    time.sleep(60)
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Be in a folder with a module and some items."""
    (tmp_path / "naps.py").write_text(WORK)
    (tmp_path / "broken.py").write_text("x = 1\nnot_defined\n")
    (tmp_path / "items.txt").write_text("\n".join(map(str, range(6))) + "\n\n")
    (tmp_path / "items.json").write_text("[1, 2, 3]")
    (tmp_path / "items.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    (tmp_path / "items.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "object.json").write_text("{}")
    (tmp_path / "wrong.jsonl").write_text('{"a": 1}\n{oops\n')
    (tmp_path / "ragged.csv").write_text("a,b\n1\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(4)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    for name in ("naps", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def outpace(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "outpace", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("race", "required"),
        ("rase", "rase"),
        ("rase", "there is no command 'rase' among race, fetch, report, models; did you mean race? See"),
        ("xyz", "there is no command 'xyz' among race, fetch, report, models; see outpace --help"),
        ("--vresion", "there is no option --vresion; did you mean --version?"),
        ("race a.py:f --models threads processes", "put a comma between: --models threads,processes"),
        ("help", "see outpace --help"),
        ("work.py:visit", "to race it: outpace race work.py:visit"),
        ("models models", "nothing that 'models' could mean here"),
        ("race pagez", "pagez"),
        ("race pagess", "there is no experiment 'pagess'; did you mean pages?"),
        ("race naps.py", "write naps.py:FUNCTION"),
        ("race naps:", "write naps:FUNCTION"),
        ("race naps", "write naps:FUNCTION"),
        ("race --itmes items.txt",
         "outpace race: there is no option --itmes; did you mean --items? See outpace race --help"),
        ("race --itmes", "there is no option --itmes; did you mean --items?"),
        ("race naps:nap --itmes=items.txt", "did you mean --items?"),
        ("race naps:nap --items item.txt", "no file 'item.txt'; did you mean items.txt?"),
        ("race naps:nap --items ./item.txt", "no file './item.txt'; did you mean items.txt?"),
        ("race nap.py:nap --items items.txt", "no file 'nap.py'; did you mean naps.py?"),
        ("race nasp:nap --items items.txt", "no module 'nasp' here or on sys.path; did you mean naps?"),
        ("race naps:nap --items items.txt --models thread", "did you mean threads?"),
        ("race naps:nap", "--items"),
        ("race naps:nap items.txt", "did you mean --items items.txt?"),
        ("race naps:nap --items no.txt", "no.txt"),
        ("race naps:nap --items empty.txt", "empty.txt has no items"),
        ("race naps:nap --items object.json", "object.json is not what its suffix says"),
        ("race naps:nap --items wrong.jsonl", "line 2"),
        ("race naps:nap --items ragged.csv", "line 2"),
        ("race naps:nap --items latin.txt", "UTF-8"),
        ("race naps:nap --items deep.json", "deep.json is not what its suffix says"),
        ("race leaves.py:f --items items.txt", "leaves cannot be imported: SystemExit: 4 (line 2)"),
        ("report deep.json", "'deep.json' is no JSON"),
        ("race naps:nap --items items.csv --column c", "no column 'c'; it has a, b"),
        ("race naps:nap --items items.txt --column c", "--column is for .csv"),
        ("race naps:naap --items items.txt", "did you mean 'nap'"),
        ("race naps:number --items items.txt", "not a function"),
        ("race naps:two --items items.txt", "two(item)"),
        ("race nonesuch:f --items items.txt", "no module 'nonesuch'"),
        ("race none.py:f --items items.txt", "no file 'none.py'"),
        ("race broken:f --items items.txt", "NameError"),
        ("race broken.py:f --items items.txt", "(line 2)"),
        ("race naps:nap --items items.txt --workers 0", "--workers"),
        ("race naps:nap --items items.txt --workers two", "--workers"),
        ("race naps:nap --items items.txt --models fast", "'fast'"),
        ("race naps:nap --items items.txt --models auto", "auto"),
        ("race naps:nap --items items.txt --models ,", "no models are named"),
        ("race naps:nap --items items.txt --budget 0", "budget"),
        ("race naps:nap --items .", "Is a directory"),
        ("race naps:nap --items items.txt --json no/where.json", "folder"),
        ("race naps:nap --items items.txt --json race.pdf", "race.pdf"),
        ("race naps:nap naps:anap --items items.txt --setup naps:nap --setup naps:nap --setup naps:nap",
         "setup"),
        ("race naps:nap --items items.txt --latency 1", "--latency does not go with"),
        ("race sums --items items.txt", "--items does not go with sums"),
        ("race sums pages", "raced alone"),
        ("race pages --latency -1", "--latency"),
        ("race pages --url nonsense", "'nonsense' is not a URL"),
        ("models --wrong", "--wrong"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_clear_line_and_exit_code_2(folder, capsys, arguments, words) -> None:
    try:
        code = main(arguments.split())
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()

    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert err.startswith("outpace")


@pytest.mark.slow
def test_a_race_of_ones_own_functions_on_a_file(folder, capsys) -> None:
    arguments = "race naps:nap naps.py:anap --items items.txt --json race.json --repeat 1"
    assert main(arguments.split()) == 0

    rows = json.loads((folder / "race.json").read_text())["entrants"]
    assert [row["results"] for row in rows] == ["same"] * len(rows)
    assert {row["status"] for row in rows} == {"ran"}
    assert json.loads((folder / "race.json").read_text())["job"]["items"] == 6
    assert "Use " in capsys.readouterr().out


@pytest.mark.slow
def test_items_that_fail_make_exit_code_1_and_lose_nobody_elses_results(folder, capsys) -> None:
    code = main(
        [
            "race",
            "naps:bad",
            "--items",
            "items.txt",
            "--models",
            "threads,processes",
            "--repeat",
            "1",
        ]
    )

    assert code == 1
    assert "ValueError: three" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "count"),
    [("items.json", 3), ("items.jsonl", 2), ("items.csv", 2), ("items.csv --column b", 2)],
)
def test_items_are_read_by_the_suffix(folder, arguments, count) -> None:
    from outpace.cli import load

    path, *column = arguments.split(" --column ")
    found = load.items(path, *column)
    assert len(found) == count
    if column:
        assert found == ["x", "y"]


@pytest.mark.slow
def test_items_come_from_standard_input(folder) -> None:
    done = outpace("race", "naps:nap", "--items", "-", "--models", "threads", input="a\nb\n")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "2 items" in done.stdout


def test_models_lists_every_model(capsys) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    for name in ("serial", "threads", "asyncio", "processes", "processes+asyncio"):
        assert f"{name} " in out


def test_help_is_shown_without_importing_the_engine_room() -> None:
    code = (
        "import sys; from outpace.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    )
    code += "print([m for m in ('asyncio', 'requests', 'json') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a Unix signal; needs POSIX")
@pytest.mark.parametrize(
    "model", ["serial", "threads", "asyncio", "processes", "processes+asyncio"]
)
def test_ctrl_c_ends_a_race_with_what_there_is_a_line_and_130(folder, model) -> None:
    (folder / "slow.py").write_text(
        "import os, time\n"
        "def nap(text):\n"
        "    if os.environ.get('SLOW') and not os.path.exists('fast'):\n"
        "        open('fast', 'w').close()\n"
        "        return text\n"
        "    open('begun', 'w').close()\n"
        "    time.sleep(0.02)\n"
        "    return text\n"
    )
    (folder / "many.txt").write_text("\n".join(map(str, range(100_000))))
    command = [sys.executable, "-m", "outpace", "race", "slow:nap", "--items", "many.txt"]
    with subprocess.Popen(
        [*command, "--models", model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SLOW": "1"},
    ) as process:
        while not (folder / "begun").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "\nserial: stopped after" in out
    assert err == "outpace: interrupted\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX pipe")
def test_a_reader_that_leaves_early_is_no_error(folder) -> None:
    done = subprocess.run(
        f"{sys.executable} -m outpace models | head -n 0",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
