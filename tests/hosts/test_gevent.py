"""A program that gevent has patched: every model works there, whatever sockets do."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.hosts.launch.launcher import Template
from outpace.registry import names

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

PROGRAM = """
import gevent.monkey
gevent.monkey.patch_all()
import asyncio, sys, time, outpace

def plain(item):
    time.sleep(30 if item == 3 else 0.01)
    return item

async def coroutine(item):
    await asyncio.sleep(30 if item == 3 else 0.01)
    return item

model = sys.argv[1]
fn = coroutine if "asyncio" in model else plain
run = outpace.run(fn, range(6), model=model, workers=2, timeout=2)
print([outcome.kind for outcome in run])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None,
    reason="gevent is not installed (the extra dev has it)",
)
@pytest.mark.parametrize("model", [*names(), "auto"])
def test_every_model_works_under_gevent_timeouts_included(
    model: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(PROGRAM, model, timeout=60)
    kinds = ["done", "done", "done", "timed-out", "done", "done"]
    assert (done.stdout, done.returncode) == (f"{kinds}\n", 0)


# What gevent does to sockets, done by hand, so that it is tested without it.


@pytest.mark.parametrize("start", ["template", "spawn"])
def test_workers_start_where_no_socket_of_the_callers_ever_blocks(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = socket.socketpair

    def never_blocking(*args: Any) -> tuple[socket.socket, socket.socket]:
        pair = make(*args)
        for one in pair:
            os.set_blocking(one.fileno(), False)
        return pair

    monkeypatch.setenv("OUTPACE_START", start)
    monkeypatch.setattr(socket, "socketpair", never_blocking)
    values = outpace.map(abs, range(-8, 0), model="processes", workers=2)
    assert list(values) == list(range(8, 0, -1))


@pytest.mark.skipif(os.name != "posix", reason="only Unix has a template")
def test_the_template_ends_though_its_socket_is_not_closed_at_once() -> None:
    launcher = Template([])
    still_open = os.dup(launcher._control.fileno())
    alarm = threading.Timer(20, launcher._process.kill)
    alarm.start()
    try:
        launcher.close()
    finally:
        alarm.cancel()
        alarm.join()
        os.close(still_open)
    assert launcher._process.returncode == 0
