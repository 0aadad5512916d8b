"""What follows from a timeline, with numbers that can be worked out by hand."""

import pytest

from outpace.record import metrics, states
from outpace.record.timeline import Items, Lane, Timeline


def test_what_nothing_covers_is_idle():
    timeline = Timeline("threads", 10.0, 14.0, 2, 1, [Lane("thread")])
    timeline.intervals.add(0, states.RUNNING, 11.0, 12.0)
    timeline.intervals.add(0, states.GIL, 12.0, 13.0, 0.5, sampled=True)

    (row,) = metrics.seconds_by_state(timeline)

    assert row[states.RUNNING] == 1.0
    assert row[states.GIL] == 0.5
    assert row[states.IDLE] == 2.5


def test_what_lies_outside_the_span_is_cut_off():
    timeline = Timeline("threads", 10.0, 11.0, 2, 1, [Lane("thread")])
    timeline.intervals.add(0, states.RUNNING, 9.0, 10.25)
    timeline.intervals.add(0, states.RUNNING, 10.75, 99.0)

    (row,) = metrics.seconds_by_state(timeline)

    assert row[states.RUNNING] == 0.5
    assert metrics.cores_busy(timeline, 4) == [1.0, 0.0, 0.0, 1.0]


def test_an_event_loop_is_not_counted_beside_its_slots():
    timeline = Timeline("asyncio", 0.0, 1.0, 2, 1, [Lane("slot"), Lane("loop")])
    for lane in (0, 1):
        timeline.intervals.add(lane, states.BLOCKING, 0.0, 0.5)

    assert metrics.cores_busy(timeline, 2) == [1.0, 0.0]
    assert metrics.total_by_state(timeline)[states.BLOCKING] == 0.5


def test_the_slots_of_a_loop_never_add_up_to_more_than_a_core():
    timeline = Timeline("asyncio", 0.0, 1.0, 2, 4, [Lane("slot", 0, n) for n in range(4)])
    for lane in range(4):
        timeline.intervals.add(lane, states.RUNNING, 0.0, 1.0, 0.5, sampled=True)

    assert metrics.cores_busy(timeline, 1) == [1.0]


def test_two_threads_of_two_workers_are_two_cores():
    timeline = Timeline("processes", 0.0, 1.0, 2, 2, [Lane("process", 0), Lane("process", 1)])
    for lane in (0, 1):
        timeline.intervals.add(lane, states.RUNNING, 0.0, 1.0)

    assert metrics.cores_busy(timeline, 1) == [2.0]


def test_a_row_of_many_items_counts_as_many_and_by_their_own_time():
    items = Items()
    items.add(0, 0, 0.0, 1.0, count=4, wall_s=0.5)
    timeline = Timeline("serial", 0.0, 1.0, 2, 1, [Lane("main")], items)

    found = metrics.durations(timeline)

    assert (found.median, sum(found.counts)) == (0.125, 4)
    assert metrics.in_flight(timeline, 2) == [0.5, 0.5]


def test_ranks_are_those_of_the_sorted_items():
    items = Items()
    for n in range(100):
        items.add(n, 0, 0.0, (n + 1) / 100)
    timeline = Timeline("serial", 0.0, 1.0, 2, 1, [Lane("main")], items)

    found = metrics.durations(timeline)

    assert [found.least, found.median, found.most] == pytest.approx([0.01, 0.5, 1.0])
    assert (found.p90, found.p99) == pytest.approx((0.9, 0.99))


def test_nothing_that_ran_has_no_distribution():
    assert metrics.durations(Timeline("serial", 0.0, 1.0, 2, 1)) is None
