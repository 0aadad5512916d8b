"""How workers come to be and go, in both ways."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import WorkerStartError
from outpace.flow.board import Shape
from outpace.hosts.channel.messages import Died, Refused
from outpace.hosts.launch import launcher as _launcher
from outpace.hosts.launch.launcher import Began, Launched, Spawn, Template
from outpace.hosts.launch.process_group import AT_ONCE
from outpace.hosts.launch.shared_memory import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Gate

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


@pytest.fixture
def memory() -> Iterator[Shared]:
    with contextlib.closing(Shared(Shape(1, 0))) as made:
        yield made


@pytest.fixture(params=[lambda: Template([]), Spawn], ids=["template", "spawn"])
def launcher(request: pytest.FixtureRequest) -> Iterator[Any]:
    with contextlib.closing(request.param()) as made:
        yield made


@pytest.fixture(params=["template", "spawn"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OUTPACE_START", request.param)
    return request.param


def all_began(launcher: Any, launched: list[Launched]) -> list[Launched]:
    """Wait until processes are there."""
    missing = set(launched)
    while missing:
        for one, what in news_of(launcher):
            assert isinstance(what, Began)
            missing.discard(one)
    return launched


def news_of(launcher: Any) -> list[Any]:
    """Wait until there is news of processes."""
    while not (news := launcher.news()):
        if (watched := launcher.watched()) is not None:
            select.select([watched], [], [], 0.1)
        else:
            time.sleep(0.001)
    return news


def death_of(launcher: Any, launched: Launched) -> Died:
    """Wait until a process has died, which is the next that is heard."""
    ((one, what),) = news_of(launcher)
    assert one is launched
    return what


def test_a_worker_ends_when_its_caller_closes_the_socket(launcher: Any, memory: Shared) -> None:
    first, second = all_began(launcher, launcher.launch([memory.fd] * 2))
    ended = (0, -signal.SIGKILL)  # a spawned one kills itself, if it has not just ended
    first.sock.close()  # no other worker holds a copy of its other end
    assert death_of(launcher, first).exitcode in ended
    second.sock.close()
    assert death_of(launcher, second).exitcode in ended
    assert launcher.news() == []


def test_a_death_is_told_once_with_the_exit_code(launcher: Any, memory: Shared) -> None:
    one, other = all_began(launcher, launcher.launch([memory.fd] * 2))
    assert launcher.hears_of(one)
    os.kill(one.pid, signal.SIGKILL)
    assert death_of(launcher, one).exitcode == -signal.SIGKILL
    assert not launcher.hears_of(one)
    assert launcher.news() == []
    for launched in (one, other):
        launched.sock.close()


def test_launching_waits_for_nothing(memory: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Template([])) as template:
        os.kill(template._process.pid, signal.SIGSTOP)
        (one,) = template.launch([memory.fd])
        assert (one.pid, template.news(), template.is_starting) == (None, [], True)
        os.kill(template._process.pid, signal.SIGCONT)
        all_began(template, [one])
        assert not template.is_starting
        one.sock.close()


def test_a_template_that_is_stuck_is_given_up(
    memory: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Template([])) as template:
        os.kill(template._process.pid, signal.SIGSTOP)
        (one,) = template.launch([memory.fd])
        monkeypatch.setattr(_launcher, "START_PATIENCE", 0.0)
        ((_, refused),) = template.news()
        assert isinstance(refused, Refused)
        assert "the process that starts the workers was killed" in str(refused.error)
        one.sock.close()


def test_closing_ends_workers_that_were_never_spoken_to(launcher: Any, memory: Shared) -> None:
    launched = all_began(launcher, launcher.launch([memory.fd] * 2))
    launcher.close()
    for one in launched:
        assert one.sock.recv(1) == b""
        one.sock.close()


def test_more_workers_than_fit_into_one_message_can_be_launched(memory: Shared) -> None:
    with contextlib.closing(Template([])) as template:
        launched = all_began(template, template.launch([memory.fd] * (AT_ONCE + 2)))
        assert len({one.pid for one in launched}) == AT_ONCE + 2
        for one in launched:
            one.sock.close()


def test_a_template_that_was_killed_is_replaced(memory: Shared) -> None:
    with contextlib.closing(Template([])) as template:
        (before,) = all_began(template, template.launch([memory.fd]))
        os.kill(template._process.pid, signal.SIGKILL)
        assert template.watched().recv(1) == b""
        (after,) = all_began(template, template.launch([memory.fd]))
        assert not template.hears_of(before)
        after.sock.close()
        assert death_of(template, after).exitcode == 0
        before.sock.close()  # it is nobody's child now, and ends all the same


def test_what_was_asked_of_a_template_that_is_killed_has_died_and_can_be_asked_for_again(
    memory: Shared,
) -> None:
    with contextlib.closing(Template([])) as template:
        (before,) = all_began(template, template.launch([memory.fd]))
        os.kill(template._process.pid, signal.SIGSTOP)
        (never,) = template.launch([memory.fd])
        os.kill(template._process.pid, signal.SIGKILL)
        assert death_of(template, never) == Died()
        (after,) = all_began(template, template.launch([memory.fd]))
        after.sock.close()
        assert death_of(template, after).exitcode == 0
        for one in (before, never):
            one.sock.close()


def test_a_template_that_cannot_start_is_said_to_have_ended_and_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OUTPACE_START", "template")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no interpreter gets far with that
    with pytest.raises(
        WorkerStartError, match="the process that starts the workers ended with exit"
    ):
        list(outpace.map(abs, [1], model="processes"))


def kill_the_template(item: int) -> int:
    if item == 2:
        os.kill(os.getppid(), signal.SIGKILL)
    if item == 5:
        os._exit(3)
    return item


def test_a_run_goes_on_when_its_template_is_killed_and_a_worker_dies_after_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OUTPACE_START", "template")
    run = outpace.run(kill_the_template, range(20), model="processes", workers=2, chunk=1)
    outcomes = list(run)
    assert [o.index for o in outcomes] == list(range(20))
    assert {o.index for o in outcomes if not o.ok} == {5}


def test_what_a_dead_worker_had_started_dies_with_it(start: str, gate: Gate) -> None:
    code = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
    code += "s.sendall(b'child\\n'); s.recv(1)"
    command = [sys.executable, "-c", code, str(gate.address[1])]

    def leave_a_child(item: int) -> None:

        subprocess.Popen(command)
        with socket.create_connection(gate_address) as connection:
            connection.sendall(b"parent\n")
            connection.recv(1)
        os._exit(1)

    gate_address = gate.address
    run = outpace.run(leave_a_child, [0], model="processes", workers=1)
    import threading

    got: list[Any] = []
    reader = threading.Thread(target=lambda: got.extend(run))
    reader.start()
    assert sorted(gate.arrivals(2)) == ["child", "parent"]
    gate.here.sort()  # the child first
    parent = gate.here.pop()
    parent[1].sendall(b"!")
    parent[1].close()
    reader.join(20)
    assert [o.kind for o in got] == ["lost"]
    gate.wait_until_gone()


def test_a_python_that_cannot_be_started_is_one_clear_error(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerStartError, match=r"/nowhere/python.*use threads or asyncio"):
        list(outpace.map(str, [1], model="processes"))


@pytest.mark.slow
def test_files_in_the_working_directory_do_not_stand_for_the_standard_librarys(
    start: str, tmp_path: Path
) -> None:
    data, program = tmp_path / "data", tmp_path / "program.py"
    data.mkdir()
    for name in ("selectors", "random", "queue", "struct", "numbers"):
        (data / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    program.write_text("import outpace; print(*outpace.map(abs, [-1], model='processes'))")
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=data,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


PROGRAM = """
import socket, sys, outpace
address = ("127.0.0.1", int(sys.argv[1]))
def wait(item):
    with socket.create_connection(address) as connection:
        connection.sendall(b"here\\n")
        connection.recv(1)
async def wait_on_loop(item):
    import asyncio
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"here\\n")
    await reader.read(1)
fn = wait_on_loop if sys.argv[3] == "coroutine" else wait
for _ in outpace.map(fn, range(10), model=sys.argv[2], workers=2, in_flight=2):
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("serial", "plain"),
        ("serial", "coroutine"),
        ("threads", "coroutine"),  # a plain one, in the middle of a call, nobody can interrupt
        ("asyncio", "plain"),
        ("asyncio", "coroutine"),
        ("processes", "plain"),
        ("processes", "coroutine"),
    ],
)
def test_ctrl_c_ends_a_program_at_once_with_all_its_workers(
    model: str, kind: str, tmp_path: Path, gate: Gate
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(gate.address[1]), model, kind]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        gate.arrivals(1 if model == "serial" or (model, kind) == ("asyncio", "plain") else 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert process.returncode == -signal.SIGINT
    gate.wait_until_gone()


# The caller has the standard library's modules already when the script's folder begins to count, as in a
# notebook. Then there is a file of every one of their names, of which just one is meant.
SHADOWED = """
import sys
folder = sys.path.pop(0)
import asyncio, outpace

def plain(n):
    import turtle
    return turtle.sign * n

async def coroutine(n):
    await asyncio.sleep(0)
    return plain(n)

fn, model = globals()[sys.argv[1]], sys.argv[2]
list(outpace.map(abs, [1], model=model))
sys.path.insert(0, folder)
print(*outpace.map(fn, range(3), model=model, workers=2))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("model", ["processes", "processes+threads", "processes+asyncio"])
def test_a_file_beside_the_script_does_not_stand_for_the_standard_librarys_but_for_itself(
    model: str, kind: str, start: str, tmp_path: Path
) -> None:
    for name in filter(importlib.util.find_spec, sys.stdlib_module_names):  # not other platforms'
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')")
    (tmp_path / "turtle.py").write_text("sign = -1")
    program = tmp_path / "program.py"
    program.write_text(SHADOWED)
    done = subprocess.run(
        [sys.executable, str(program), kind, model],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0 -1 -2\n", "")
