"""Large arrays of joblib's calls are written once and mapped, and no file of them is left.

Each test is a program: joblib's resource tracker, a process, stays until its caller has ended.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytestmark = pytest.mark.slow
NEVER = 120.0  # seconds that nothing takes

BEGINNING = """
import os, pathlib, signal, sys, joblib, numpy, outpace
from joblib import Parallel, delayed
outpace.register_joblib()
folder = pathlib.Path(sys.argv[1])
options = dict(n_jobs=2, backend="outpace", batch_size=1, max_nbytes=1000, temp_folder=str(folder))
array = numpy.arange(10_000.0)
def files():
    return [path for path in folder.rglob("*") if path.is_file()]
def look(array):
    return type(array).__name__, getattr(array, "filename", None), array.flags.writeable, array.sum()
def give(array):
    return array
def die(array, n):
    if n == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def carried_out(run_python, folder):
    """Give a function that runs the rest of a program; nothing is to be in the folder afterwards."""

    def run(source: str) -> None:
        ended = run_python(BEGINNING + source, str(folder))
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""
        assert not list(folder.iterdir())

    return run


def test_an_array_is_written_once_and_mapped_by_all_calls(carried_out) -> None:
    carried_out("""
seen = Parallel(**options)(delayed(look)(array) for _ in range(8))
assert len(set(seen)) == 1
assert seen[0][0] == "memmap" and seen[0][1].startswith(str(folder)), seen
assert seen[0][2:] == (False, array.sum())
assert not list(folder.iterdir())
""")


def test_what_is_small_or_not_to_be_mapped_travels_as_ever(carried_out) -> None:
    carried_out("""
small = numpy.ones(3)
everything = {**options, "max_nbytes": None}
for sent, how in ((small, options), (array, everything)):
    for name, file, writable, total in Parallel(**how)(delayed(look)(sent) for _ in range(4)):
        assert (name, file, writable, total) == ("ndarray", None, True, sent.sum())
        assert not files()
""")


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_the_mode_is_joblibs(carried_out, mode) -> None:
    carried_out(f"""
seen = Parallel(**options, mmap_mode={mode!r})(delayed(look)(array) for _ in range(2))
assert [one[2] for one in seen] == [{mode != "r"}] * 2
""")


def test_arrays_of_lambdas_and_of_frames_are_mapped_too(carried_out) -> None:
    carried_out("""
seen = Parallel(**options)(delayed(lambda held: look(held["a"]))({"a": array}) for _ in range(4))
assert {one[0] for one in seen} == {"memmap"}
""")


def test_a_file_goes_with_its_array(carried_out) -> None:
    carried_out("""
with Parallel(**options) as parallel:
    seen = parallel(delayed(look)(numpy.full(1000, n)) for n in range(9))
    assert [one[3] for one in seen] == [1000 * n for n in range(9)]
    assert not files()
    parallel(delayed(look)(array) for _ in range(9))
    assert len(files()) == 1
    del array
    assert not files()
""")


def test_results_need_no_file_of_joblibs_and_keep_those_of_the_user(carried_out) -> None:
    carried_out("""
for one in Parallel(**options)(delayed(give)([array[5:]]) for _ in range(4)):
    assert type(one[0]) is numpy.ndarray
    numpy.testing.assert_array_equal(one[0], array[5:])
import tempfile
with tempfile.TemporaryDirectory() as own:
    mine = numpy.memmap(own + "/mine", dtype=float, mode="w+", shape=2000)
    mine[:] = 7
    (back,) = Parallel(**options)(delayed(give)(mine) for _ in range(1))
    assert back.filename == mine.filename and back.sum() == 14_000
    assert not files()
    del mine, back
""")


def test_a_worker_that_is_killed_leaves_no_file(carried_out) -> None:
    carried_out("""
try:
    Parallel(**options)(delayed(die)(array, n) for n in range(4))
except outpace.OutpaceError:
    assert not list(folder.iterdir())
else:
    raise AssertionError
assert Parallel(**options)(delayed(look)(array) for _ in range(2))
""")


def test_a_generator_that_is_dropped_or_never_asked_leaves_no_file(carried_out) -> None:
    carried_out("""
import warnings
warnings.simplefilter("ignore")
dropped = Parallel(**options, return_as="generator")(delayed(look)(array) for _ in range(4))
del dropped
kept = Parallel(**options, return_as="generator")(delayed(look)(array) for _ in range(4))
""")


def test_an_array_that_cannot_be_written_is_that_calls_error(run_python, tmp_path) -> None:
    ended = run_python(
        BEGINNING + "Parallel(**options)(delayed(look)(array) for _ in range(2))\n",
        str(tmp_path / "program.py" / "no folder"),
    )

    assert ended.returncode == 1
    assert "NotADirectoryError" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed like that there")
def test_a_caller_that_is_killed_leaves_no_file(folder, tmp_path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        BEGINNING
        + """
with Parallel(**options) as parallel:
    parallel(delayed(look)(array) for _ in range(4))
    print(len(files()), flush=True)
    sys.stdin.read()
"""
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"1\n"
        os.kill(program.pid, signal.SIGKILL)
    until = time.monotonic() + NEVER
    while list(folder.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)

    assert not list(folder.iterdir())
