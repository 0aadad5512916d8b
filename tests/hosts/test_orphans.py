"""What items leave behind: children, daemons, and the children of those."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import outpace
from outpace.hosts.launch import orphans as _family
from outpace.hosts.launch import process_group as _group
from outpace.hosts.launch.orphans import BORN_OF, end_family, orphans
from outpace.hosts.launch.process_group import Process

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


# Whose numbers these are.


class Proc:
    """Be a /proc that says of us what it is told to."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.me = root, os.getpid()
        self.killed: list[int] = []
        monkeypatch.setattr(_family, "PROC", str(root))
        monkeypatch.setattr(_family.os, "kill", lambda pid, _how: self.killed.append(pid))

    def says(self, status: str, children: str) -> None:
        (self.root / "self").mkdir()
        (self.root / "self/status").write_text(status)
        task = self.root / f"{self.me}/task/{self.me}"
        task.mkdir(parents=True)
        (task / "children").write_text(children)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    return Proc(tmp_path, monkeypatch)


def test_the_children_in_a_proc_of_our_own_are_ours(proc: Proc) -> None:
    proc.says(f"Name:\tpython\nPid:\t{proc.me}\nNSpid:\t{proc.me}\n", "11 12 ")
    assert orphans({12}) == {11}


def test_a_system_that_knows_no_namespaces_has_a_proc_of_our_own(proc: Proc) -> None:
    proc.says(f"Pid:\t{proc.me}\n", "11 12 ")
    assert orphans(set()) == {11, 12}


@pytest.mark.parametrize("outside", [4711, os.getpid()], ids=["another", "the same by chance"])
def test_the_children_in_the_proc_of_another_namespace_are_strangers(
    outside: int, proc: Proc
) -> None:
    proc.says(f"Pid:\t{outside}\nNSpid:\t{outside}\t{proc.me}\n", "11 12 ")
    assert orphans(set()) == set()
    end_family()
    assert proc.killed == []


def test_a_proc_in_which_we_are_not_has_no_children_of_ours(proc: Proc) -> None:
    task = proc.root / f"{proc.me}/task/{proc.me}"
    task.mkdir(parents=True)
    (task / "children").write_text("11 12 ")
    assert orphans(set()) == set()


def test_the_end_of_the_family_comes_though_somebody_does_not_die(
    proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.says(f"NSpid:\t{proc.me}\n", f"{2**22 + 1} ")  # no process has this number
    monkeypatch.setattr(_family, "PATIENCE", 0.0)
    end_family()
    assert set(proc.killed) == {2**22 + 1}


# A program that is alone in a namespace of its own, under a /proc of everybody's. Its template gets the
# number of a process outside that has a child; and a bystander gets the number of that child.
NAMESPACE = """
import subprocess, sys
import outpace
from outpace.hosts.launch import launcher as _launch

parent, child = map(int, sys.argv[1:])

def start_as(number, start):
    try:
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(number - 1))
    except OSError as error:
        print(f"skip: {error}")
        sys.exit()
    process = start()
    assert process.pid == number
    return process

bystander = start_as(child, lambda: subprocess.Popen(["sleep", "1000"]))
original = _launch.start
_launch.start = lambda *args, **how: start_as(parent, lambda: original(*args, **how))
print(*outpace.map(abs, [-1, -2], model="processes", workers=1), flush=True)
print(bystander.poll())
bystander.kill()
bystander.wait()
"""


@linux
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare(1) is not on this machine")
def test_a_namespace_under_a_proc_of_another_ends_and_signals_no_strangers(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(NAMESPACE)
    apart = ["unshare", "--fork", "--pid", "--kill-child"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespace may be made here")
    shell = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    family: Any = subprocess.Popen(shell, stdout=subprocess.PIPE, text=True, process_group=0)
    with family:
        numbers = [str(family.pid), family.stdout.readline().strip()]
        try:
            done = subprocess.run(
                [*apart, sys.executable, str(program), *numbers],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        finally:
            os.killpg(family.pid, signal.SIGKILL)
    if done.stdout.startswith("skip"):
        pytest.skip(done.stdout)
    assert (done.stdout, done.stderr) == ("1 2\nNone\n", "")


@linux
def test_a_worker_that_was_waited_for_is_sent_no_signal_though_its_number_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(_group, "kill_group", lambda pid, _how: sent.append(pid))
    with (
        subprocess.Popen(["sleep", "1000"]) as child,
        contextlib.closing(Process(child.pid)) as process,
    ):
        process.kill_group()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        process.kill_group()  # nobody else can have its number yet, but its group may live
        child.wait()
        process.kill_group()
        process.ask_where()
    assert sent == [child.pid, child.pid]
    assert not Process(child.pid).is_there
