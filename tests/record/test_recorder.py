"""The timeline of a real run shows what must be there, by its numbers.

A machine that is busy with others takes cores away: then lanes are ready, with no core free. That is no
state of the work's own, so where it matters the shares are those of the time that the machine gave.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import outpace
from outpace.errors import UsageError
from outpace.experiments import pages, server
from outpace.experiments.sums import sum_of_squares
from outpace.machine.cpus import usable_cpus
from outpace.record import metrics, states
from outpace.record.sampler import client, gil
from outpace.record.timeline import Timeline

linux = pytest.mark.skipif(not client.possible(), reason="threads are seen from outside on Linux")
SUMS = [400_000 + n for n in range(48)]  # a second: who looks begins late on a busy machine


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def mixed(_: int) -> None:
    time.sleep(0.015)
    spin(0.005)


async def amixed(_: int) -> None:
    await asyncio.sleep(0.015)
    spin(0.005)


def recorded(fn: Any, items: Any, model: str, record: Any = "full", **options: Any) -> Timeline:
    run = outpace.map(fn, items, model=model, record=record, **options)
    for _ in run:
        pass
    timeline: Timeline = run.timeline
    assert_whole(timeline)
    return timeline


def assert_whole(timeline: Timeline) -> None:
    """The states of each lane add up to its span, within 2 %."""
    for row in metrics.seconds_by_state(timeline):
        assert sum(row) == pytest.approx(timeline.span_s, rel=0.02)
        assert min(row) >= 0


def seconds(timeline: Timeline) -> dict[str, float]:
    return dict(zip(states.NAMES, metrics.total_by_state(timeline), strict=True))


def on_cpu(found: dict[str, float]) -> float:
    return sum(found[states.NAMES[n]] for n in states.ON_CPU)


@pytest.mark.slow
@linux
def test_threads_that_compute_wait_for_the_gil():
    timeline = recorded(sum_of_squares, SUMS, "threads", in_flight=4)

    found = seconds(timeline)
    given = sum(found.values()) - found["idle"] - found["ready"]
    assert found["waiting-gil"] >= 0.4 * given
    assert on_cpu(found) <= 1.1 * timeline.span_s  # no more than one core
    used = sum(timeline.items.cpu_s)
    assert on_cpu(found) <= 1.2 * used
    assert on_cpu(found) + found["waiting"] >= 0.8 * used  # who looks begins late on a busy machine
    together = on_cpu(found) + found["ready"]  # with all cores to itself, it would be one
    assert together >= 0.7 * (timeline.span_s - found["idle"] / 4)
    assert len(timeline.lanes) == 4
    assert sum(timeline.items.count) == len(SUMS)


@linux
def test_processes_that_compute_use_the_cores_there_are():
    run = outpace.map(sum_of_squares, SUMS, model="processes", workers=2, record="full")
    list(run)
    timeline: Timeline = run.timeline

    assert_whole(timeline)
    found = seconds(timeline)
    busy = sum(found.values()) - found["idle"]
    assert on_cpu(found) + found["ready"] >= 0.85 * busy  # each on a core, or robbed of it
    assert found["waiting-gil"] <= 0.05 * busy
    assert on_cpu(found) == pytest.approx(run.summary.cpu_s, rel=0.35)
    assert max(metrics.cores_busy(timeline, 20)) <= usable_cpus() * 1.1
    assert [lane.name for lane in timeline.lanes] == ["process 0", "process 1"]


def test_asyncio_waits_for_pages():
    pytest.importorskip("aiohttp")
    with server.running(0.1) as base:
        urls = server.urls(base, 160)
        timeline = recorded(pages.aread, urls, "asyncio", in_flight=160, setup=pages.asession)

    found = seconds(timeline)
    waiting = sum(found[name] for name in states.NAMES if name.startswith("waiting"))
    worked = sum(found.values()) - found["idle"] - found["ready"]
    assert waiting >= 0.9 * worked
    assert timeline.items.label[0] == urls[0]
    loop = next(n for n, lane in enumerate(timeline.lanes) if lane.kind == "loop")
    on_loop = metrics.seconds_by_state(timeline)[loop]
    assert sum(on_loop[n] for n in states.ON_CPU) == pytest.approx(on_cpu(found), rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "model"),
    [
        (mixed, "serial"),
        (mixed, "threads"),
        (mixed, "processes+threads"),
        (amixed, "asyncio"),
        (amixed, "processes+asyncio"),
    ],
)
def test_a_mixed_job_waits_and_computes_by_its_parts(fn, model):
    count = 100  # two seconds, or half of one: who looks begins late on a busy machine
    timeline = recorded(fn, range(count), model, **({} if model == "serial" else {"in_flight": 4}))

    found = seconds(timeline)
    assert on_cpu(found) == pytest.approx(count * 0.005, rel=0.35)
    asleep = found["waiting-sleep"] if fn is mixed and client.possible() else found["waiting"]
    # Whoever looks seldom, on a busy machine, cannot tell a sleep from having to wait for a core.
    assert asleep + found["waiting"] + found["ready"] >= 0.8 * count * 0.015
    assert asleep >= 0.25 * count * 0.015
    assert found["idle"] <= 0.6 * sum(found.values())


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio", "processes"])
def test_every_run_has_a_timeline(model):
    timeline = recorded(spin, [0.004] * 12, model, "default")

    assert sorted(timeline.items.index) == list(range(12))
    assert sum(timeline.items.cpu_s) == pytest.approx(12 * 0.004, rel=0.3)
    assert not any(timeline.items.shared)
    assert all(q <= s for q, s in zip(timeline.items.queued, timeline.items.started, strict=True))
    assert timeline.items.label[0] == "0.004"


def test_without_a_record_there_is_no_timeline():
    run = outpace.map(abs, [1, 2], model="serial", record="off")
    list(run)

    with pytest.raises(UsageError, match="off"):
        _ = run.timeline
    with pytest.raises(UsageError, match="'off', 'default' or 'full'"):
        outpace.map(abs, [1], record="all")


def test_a_run_that_is_left_half_way_shows_what_there_was():
    run = outpace.map(spin, [0.003] * 1000, model="threads", record="full", in_flight=2)
    for n, _ in enumerate(run):
        if n == 20:
            break

    timeline: Timeline = run.timeline
    assert 20 < sum(timeline.items.count) < 1000
    assert_whole(timeline)


def test_every_attempt_is_there():
    def fails(n: int) -> int:
        if n == 2:
            raise ValueError(n)
        return n

    run = outpace.run(fails, range(4), model="serial", retries=2)
    list(run)

    attempts = [
        (index, attempt)
        for index, attempt in zip(run.timeline.items.index, run.timeline.items.attempt, strict=True)
        if index == 2
    ]
    assert attempts == [(2, 1), (2, 2), (2, 3)]


def test_a_timeline_of_a_run_saves_itself(tmp_path):
    run = outpace.map(spin, [0.002] * 8, model="threads", in_flight=2, record="full")
    list(run)

    for name in ("run.html", "run.svg", "run.json", "run.txt", "run.trace.json"):
        run.timeline.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100


@linux
def test_replaced_workers_are_seen_too():
    timeline = recorded(spin, [0.01] * 24, "processes", workers=2, max_items=4)

    found = seconds(timeline)
    assert found["waiting"] <= 0.2 * (sum(found.values()) - found["idle"])
    assert sum(timeline.items.count) == 24


@linux
def test_the_lock_of_the_interpreter_is_found():
    file, offset = gil.gil_in_file()

    assert Path(file).exists()
    assert offset > 0
    assert sys.version_info[:2] >= (3, 11)


def test_an_interrupt_in_a_full_record_leaves_no_helper():
    def stops(n: int) -> int:
        if n == 3:
            raise KeyboardInterrupt
        return n

    run = outpace.map(stops, range(10), model="serial", record="full")
    with pytest.raises(KeyboardInterrupt):
        list(run)

    assert sum(run.timeline.items.count) == 3
