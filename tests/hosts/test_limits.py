"""What comes of a limit of the system that is too low: one line that says which, and nothing left."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

import outpace
from outpace.errors import WorkerStartError
from outpace.hosts.channel.messages import Refused
from outpace.hosts.launch import forkserver as _template
from outpace.hosts.launch import launcher as _launch
from outpace.hosts.launch.launcher import Template
from outpace.hosts.launch.process_group import RECORD
from outpace.machine.ulimits import more_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of this kind are POSIX's")

HOSTED = ["processes", "processes+threads", "processes+asyncio"]
STARTS = ["template", "spawn"]

# One run after another, each with room for one descriptor more than the last, until there is enough.
SWEEP = """
import asyncio, os, resource, sys
import outpace

def plain(n):
    return n

async def coroutine(n):
    await asyncio.sleep(0)
    return n

def numbers():
    return set(os.listdir("/dev/fd"))

def run():
    return list(outpace.map(fn, range(4), model=model, workers=2, in_flight=2, **options))

fn, model, options = globals()[sys.argv[1]], sys.argv[2], eval(sys.argv[3])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
run()  # what is imported for it is imported now
before = numbers()
lines = []
for allowed in range(3, 40):
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        assert run() == [0, 1, 2, 3]
        break
    except outpace.OutpaceError as error:
        lines.append(f"{type(error).__name__}: {error}")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert numbers() == before, allowed
assert numbers() == before
print(*lines, sep="\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "kind", "options", "start"),
    [
        *((model, "coroutine", "{}", start) for model in HOSTED for start in STARTS),
        *(("processes", "plain", "{}", start) for start in STARTS),
        ("asyncio", "coroutine", "{}", ""),
        ("asyncio", "coroutine", "{'timeout': 20}", ""),
        ("threads", "coroutine", "{}", ""),
        ("threads", "coroutine", "{'timeout': 20}", ""),
        ("serial", "coroutine", "{}", ""),
    ],
)
def test_too_few_descriptors_are_a_line_that_says_how_many_and_nothing_is_left_open(
    model: str,
    kind: str,
    options: str,
    start: str,
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(SWEEP, kind, model, options, OUTPACE_START=start)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines
    for line in lines:
        assert line.startswith("WorkerStartError: ")
        assert "file descriptors beside those that are open, and this process may have" in line
        assert "; raise the limit (ulimit -n), or use" in line


def test_the_command_line_says_it_in_a_line_and_exits_with_2(tmp_path: Path) -> None:
    work, items = tmp_path / "work.py", tmp_path / "items.txt"
    work.write_text("def work(line):\n    return line\n")
    items.write_text("one\ntwo\n")
    command = [sys.executable, "-m", "outpace", "race", f"{work}:work", "--items", str(items)]
    limited = ["sh", "-c", 'ulimit -n 12; exec "$@"', "sh", *command, "--models", "processes"]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("outpace: ")
    assert "this process may have 12 in all; raise the limit (ulimit -n)" in done.stderr


WORKERS_RUN_OUT = """
import os, resource, sys
import outpace

def work(n):
    if n == 5:
        os._exit(1)
    return n

run = outpace.run(work, range(20), model="processes", workers=1, chunk=1)
for outcome in run:
    if outcome.index == 0:  # the next worker is to be the first that finds no descriptor
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
"""


def test_a_worker_that_cannot_be_replaced_for_want_of_descriptors_is_a_line(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(WORKERS_RUN_OUT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("outpace.errors.WorkerStartError: starting worker processes (1) takes")


AUTO = """
import resource, time
import outpace

def compute(n):
    until = time.thread_time() + 0.1
    while time.thread_time() < until:
        pass
    return n

run = outpace.map(compute, range(12), workers=2)
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (12, hard))
print(*run, run.summary.model, *run.summary.reasons)
"""


@pytest.mark.slow
def test_auto_stays_where_it_is_when_there_are_too_few_descriptors_for_processes(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(AUTO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" ".join(map(str, range(12))) + " serial serial, where")
    assert "would have been chosen" in done.stdout


FILES = """
import resource
import outpace
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    list(outpace.map(abs, range(4), model="processes"))
except outpace.OutpaceError as error:
    print(f"{type(error).__name__}: {error}")
"""


def test_files_that_may_have_no_size_are_a_line_that_names_the_limit(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(FILES)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("WorkerStartError: the memory shared with a worker process")
    assert "ulimit -f" in done.stdout


# A system in which nobody may fork any more, by both sides of what the template says of it.


def test_a_template_that_cannot_fork_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "as many as may be")

    monkeypatch.setattr(_template.os, "fork", fork)
    ours, control = socket.socketpair()
    theirs = socket.socketpair()
    with ours, control, theirs[0]:
        assert _template._fork_each(control, [(theirs[1], os.dup(0))], set()) is None
        assert RECORD.unpack(ours.recv(RECORD.size)) == (b"!", 0, errno.EAGAIN, 0)
        assert theirs[1].fileno() == -1


def test_a_caller_whose_template_cannot_fork_gets_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, template = socket.socketpair()

    def refuse() -> None:
        _, fds, _, _ = socket.recv_fds(template, 1, 2)
        for fd in fds:
            os.close(fd)
        template.sendall(RECORD.pack(b"!", 0, errno.EAGAIN, 0))

    nobody = partial(subprocess.Popen, ["true"])
    monkeypatch.setattr(_launch, "start", lambda *_args, **_how: nobody())
    monkeypatch.setattr(_launch, "pair", lambda: (ours, socket.socket()))
    refusing = threading.Thread(target=refuse)
    with template, contextlib.closing(Template([])) as made:
        refusing.start()
        (one,) = made.launch([0])
        refusing.join()
        ((found, refused),) = made.news()
        assert found is one
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, WorkerStartError)
        assert re.match("no worker process can be started: .*; use few", str(refused.error))
        one.sock.close()


@contextlib.contextmanager
def no_more_threads() -> Iterator[None]:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # as Python says it

    threading.Thread.start = start  # type: ignore[method-assign]
    yield


async def with_nothing(item: int, _none: None) -> int:
    return item


def test_a_worker_whose_driver_is_a_loop_needs_no_thread() -> None:
    run = outpace.map(with_nothing, range(4), model="processes+asyncio", setup=no_more_threads)
    assert list(run) == [0, 1, 2, 3]


def no_more_threads_and_a_loop_that_cannot_read() -> contextlib.AbstractContextManager[None]:
    from outpace.drivers._tasks import AsyncioWorkers

    AsyncioWorkers.watch = lambda *_: False  # type: ignore[method-assign] # as on Windows
    return no_more_threads()


def test_a_worker_that_may_have_no_thread_says_so_and_which_limit_to_raise() -> None:
    setup = no_more_threads_and_a_loop_that_cannot_read
    run = outpace.map(with_nothing, range(4), model="processes+asyncio", setup=setup)
    with pytest.raises(WorkerStartError) as caught:
        list(run)
    said = str(caught.value)
    assert said.startswith("worker process ")
    assert "the thread that reads its items could not be started: can't start new thread" in said
    assert said.endswith(more_threads())


def test_the_limit_that_keeps_threads_from_starting_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (36_000_000, resource.RLIM_INFINITY))
    assert more_threads() == "raise the limit on a process's addresses (ulimit -v), now 36 MB"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert "ulimit -u" in more_threads()
