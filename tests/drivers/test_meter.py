"""The CPU clock is read for items that are long enough, and for the short ones together."""

import time

import pytest

from outpace.drivers._lane import Lane
from outpace.flow.data import Chunk, Report
from outpace.flow.protocol import Call


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def either(seconds: float) -> None:
    """Compute for so long; below zero, wait."""
    spin(seconds) if seconds > 0 else time.sleep(-seconds)


def carried(call: Call, items: list[float]) -> list[Report]:
    lane = Lane(call)
    try:
        return [report for report in lane.carry(Chunk(0, items)) if isinstance(report, Report)]
    finally:
        lane.close()


def test_long_items_have_each_their_own_cpu_time():
    found = [
        report.cpu_of(position)
        for report in carried(Call(either), [0.004, -0.004, 0.008, -0.004])
        for position in range(len(report))
    ]

    computed = [cpu for cpu, _ in found]
    assert computed[0] == pytest.approx(0.004, abs=0.002)
    assert computed[1] < 0.002
    assert computed[2] == pytest.approx(0.008, abs=0.002)
    assert computed[3] < 0.002
    assert not any(shared for _, shared in found)


def test_short_items_share_readings_and_lose_nothing():
    before = time.thread_time()
    reports = carried(Call(abs), [1.0] * 3000)
    spent = time.thread_time() - before

    shares = [report.cpu_of(n) for report in reports for n in range(len(report))]
    assert all(shared for _, shared in shares)
    assert sum(cpu for cpu, _ in shares) == pytest.approx(sum(r.cpu_s for r in reports))
    assert sum(r.cpu_s for r in reports) <= spent


def test_with_recording_off_there_is_one_reading_a_report():
    reports = carried(Call(either, record="off"), [0.002, 0.002])

    assert all(report.trace is None for report in reports)
    assert sum(report.cpu_s for report in reports) >= 0.004


def test_a_full_record_knows_its_thread():
    (report,) = carried(Call(abs, record="full"), [1.0])

    assert report.trace is not None
    assert report.trace.thread > 0
    assert report.trace.process > 0
