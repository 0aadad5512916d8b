"""A program with a default timeout of sockets, which ours are not to have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outpace.machine.cpus import gil_enabled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

posix = pytest.mark.skipif(
    os.name != "posix", reason="the template and its own sockets are POSIX's"
)
HOSTED = ["processes", "processes+threads", "processes+asyncio"]
CASES = [(model, start) for model in HOSTED for start in ("template", "spawn")]

# Items take longer than the timeout, and so does each of what is sent and read.
PROGRAM = """
import asyncio, socket, sys, time
socket.setdefaulttimeout(0.02)
import outpace

def plain(n):
    socket.setdefaulttimeout(0.01)  # in the worker, too
    time.sleep(0.1)
    return n, b"." * 3_000_000

async def coroutine(n):
    socket.setdefaulttimeout(0.01)
    await asyncio.sleep(0.1)
    return n, b"." * 3_000_000

def compute(n):
    until = time.thread_time() + 0.2
    while time.thread_time() < until:
        pass
    return n, b"." * 3_000_000

model, kind = sys.argv[1:]
fn = {"plain": plain, "coroutine": coroutine, "compute": compute}[kind]
run = outpace.map(fn, range(8), model=model, workers=2)
print([n for n, _ in run], run.summary.model)
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize(("model", "start"), [*CASES, ("asyncio", ""), ("threads", "")])
def test_a_programs_default_timeout_of_sockets_does_not_hold_for_ours(
    model: str, kind: str, start: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(PROGRAM, model, kind, OUTPACE_START=start)
    assert (done.stdout, done.returncode) == (f"{list(range(8))} {model}\n", 0), done.stderr


@pytest.mark.slow
@posix
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, auto takes threads")
def test_auto_goes_on_to_processes_in_a_program_with_a_default_timeout(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(PROGRAM, "auto", "compute")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(list(range(8))))
    assert done.stdout.split()[-1] == "processes"


@pytest.mark.slow
@posix
def test_a_program_whose_interpreters_all_have_a_default_timeout_has_workers(
    tmp_path: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """As a sitecustomize gives them: the template and spawned workers have it from their start."""
    place = tmp_path / "site"
    place.mkdir()
    (place / "sitecustomize.py").write_text("import socket; socket.setdefaulttimeout(0.01)")
    root = os.pathsep.join([str(place), str(Path(__file__).parents[2] / "src")])
    for start in ("template", "spawn"):
        done = run_python(PROGRAM, "processes", "plain", OUTPACE_START=start, PYTHONPATH=root)
        assert (done.stdout, done.returncode) == (f"{list(range(8))} processes\n", 0), done.stderr
