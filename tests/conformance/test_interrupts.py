"""Ctrl-C, SIGTERM and SIGKILL of a program that runs a job: over at once, one line, nothing left.

Over every model, whatever the items are doing. What is promised is a second; the watch stands still
while the machine has no core for us, and there is another second for all that is no core's fault.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from outpace.registry import all_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Stopwatch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX"),
]

SOON = 1.0 + 1.0  # seconds
NEVER = 120.0  # seconds; what has not come by then never comes
MODELS = [model.name for model in all_models() if model.unavailable() is None]
HOSTED = [model.name for model in all_models() if model.unavailable() is None and model.host]
LINE = r"^outpace: {}: \d+ done, 0 failed(, \d+ cut short)?, (\d+|the rest) not started$"
CUT = r", [1-9]\d* cut short, "

PROGRAM = """
import asyncio, contextlib, os, pathlib, signal, sys, time
import outpace
folder, model, deed, *more = sys.argv[1:]
here = pathlib.Path(folder, "here")
busy = pathlib.Path(folder, "busy")

def work(item, *_):
    if deed == "short":
        time.sleep(0.005)
        if item > 20:
            here.touch()
        return item
    if deed == "large":
        if item > 20:
            here.touch()
        return bytes(300_000)
    if item < 4:
        return item
    if deed == "nested":
        for _ in outpace.map(stuck, range(2), model="threads"):
            pass
    if deed == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(number, signal.SIG_IGN)
    here.touch()
    while deed == "spinning":
        pass
    time.sleep(1000)

def stuck(item):
    here.touch()
    time.sleep(1000)

async def awaited(item, *_):
    if item < 4:
        return item
    here.touch()
    while True:
        with contextlib.suppress(asyncio.CancelledError if deed == "deaf" else ()):
            await asyncio.sleep(1000)

@contextlib.contextmanager
def slow_to_close():
    yield
    busy.touch()
    time.sleep(1000)

async def inside():
    async for _ in outpace.amap(awaited, range(10_000), model=model, workers=2, in_flight=4):
        pass

def take_some():
    run = outpace.map(work, range(10_000), model=model, workers=2, in_flight=4, chunk=1)
    if "kept" in more:
        globals()["run"] = run
    next(run)
    time.sleep(1000)

if "amap" in more:
    asyncio.run(inside())
elif "next" in more:
    take_some()
else:
    fn = awaited if "coroutine" in more else work
    setup = slow_to_close if "setup" in more else None
    for _ in outpace.map(fn, range(10_000), model=model, workers=2, in_flight=4, setup=setup):
        pass
"""


class Running:
    """Be a program that runs a job, and all that it has started."""

    def __init__(self, folder: Path, command: list[str], stopwatch: Stopwatch) -> None:
        self.folder, self.stopwatch = folder, stopwatch
        folder.mkdir(exist_ok=True)
        (folder / "temporary").mkdir()
        self.mark = f"OUTPACE_INTERRUPTED={folder};"
        environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
        environment |= {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        environment |= dict([self.mark.split("=", 1)])
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, name: str) -> None:
        """Wait until it has made a file of this name."""
        until = time.monotonic() + NEVER
        while not (self.folder / name).exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.002)

    def end(self, *numbers: int) -> tuple[int, str, float]:
        """Send signals; return the exit code, what stood on stderr, and the seconds it took."""
        seconds = self.stopwatch()
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(0.05 if len(numbers) > 1 else 0)
        try:
            _, said = self.process.communicate(timeout=NEVER)
        finally:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, said, seconds()

    def check_nothing_is_left(self) -> None:
        """Check that every process is gone soon, and that there is no file of ours."""
        seconds = self.stopwatch()
        while left := list(self.family()):
            assert seconds() < SOON, left
            time.sleep(0.01)
        assert list((self.folder / "temporary").iterdir()) == []
        with contextlib.suppress(FileNotFoundError):
            assert not [path for path in Path("/dev/shm").iterdir() if "outpace" in path.name]

    def family(self) -> Iterator[str]:
        """Yield every process that it has started, however far down."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if self.mark.encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                    yield f"{process.pid} {process.status()} {' '.join(process.cmdline())[:80]}"


@pytest.fixture
def running(tmp_path: Path, stopwatch: Stopwatch) -> Iterator[Callable[..., Running]]:
    """Give a function that starts a program and waits until its items run."""
    started: list[Running] = []

    def start(model: str, deed: str, *more: str) -> Running:
        script = tmp_path / "program.py"
        script.write_text(PROGRAM)
        command = [sys.executable, str(script), str(tmp_path), model, deed, *more]
        started.append(Running(tmp_path, command, stopwatch))
        started[0].wait_for("here")
        return started[0]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        if one.process.stderr is not None:
            one.process.stderr.close()


ENDS = {
    signal.SIGINT: (-signal.SIGINT, "interrupted"),
    signal.SIGTERM: (143, "terminated"),
    signal.SIGKILL: (-signal.SIGKILL, ""),
}
DEEDS = ["short", "sleeping", "spinning", "deaf"]


def check(ended: tuple[int, str, float], number: int) -> None:
    """Check how a program has ended that got a signal."""
    code, said, seconds = ended
    expected, word = ENDS[signal.Signals(number)]
    assert code == expected, said
    assert seconds < SOON
    lines = said.splitlines()
    if not word:
        assert lines == []
        return
    ours = [line for line in lines if line.startswith("outpace: ")]
    assert len(ours) == 1, said
    assert re.search(LINE.format(word), ours[0]), said
    assert said.count("src/outpace") <= 1  # where the loop is that the user has written, no more
    if number == signal.SIGTERM:
        assert lines == ours


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("model", HOSTED)
def test_a_program_with_workers_ends_at_once_and_so_do_they(
    model: str, deed: str, number: int, running: Callable[..., Running]
) -> None:
    program = running(model, deed)
    check(program.end(number), number)
    program.check_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("deed", ["short", "sleeping", "spinning"])
@pytest.mark.parametrize("model", [model for model in MODELS if model not in HOSTED])
def test_a_program_without_workers_ends_at_once(
    model: str, deed: str, number: int, running: Callable[..., Running]
) -> None:
    program = running(model, deed)
    check(program.end(number), number)
    program.check_nothing_is_left()


@pytest.mark.parametrize("deed", ["sleeping", "deaf"])
@pytest.mark.parametrize("model", MODELS)
def test_coroutines_are_cancelled_and_those_that_swallow_it_are_left(
    model: str, deed: str, running: Callable[..., Running]
) -> None:
    program = running(model, deed, "coroutine")
    ended = program.end(signal.SIGINT)
    check(ended, signal.SIGINT)
    assert re.search(CUT, ended[1])
    program.check_nothing_is_left()


@pytest.mark.parametrize("model", ["asyncio", *HOSTED])
def test_a_program_with_a_loop_of_its_own_ends_at_once(
    model: str, running: Callable[..., Running]
) -> None:
    program = running(model, "sleeping", "amap")
    code, said, seconds = program.end(signal.SIGINT)
    assert code == -signal.SIGINT, said
    assert seconds < SOON
    program.check_nothing_is_left()


@pytest.mark.parametrize("model", HOSTED)
def test_a_second_ctrl_c_does_no_harm(model: str, running: Callable[..., Running]) -> None:
    program = running(model, "deaf")
    code, said, seconds = program.end(signal.SIGINT, signal.SIGINT)
    assert code == -signal.SIGINT, said
    assert seconds < SOON
    program.check_nothing_is_left()


@pytest.mark.parametrize("model", ["serial", "threads", "processes"])
def test_a_second_ctrl_c_ends_what_the_first_one_waits_for(
    model: str, running: Callable[..., Running]
) -> None:
    program = running(model, "sleeping", "setup")
    program.process.send_signal(signal.SIGINT)
    if model == "serial":  # the setup's exit is carried out here, and takes as long as it takes
        program.wait_for("busy")
    code, said, seconds = program.end(signal.SIGINT)
    assert code == -signal.SIGINT, said
    assert seconds < SOON
    program.check_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("kept", ["kept", "dropped"])
@pytest.mark.parametrize("model", ["threads", "processes"])
def test_a_program_that_is_between_two_values_ends_at_once(
    model: str, kept: str, number: int, running: Callable[..., Running]
) -> None:
    program = running(model, "sleeping", "next", kept)
    check(program.end(number), number)
    program.check_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_runs_inside_of_items_end_without_a_word_of_their_own(
    number: int, running: Callable[..., Running]
) -> None:
    program = running("processes", "nested")
    check(program.end(number), number)
    program.check_nothing_is_left()


MOMENTS = 15


def test_sigterm_at_whatever_moment_ends_a_program_in_the_same_way(
    tmp_path: Path, stopwatch: Stopwatch
) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    for n in range(MOMENTS):
        folder = tmp_path / str(n)
        command = [sys.executable, str(script), str(folder), "processes", "large"]
        program = Running(folder, command, stopwatch)
        try:
            program.wait_for("here")
            time.sleep(n * 0.0022)  # as good as any: a frame takes a fraction of a millisecond
            check(program.end(signal.SIGTERM), signal.SIGTERM)
            program.check_nothing_is_left()
        finally:
            program.process.kill()


# The command line.

MODULE = """
import pathlib, time
def stuck(item):
    pathlib.Path("here").touch()
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("model", ["serial", "processes"])
def test_the_command_line_exits_as_a_shell_expects(
    model: str, number: int, expected: int, tmp_path: Path, stopwatch: Stopwatch
) -> None:
    (tmp_path / "work.py").write_text(MODULE)
    (tmp_path / "items.txt").write_text("a\nb\nc\n")
    command = [sys.executable, "-m", "outpace", "race", "work.py:stuck", "--items", "items.txt"]
    program = Running(tmp_path, [*command, "--models", model], stopwatch)
    program.wait_for("here")
    code, said, seconds = program.end(number)
    assert code == expected, said
    assert seconds < SOON
    assert "Traceback" not in said
    assert "outpace: " in said
    program.check_nothing_is_left()
