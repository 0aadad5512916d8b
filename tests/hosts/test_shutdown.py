"""How workers are sent away: the idle in peace, the busy soon, the deaf by force."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from string import Template
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.drivers.asyncio import driver
from outpace.flow.data import Chunk
from outpace.flow.ending import HURRY
from outpace.flow.protocol import Call
from outpace.flow.signals import Recalled
from outpace.hosts.pool.shutdown import EXIT_PATIENCE
from outpace.hosts.worker import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from tests.conftest import Gate, Stopwatch

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


# In a run.


def test_a_run_that_is_left_takes_no_longer_than_its_setups_need(
    tmp_path: Path, stopwatch: Stopwatch
) -> None:
    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        time.sleep(2 * HURRY)
        (tmp_path / str(os.getpid())).touch()

    options: dict[str, Any] = {"model": "processes", "workers": 2, "chunk": 1, "setup": setup}
    with outpace.map(lambda *_: os.getpid(), itertools.count(), **options) as run:
        workers: set[int] = set()
        while len(workers) < 2:
            workers.add(next(run))
        seconds = stopwatch()
    assert seconds() < EXIT_PATIENCE / 2
    assert {int(path.name) for path in tmp_path.iterdir()} == workers


@pytest.mark.parametrize("step", range(1, 12))
def test_a_signal_between_two_steps_of_a_loop_costs_it_none(step: int) -> None:
    steps = itertools.count(1)

    async def waits(item: int) -> int:
        await asyncio.sleep(0)
        return item

    def arrives(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is asyncio.Handle._run.__code__ and next(steps) == step:
            sys.setprofile(None)
            process.terminate(signal.SIGTERM, frame)

    workers = driver.open(Call(waits, is_async=True), 4)
    workers.start(Chunk(0, list(range(20))))
    sys.setprofile(arrives)
    try:
        with pytest.raises(Recalled):
            list(iter(partial(workers.reports, 20.0), None))  # until it raises
    finally:
        sys.setprofile(None)
    late = threading.Timer(5.0, workers.interrupt)  # else it would wait for ever
    late.start()
    workers.close()
    assert late.is_alive()
    late.cancel()
    late.join()


def test_a_signal_in_the_library_waits_where_a_loop_has_called_it_and_not_where_the_user_has() -> (
    None
):
    found = []

    def looks() -> None:
        found.append(process.is_loops(sys._getframe()))  # the user's own
        Template("$x").substitute(Looking())  # what the user has called

    class Looking(dict[str, str]):
        def __getitem__(self, _: str) -> str:
            found.append(process.is_loops(sys._getframe(1)))
            return ""

    asyncio.run(asyncio.to_thread(looks))
    loop = asyncio.new_event_loop()
    loop.slow_callback_duration = 0  # it tells a log of every step
    loop.set_debug(True)
    told = logging.Handler()
    told.emit = lambda _: found.append(process.is_loops(sys._getframe(1)))  # type: ignore[method-assign]
    log = logging.getLogger("asyncio")
    log.addHandler(told)
    loop.run_until_complete(asyncio.sleep(0))
    log.removeHandler(told)
    loop.close()
    assert found[:2] == [False, False]
    assert found[2:]
    assert all(found[2:])


def deaf_at_the_gate(stop_at_the_gate: Callable[[Any], Any]) -> Callable[[int], int]:
    def deaf(item: int) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            with contextlib.suppress(BaseException):
                stop_at_the_gate(item)

    return deaf


def test_busy_workers_that_ignore_everything_are_gone_within_a_second(
    gate: Gate, stopwatch: Stopwatch
) -> None:
    run = outpace.map(
        deaf_at_the_gate(gate.plain()), range(4), model="processes", workers=2, chunk=1
    )
    reader = threading.Thread(target=lambda: list(run))
    reader.start()
    gate.arrivals(2)
    seconds = stopwatch()
    run.close()
    reader.join(120)
    assert seconds() < 1.0
    gate.wait_until_gone()


@pytest.mark.parametrize("model", ["processes", "processes+threads", "processes+asyncio"])
def test_a_signal_at_the_exit_of_a_setup_neither_ends_it_nor_is_complained_of(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Under `SIG_IGN`, Python prints a traceback if the signal has come just before that was set."""

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        os.kill(os.getpid(), signal.SIGTERM)
        (tmp_path / "handled").write_text(str(callable(signal.getsignal(signal.SIGTERM))))

    list(outpace.map(lambda item, _: item, range(2), model=model, workers=1, setup=setup))
    assert (tmp_path / "handled").read_text() == "True"
    assert capfd.readouterr().err == ""
