"""Fewer intervals that say the same."""

import random

import pytest

from outpace.record import derive, states
from outpace.record.thin import joined, thinned, within_items
from outpace.record.timeline import Lane, Timeline


def bins(lanes: int, count: int, seed: int = 1) -> Timeline:
    """Make a timeline as a sampler sees it: bins of a millisecond, in each two states by amount."""
    chance = random.Random(seed)
    timeline = Timeline("threads", 5.0, 5.0 + count / 1000, 2, lanes)
    timeline.lanes = [Lane("thread", 0, n) for n in range(lanes)]
    for lane in range(lanes):
        for n in range(count):
            share, since = chance.random(), 5.0 + n / 1000
            add = timeline.intervals.add
            add(lane, states.RUNNING, since, since + 0.001, share, sampled=True)
            add(lane, states.GIL, since, since + 0.001, 1 - share, sampled=True)
    return timeline


def with_intervals(timeline: Timeline, intervals) -> Timeline:
    timeline.intervals = intervals
    return timeline


def test_a_lane_is_idle_outside_its_items_whatever_it_waits_on():
    timeline = Timeline("threads", 0.0, 10.0, 2, 1, [Lane("thread"), Lane("loop")])
    timeline.items.add(0, 0, 1.0, 2.0)
    timeline.items.add(1, 0, 2.0, 3.0)
    timeline.items.add(2, 0, 6.0, 7.0)
    timeline.intervals.add(0, states.LOCK, 0.0, 10.0, 0.5, sampled=True)
    timeline.intervals.add(0, states.RUNNING, 2.5, 2.75)
    timeline.intervals.add(1, states.RUNNING, 0.0, 1.0)

    cut = within_items(timeline)

    rows = list(zip(cut.lane, cut.state, cut.began, cut.ended, cut.share, strict=True))
    assert rows == [
        (0, states.LOCK, 1.0, 3.0, 0.5),
        (0, states.LOCK, 6.0, 7.0, 0.5),
        (0, states.RUNNING, 2.5, 2.75, 1.0),
        (1, states.RUNNING, 0.0, 1.0, 1.0),
    ]


def test_what_touches_and_says_the_same_is_one():
    timeline = Timeline("serial", 0.0, 1.0, 1, 1, [Lane("main")])
    for n in range(100):
        timeline.intervals.add(0, states.RUNNING, n / 100, (n + 1) / 100)
    timeline.intervals.add(0, states.GIL, 1.0, 1.5)
    timeline.intervals.add(0, states.RUNNING, 1.5, 2.0)
    timeline.intervals.add(0, states.RUNNING, 2.0, 2.5, sampled=True)

    found = joined(timeline.intervals)

    assert list(found.began) == [0.0, 1.0, 1.5, 2.0]
    assert list(found.ended) == pytest.approx([1.0, 1.5, 2.0, 2.5])
    assert list(found.sampled) == [0, 0, 0, 1]


def test_too_many_are_added_up_in_equal_stretches():
    timeline = bins(4, 2000)
    before = derive.sums(timeline)

    found = thinned(timeline, 800)

    assert len(timeline.intervals) == 16_000
    assert len(found) <= 800
    after = derive.sums(with_intervals(timeline, found))
    for was, now in zip(before, after, strict=True):
        assert now == pytest.approx(was, abs=1e-6)


def test_few_enough_stay_as_exact_as_they_are():
    timeline = bins(2, 100)

    assert len(thinned(timeline)) == 400


def test_a_long_state_stays_one_interval():
    timeline = bins(1, 1000)
    timeline.lanes.append(Lane("thread", 0, 1))
    timeline.intervals.add(1, states.NETWORK, timeline.began, timeline.ended)

    found = thinned(timeline, 300)

    assert list(found.lane).count(1) == 1
    n = list(found.lane).index(1)
    assert (found.share[n], found.ended[n] - found.began[n]) == pytest.approx((1.0, 1.0))
