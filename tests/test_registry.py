"""The registry: names, settings, and a driver in one file that appears everywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import outpace
from outpace.errors import ModelUnavailableError, UnknownModelError, UsageError, UsageTypeError
from outpace.machine.cpus import usable_cpus
from outpace.registry import MOST, names, opening

ROOT = Path(__file__).parents[1]
TOY = '''
from outpace.drivers.serial import Serial

class Toy(Serial):
    """Do as serial does, under another name."""
    name = "toy"
    summary = "a toy"

driver = Toy()
'''
PLUGIN = """
import outpace.drivers
outpace.drivers.__path__.append({folder!r})
"""


def test_every_listed_model_has_a_name_a_summary_and_a_reason_if_it_cannot_run() -> None:
    rows = outpace.models()

    assert [row.name for row in rows] == names()
    assert len(set(names())) == len(names())
    for row in rows:
        assert row.summary
        assert row.available is (row.reason is None)


@pytest.mark.parametrize(
    "name", ["thread", "processes+", "+asyncio", "processes+serial", "a+b+c", "", "_lane", "os", 3]
)
def test_an_unknown_name_is_an_error_that_lists_the_models(name) -> None:
    with pytest.raises(UnknownModelError, match="processes\\+asyncio"):
        opening(name)


@pytest.mark.parametrize(
    ("name", "workers", "in_flight", "expected"),
    [
        ("serial", 7, 7, (1, 1)),
        ("threads", None, 5, (1, 5)),
        ("threads", 5, None, (1, 5)),
        ("asyncio", None, 9, (1, 9)),
        ("processes", 3, None, (3, 3)),
        ("processes", None, None, (usable_cpus(), usable_cpus())),
        ("processes", 4, 2, (2, 2)),  # no more than may be in flight
        ("processes+threads", 2, 10, (2, 10)),
        ("processes+asyncio", 4, 3, (3, 3)),
    ],
)
def test_a_setting_is_what_was_asked_for_as_far_as_the_model_can_use_it(
    name, workers, in_flight, expected
) -> None:
    found = opening(name, workers, in_flight)
    assert (found.workers, found.slots) == expected


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"workers": 0}, UsageError),
        ({"in_flight": -1}, UsageError),
        ({"workers": 1.5}, UsageTypeError),
        ({"in_flight": True}, UsageTypeError),
    ],
)
@pytest.mark.parametrize("model", ["threads", "auto"])
def test_a_wrong_number_is_named_before_any_work(settings, error, model) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        outpace.map(abs, [1], model=model, **settings)


def test_a_model_that_cannot_run_here_says_why(monkeypatch) -> None:
    from outpace.hosts import processes

    monkeypatch.setattr(processes.Processes, "unavailable", lambda _: "buy a computer")
    with pytest.raises(ModelUnavailableError, match="buy a computer"):
        opening("processes")
    rows = {row.name: row for row in outpace.models()}
    assert not rows["processes+asyncio"].available
    assert rows["asyncio"].available


@pytest.fixture
def toy_folder(tmp_path) -> Path:
    """Give a folder with one driver file, and a pytest plug-in that has it looked in."""
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "toy.py").write_text(TOY)
    (tmp_path / "with_toy.py").write_text(PLUGIN.format(folder=str(tmp_path / "drivers")))
    return tmp_path


@pytest.fixture
def host_folder(tmp_path) -> Path:
    """Give the same with the host of `docs/writing-a-host.md`."""
    page = (ROOT / "docs" / "writing-a-host.md").read_text()
    (code,) = re.findall(r"^```python file=desks.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) <= 150
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "desks.py").write_text(code)
    plugin = PLUGIN.replace("drivers", "hosts").format(folder=str(tmp_path / "hosts"))
    (tmp_path / "with_toy.py").write_text(plugin)
    return tmp_path


def run_with_toy(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of ours that looks for drivers there too."""
    path = os.pathsep.join([str(folder), str(ROOT / "src")])
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_driver_in_one_file_is_listed_by_the_command_line(toy_folder) -> None:
    code = "import with_toy, outpace.cli; outpace.cli.main(['models'])"
    done = run_with_toy(toy_folder, "-c", code)

    assert "\ntoy " in done.stdout
    assert "\nprocesses+toy " in done.stdout


@pytest.mark.slow
def test_a_driver_in_one_file_is_run_by_the_conformance_tests(toy_folder) -> None:
    options = ["-v", "-x", "-p", "with_toy", "-p", "no:xdist", "-p", "no:cacheprovider"]
    some = "toy and (order_of_the_items or outcome_for_each or infinite or setup_is_opened)"
    done = run_with_toy(toy_folder, "-m", "pytest", *options, "tests/conformance", "-k", some)
    assert done.returncode == 0, done.stdout
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    assert any("[toy" in line or "-toy]" in line for line in passed)
    assert any("processes+toy" in line for line in passed)


@pytest.mark.slow
def test_the_host_of_its_page_is_run_by_the_conformance_tests(host_folder) -> None:
    options = ["-q", "-x", "-p", "with_toy", "-p", "no:xdist", "-p", "no:cacheprovider"]
    which = "desks and not development"  # those start Pythons that do not look in that folder
    tests = [f"tests/conformance/test_every_{what}.py" for what in ("model", "ending")]
    done = run_with_toy(host_folder, "-m", "pytest", *options, *tests, "-k", which)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 200


@pytest.mark.parametrize(
    ("name", "workers", "in_flight", "expected"),
    [
        ("processes", 8, None, (3, 3)),
        ("processes", 8, 2, (2, 2)),
        ("processes+threads", 8, 10**6, (3, 10**6)),
        ("processes+asyncio", 2, None, (2, 128)),
        ("threads", None, 10**6, (1, 10**6)),  # hired as items come
    ],
)
def test_no_worker_process_is_started_for_items_that_never_come(
    name, workers, in_flight, expected
) -> None:
    found = opening(name, workers, in_flight, total=3)
    assert (found.workers, found.slots) == expected


def test_there_is_one_worker_process_for_no_item() -> None:
    assert opening("processes", 8, total=0).workers == 1


@pytest.mark.parametrize("workers", [10**6, 10**30])
def test_more_worker_processes_than_there_can_be_are_refused(workers) -> None:
    with pytest.raises(UsageError, match="more processes than a machine can have"):
        opening("processes", workers)
    assert opening("processes", workers, total=3).workers == 3
    assert opening("asyncio", workers).slots == MOST
