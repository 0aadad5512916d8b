"""What items leave behind: children, daemons, and the children of those."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import outpace
from outpace.hosts._family import BORN_OF

if TYPE_CHECKING:
    from pathlib import Path

linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted by prctl(2)")
HOSTED = ["processes", "processes+threads", "processes+asyncio"]
every_hosted_model = pytest.mark.parametrize("model", HOSTED)

DAEMON = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
time.sleep(1000)
"""


def wait_until_gone(pid: int, within: float = 5.0) -> None:
    """Wait until a process has ended."""
    until = time.monotonic() + within
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until, f"{pid} is still there"
            time.sleep(0.005)


def is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def leave_daemon(_item: int) -> int:
    """Start a process that forks, so that its own parent is gone, in a session of its own."""
    command = [sys.executable, "-c", DAEMON]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        return int(first.stdout.readline())


def leave_child(_item: int) -> int:
    return subprocess.Popen(["sleep", "1000"]).pid


@linux
@every_hosted_model
@pytest.mark.parametrize("leave", [leave_daemon, leave_child])
def test_what_an_item_has_left_is_gone_with_the_run(model: str, leave: Any) -> None:
    with outpace.map(leave, [1, 2], model=model, workers=2, in_flight=2) as run:
        pids = list(run)
        assert len(set(pids)) == 2
    assert not any(map(is_there, pids))


@linux
def test_what_an_item_has_left_lives_as_long_as_its_worker() -> None:
    with outpace.map(leave_child, range(3), model="processes", workers=1, chunk=1) as run:
        first = next(run)
        next(run)
        assert is_there(first)


@pytest.mark.slow
@linux
@pytest.mark.parametrize("how", ["exit", "hang"])
def test_what_a_dead_worker_has_left_is_gone_at_once(how: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"

    def leave_and_die(item: int) -> int:
        if item == 0:
            note.write_text(f"{leave_daemon(0)} {leave_child(0)} {os.getpid()}")
            if how == "exit":
                os._exit(1)
            time.sleep(1000)
        return item

    timeout = 3.0 if how == "hang" else None
    with outpace.run(
        leave_and_die, range(30), model="processes", workers=1, chunk=1, timeout=timeout
    ) as run:
        first = next(run)
        assert first.kind == ("lost" if how == "exit" else "timed-out")
        for pid in map(int, note.read_text().split()):
            wait_until_gone(pid)
        assert next(run).value == 1  # and the run goes on


@linux
def test_the_daemons_of_other_workers_are_left_alone() -> None:
    def first_dies(item: int) -> int:
        if item == 9:
            os._exit(1)
        return leave_daemon(item)

    with outpace.run(first_dies, [1, 9, 2, 3], model="processes", workers=2, chunk=1) as run:
        outcomes = [next(run) for _ in range(4)]
        kept = [o.value for o in outcomes if o.ok]
        assert len(kept) == 3
        # Those of the worker that died may be gone; at least one other's must not be.
        deaths = [o for o in outcomes if not o.ok]
        workers = {o.worker for o in outcomes if o.ok}
        if len(workers) > 1 and deaths:
            survivors = [o.value for o in outcomes if o.ok and o.worker != deaths[0].worker]
            assert all(map(is_there, survivors))
    assert not any(map(is_there, kept))


def test_workers_tell_their_children_whose_they_are() -> None:
    def born_of(_item: int) -> bool:
        return os.environ[BORN_OF] == str(os.getpid())

    assert list(outpace.map(born_of, [1, 2], model="processes", workers=2)) == [True, True]
    assert BORN_OF not in os.environ


@linux
def test_a_daemon_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess, sys, time, outpace\n"
        "def work(n):\n"
        "    print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid, flush=True)\n"
        "    time.sleep(1000)\n"
        "list(outpace.map(work, [1], model='processes', workers=1))\n"
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        pid = int(it.stdout.readline())
        assert is_there(pid)
        it.kill()
    wait_until_gone(pid)
