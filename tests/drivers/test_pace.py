"""What items have cost their loop: short steps by the clock, long ones by the CPU clock."""

import asyncio
import time

import pytest

import outpace
from outpace.drivers.asyncio import driver
from outpace.flow.board import Board, Shape
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def both(seconds: float) -> None:
    """Wait, and then compute for so long; below zero, block."""
    await asyncio.sleep(0.002)
    both_plain(seconds)
    await asyncio.sleep(0.002)


async def waits(_: int) -> None:
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("model", ["asyncio", "processes+asyncio"])
def test_computing_is_the_items_own_and_waiting_is_nobodys(model):
    found = list(outpace.run(both, [0.02, -0.02, 0.001], model=model, in_flight=3))

    cpu = [outcome.cpu_s for outcome in found]
    assert cpu[0] == pytest.approx(0.02, abs=0.006)
    assert cpu[1] < 0.006
    assert 0.0005 < cpu[2] < 0.01
    assert not any(outcome.cpu_is_shared for outcome in found)


def test_items_that_never_wait_are_measured_alike():
    found = list(outpace.run(both_plain, [0.02, -0.02, 0.0001], model="asyncio", in_flight=3))

    cpu = [outcome.cpu_s for outcome in found]
    assert cpu[0] == pytest.approx(0.02, abs=0.006)
    assert cpu[1] < 0.006
    assert cpu[2] < 0.006


def both_plain(seconds: float) -> None:
    spin(seconds) if seconds > 0 else time.sleep(-seconds)


def test_a_loop_says_how_busy_it_was():
    workers = driver.open(Call(waits, board=Board(Shape.of(4, scattered=True))), 4)
    try:
        workers.start(Chunk(0, list(range(8))))
        reports = []
        while sum(map(len, reports)) < 8:
            reports += workers.reports(None)
    finally:
        workers.close()

    loads = [report.trace.load for report in reports if report.trace and report.trace.load]
    assert sum(load.steps for load in loads) == 16  # two of each: to its wait, and from there
    busy, could = sum(load.busy_s for load in loads), sum(load.open_s for load in loads)
    assert 0 < busy < could
    assert could > 0.01


def test_the_steps_of_a_full_record_are_the_items_time_but_for_its_waiting():
    workers = driver.open(Call(both, record="full"), 2)
    try:
        workers.start(Chunk(0, [0.003, 0.003]))
        reports = []
        while sum(map(len, reports)) < 2:
            reports += workers.reports(None)
    finally:
        workers.close()

    for report in reports:
        trace = report.trace
        assert trace is not None
        assert trace.steps is not None
        assert trace.owners is not None
        assert len(trace.steps) == 3 * len(trace.owners)
        assert trace.owners.count(0) == 3  # to the first wait, to the second, to the end
        for n, owner in enumerate(trace.owners):
            began, ended, cpu = trace.steps[3 * n : 3 * n + 3]
            assert report.started[owner] <= began <= ended <= report.ended[owner]
            assert 0 <= cpu <= ended - began
