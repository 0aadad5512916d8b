"""A timeline of very many items is as true as one of few: its lanes, its loop, its sums, and its word.

Most of these are made of reports as a loop of 64 slots gives them, without a loop: 120,000 items take a
second or two.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heapreplace
from itertools import pairwise
from typing import Any

import pytest

import outpace
from outpace.flow.data import Report, Settled
from outpace.flow.trace import LONG, Trace
from outpace.record import metrics, states
from outpace.record.collect import ITEMS_KEPT, Collector
from outpace.record.intervals import FROM_SAMPLES, FROM_STEPS, add_intervals
from outpace.record.lane_intervals import Samples
from outpace.record.sampler import client
from outpace.record.sampler.proc import WAIT_NAMES
from outpace.record.thin import INTERVALS_KEPT
from outpace.record.timeline import Timeline
from outpace.record.timeline_json import as_json, from_json
from outpace.report.html import page
from outpace.report.svg import svg
from outpace.report.timeline_text import lanes_text

SLOTS, ITEM, STEP = 64, 0.064, 0.00001  # seconds of an item, and of each of its steps on the loop
MIDDLE, LATE = 12_000, 120_000


def scattered(count: int, steps: int = 0, long: int = -1) -> Iterator[Settled]:
    """Yield what a loop of 64 slots reports of so many items, fifty at a time, as they end.

    Every item has so many steps on the loop, evenly apart; `long` blocks it, and so nobody else has any.
    """
    chance = random.Random(7)
    free = [(n * ITEM / SLOTS, n) for n in range(SLOTS)]
    heapify(free)
    ended: list[tuple[float, float, int]] = []
    for index in range(count):
        began, slot = free[0]
        took = LONG * 4 if index == long else ITEM * chance.uniform(0.5, 1.5)
        heapreplace(free, (began + took + ITEM / 100, slot))
        ended.append((began + took, began, index))
    ended.sort()
    blocked = next(((began, until) for until, began, index in ended if index == long), (0.0, 0.0))
    for at in range(0, count, 50):
        yield _report(ended[at : at + 50], steps, long, blocked)


def _report(
    ended: list[tuple[float, float, int]], steps: int, long: int, blocked: tuple[float, float]
) -> Settled:
    indexes = [index for *_, index in ended]
    columns = array("d", [s for _, s, _ in ended]), array("d", [e for e, *_ in ended])
    trace = Trace(array("d", [steps * STEP] * len(ended)))
    if steps:
        trace.steps, trace.owners = array("d"), array("l")
        trace.process, trace.thread = 7, 70
        for position, (until, since, index) in enumerate(ended):
            for n in range(steps):
                took = LONG * 2 if index == long else STEP
                began = since + n * (until - since - took) / max(1, steps - 1)
                if index == long or not blocked[0] - took < began < blocked[1]:
                    trace.steps.extend((began, began + took, took))
                    trace.owners.append(position)
    report = Report(indexes, [None] * len(ended), *columns, cpu_s=len(ended) * STEP, trace=trace)
    return Settled(report, indexes, columns[0], [1] * len(ended))


def timeline_of(reports: Any, model: str = "asyncio", sampled: Any = None) -> Timeline:
    collector = Collector("item {}".format)
    for settled in reports:
        collector.add(settled)
    found = collector.collected(model)
    end = max(found.items.ended)
    timeline = Timeline(model, 0.0, end, 2, SLOTS, found.lanes, found.items)
    add_intervals(timeline, found, sampled or {})
    return timeline


@pytest.fixture(scope="module")
def late() -> Timeline:
    """Return the timeline of more items than are kept, with the steps of each."""
    return timeline_of(scattered(LATE, steps=2))


def kinds(timeline: Timeline) -> dict[str, int]:
    return dict(Counter(lane.kind for lane in timeline.lanes))


def assert_nothing_overlaps(timeline: Timeline) -> None:
    by_lane: dict[int, list[tuple[float, float]]] = {}
    items = timeline.items
    for lane, started, ended in zip(items.lane, items.started, items.ended, strict=True):
        by_lane.setdefault(lane, []).append((started, ended))
    for spans in by_lane.values():
        assert all(a[1] <= b[0] + 1e-5 for a, b in pairwise(sorted(spans)))


def assert_adds_up(timeline: Timeline) -> None:
    """Every lane's states make its span; and its time in items is what the items say."""
    rows = metrics.seconds_by_state(timeline)
    walls = [0.0] * len(rows)
    for lane, wall_s in zip(timeline.items.lane, timeline.items.wall_s, strict=True):
        walls[lane] += wall_s
    for lane, row, wall_s in zip(timeline.lanes, rows, walls, strict=True):
        assert sum(row) == pytest.approx(timeline.span_s, rel=1e-3)
        if lane.kind != "loop":
            assert sum(row) - row[states.IDLE] == pytest.approx(wall_s, rel=0.02)


def test_twelve_thousand_items_are_there_one_by_one():
    timeline = timeline_of(scattered(MIDDLE))

    assert kinds(timeline) == {"slot": SLOTS}
    assert len(timeline.items) == MIDDLE
    assert timeline.notes == []
    assert_nothing_overlaps(timeline)
    assert_adds_up(timeline)


def test_the_steps_of_twelve_thousand_items_are_there():
    timeline = timeline_of(scattered(MIDDLE, steps=3))

    assert kinds(timeline) == {"slot": SLOTS, "loop": 1}
    assert timeline.how == FROM_STEPS
    assert len(timeline.intervals) >= 3 * MIDDLE  # each wait, and each step
    assert not timeline.is_sampled
    assert_adds_up(timeline)


@pytest.mark.slow
def test_more_items_than_are_kept_stay_in_their_lanes():
    timeline = timeline_of(scattered(LATE))

    assert kinds(timeline) == {"slot": SLOTS}
    assert_rows_stand_for_all(timeline)
    assert sum(timeline.items.cpu_s) == 0.0
    assert len(timeline.notes) == 1


@pytest.mark.slow
def test_what_a_loop_has_said_of_them_is_added_up_in_the_same_lanes(late):
    assert kinds(late) == {"slot": SLOTS, "loop": 1}
    assert_rows_stand_for_all(late)
    busy = sum(late.items.cpu_s)
    assert busy == pytest.approx(LATE * 2 * STEP)
    assert metrics.total_by_state(late)[states.RUNNING] == pytest.approx(busy, rel=0.02)
    assert late.how == FROM_STEPS
    assert len(late.notes) == 2


def assert_rows_stand_for_all(timeline: Timeline) -> None:
    items = timeline.items
    assert sum(items.count) == LATE
    assert list(items.count).count(1) >= ITEMS_KEPT * 0.9  # one by one, as far as they are kept
    assert len(items) <= ITEMS_KEPT * 1.1
    assert len(timeline.intervals) <= INTERVALS_KEPT
    assert_nothing_overlaps(timeline)
    assert_adds_up(timeline)


@pytest.mark.slow
def test_a_loop_has_been_as_busy_as_its_slots_however_many_items_there_were(late):
    loop = next(n for n, lane in enumerate(late.lanes) if lane.kind == "loop")
    assert metrics.seconds_by_state(late)[loop][states.RUNNING] == pytest.approx(
        LATE * 2 * STEP, rel=0.02
    )


@pytest.mark.slow
def test_what_blocked_a_loop_is_seen_among_all_that_is_added_up():
    timeline = timeline_of(scattered(LATE, steps=2, long=5_000))

    loop = next(n for n, lane in enumerate(timeline.lanes) if lane.kind == "loop")
    assert metrics.seconds_by_state(timeline)[loop][states.BLOCKING] == pytest.approx(
        4 * LONG, rel=0.01
    )
    assert metrics.total_by_state(timeline)[states.BLOCKING] == pytest.approx(4 * LONG, rel=0.01)


def test_items_of_a_lane_share_rows_and_long_ones_have_their_own():
    reports = [row(n * 1000, 1000, 0.001) for n in range(60)]
    reports.append(row(60_000, 1, 30.0, began=60.0))
    reports += [row(60_001 + n * 1000, 1000, 0.001, began=90.0 + n) for n in range(80)]

    timeline = timeline_of(reports, "serial")

    items = timeline.items
    long = list(items.index).index(60_000)
    assert (items.count[long], items.wall_s[long]) == (1, pytest.approx(30.0))
    assert sum(items.count) == 140_001
    assert len(timeline.lanes) == 1
    assert_nothing_overlaps(timeline)
    assert_adds_up(timeline)
    assert items.label[0].startswith("item 0 … item ")


def row(first: int, count: int, each: float, began: float | None = None, lane: int = 0) -> Settled:
    """Report items of a lane one after another."""
    since = first * each if began is None else began
    edges = array("d", [since + n * each for n in range(count + 1)])
    trace = Trace(array("d", [count * each / 4]), array("l", [count]), process=7, thread=lane)
    report = Report(
        range(first, first + count), [None] * count, edges[:-1], edges[1:],
        cpu_s=count * each / 4, lane=lane, trace=trace,
    )  # fmt: skip
    return Settled(report, range(count), [0.0] * count, [1] * count)


@pytest.mark.slow
def test_what_threads_waited_for_is_there_however_many_items_they_had():
    reports = [
        row(block * 10_000 + lane * 5_000, 5_000, 0.001, began=block * 5.0, lane=lane)
        for block in range(15)
        for lane in (0, 1)
    ]
    sampled = {(7, lane): Samples() for lane in (0, 1)}
    for (_, lane), samples in sampled.items():
        for n in range(750):
            samples.began.append(n / 10)
            samples.ended.append((n + 1) / 10)
            samples.cpu_s.append(0.025)
            samples.ready_s.append(0.0)
            samples.wait.append(WAIT_NAMES.index("network" if lane else "gil"))

    timeline = timeline_of(reports, "threads", sampled)

    assert timeline.how == FROM_SAMPLES
    sums = metrics.seconds_by_state(timeline)
    for lane, state in ((0, states.GIL), (1, states.NETWORK)):
        assert sums[lane][state] == pytest.approx(75 * 0.75, rel=0.01)
        assert sums[lane][states.RUNNING] == pytest.approx(75 * 0.25, rel=0.01)


@pytest.mark.slow
def test_a_look_in_the_middle_changes_nothing_of_the_end():
    looked, not_looked = Collector("item {}".format), Collector("item {}".format)
    for n, (one, other) in enumerate(zip(scattered(LATE), scattered(LATE), strict=True)):
        looked.add(one)
        not_looked.add(other)
        if n in (100, 2100):
            looked.collected("asyncio")

    assert looked.collected("asyncio").items == not_looked.collected("asyncio").items


@pytest.mark.slow
def test_what_is_held_of_a_run_does_not_grow_with_it():
    collector, most = Collector("item {}".format), 0
    for settled in scattered(LATE * 2, steps=1):
        collector.add(settled)
        most = max(most, len(collector))

    assert most <= 1.6 * ITEMS_KEPT
    assert len(collector.collected("asyncio").past) <= INTERVALS_KEPT / 2


@pytest.mark.slow
def test_steps_without_end_do_not_take_memory_without_end():
    collector = Collector("item {}".format)
    for settled in scattered(1_000, steps=1_500):
        collector.add(settled)

    found = collector.collected("asyncio")
    assert len(found.past) <= INTERVALS_KEPT / 2
    assert sum(len(k.trace.owners) for k, _ in kept_of(found)) <= 1_200_000
    assert list(found.items.count) == [1] * 1_000


def kept_of(found: Any) -> list[Any]:
    return list({id(k): (k, n) for k, n in found.of if n == 0}.values())


def test_a_page_holds_what_a_page_can(tmp_path):
    timeline = timeline_of(scattered(5_000, steps=7))
    assert len(timeline.intervals) > 70_000

    text = page([timeline])

    assert len(text) < 1_500_000
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])["timelines"][0]
    assert data["items"]["rows"] == 5_000
    assert 10_000 <= data["intervals"]["rows"] <= 30_000
    assert len(data["lanes"]) == SLOTS + 1
    assert "added up" in text
    assert len(timeline.intervals) > 70_000  # the timeline itself is as it was


@pytest.mark.slow
def test_a_page_of_many_timelines_is_no_larger():
    timeline = timeline_of(scattered(4_000, steps=6))

    assert len(page([timeline] * 4)) < 2_000_000


@pytest.mark.slow
def test_what_was_added_up_says_so_in_every_form(late):
    timeline = late
    content = as_json(timeline)
    assert from_json(json.loads(json.dumps(content))).notes == timeline.notes
    del content["notes"]
    assert from_json(content).notes == []  # of a file that was written before
    for form in (lanes_text([timeline], 10_000), svg([timeline]), page([timeline])):
        for word in ("share a row", "added up"):
            assert word in form


async def waits_twice(_: int) -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0.0005)


def ran(fn: Any, model: str, record: Any, **options: Any) -> Timeline:
    run = outpace.map(fn, range(MIDDLE), model=model, record=record, **options)
    for _ in run:
        pass
    timeline: Timeline = run.timeline
    assert sum(timeline.items.count) == MIDDLE
    assert len(timeline.items) == MIDDLE
    return timeline


@pytest.mark.slow
@pytest.mark.parametrize("record", ["default", "full"])
def test_a_loop_that_really_ran_twelve_thousand(record):
    timeline = ran(waits_twice, "asyncio", record, in_flight=SLOTS)

    full = record == "full"
    assert kinds(timeline) == {"slot": SLOTS, **({"loop": 1} if full else {})}
    assert timeline.how.startswith(FROM_STEPS) == full
    assert len(timeline.intervals) >= (5 if full else 1) * MIDDLE


@pytest.mark.slow
def test_loops_in_processes_that_really_ran_twelve_thousand():
    timeline = ran(waits_twice, "processes+asyncio", "full", workers=2, in_flight=SLOTS)

    assert kinds(timeline)["loop"] == 2
    assert SLOTS / 2 <= kinds(timeline)["slot"] <= SLOTS
    assert timeline.how.startswith(FROM_STEPS)


@pytest.mark.skipif(not client.possible(), reason="threads are seen from outside on Linux")
def test_threads_that_really_ran_twelve_thousand():
    timeline = ran(lambda _: time.sleep(0.0005), "threads", "full", in_flight=8)

    assert kinds(timeline) == {"thread": 8}
    assert FROM_SAMPLES in timeline.how
