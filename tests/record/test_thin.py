"""Fewer intervals, and fewer rows of items, that say the same."""

import random
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outpace.record import metrics, states
from outpace.record.thin import FewIntervals, FewItems, thinned
from outpace.record.timeline import Intervals, Lane, Timeline


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
            timeline.items.add(n, lane, since, since + 0.001, cpu_s=share / 1000, label=f"item {n}")
    return timeline


def rows_of(intervals: Intervals) -> list[tuple[float, ...]]:
    names = ("lane", "state", "began", "ended", "share", "sampled")
    return list(zip(*(getattr(intervals, name) for name in names), strict=True))


def test_few_enough_stay_as_exact_as_they_are():
    timeline = bins(2, 100)

    again = thinned(timeline, 200, 400)

    assert again.items == timeline.items
    assert again.intervals == timeline.intervals
    assert again.notes == []


def test_too_many_are_added_up_lane_by_lane():
    timeline = bins(4, 2000)
    before = metrics.seconds_by_state(timeline)

    again = thinned(timeline, 100, 800)

    assert (len(timeline.items), len(timeline.intervals)) == (8_000, 16_000)
    assert 30 <= len(again.items) <= 100
    assert 200 <= len(again.intervals) <= 800
    for was, now in zip(before, metrics.seconds_by_state(again), strict=True):
        assert now == pytest.approx(was, abs=1e-6)
    assert sum(again.items.count) == 8_000
    assert sum(again.items.cpu_s) == pytest.approx(sum(timeline.items.cpu_s))
    assert len(again.notes) == 2
    assert timeline.notes == []


def test_a_long_state_among_short_ones_stays_what_it_is():
    few = FewIntervals(100)
    for n in range(1000):
        few.add(0, n % 2, n / 1000, (n + 1) / 1000)
    few.add(0, states.NETWORK, 1.0, 3.0)
    for n in range(1000):
        few.add(0, n % 2, 3 + n / 1000, 3 + (n + 1) / 1000)

    rows = rows_of(few.rows())

    assert len(rows) <= 100
    assert (0, states.NETWORK, 1.0, 3.0, 1.0, 0) in rows
    for state in (0, 1):
        assert sum((e - b) * share for _, s, b, e, share, _ in rows if s == state) == (
            pytest.approx(1.0)
        )


def test_a_short_state_by_itself_stays_exact():
    few = FewIntervals(100)
    for n in range(200):
        few.add(0, states.RUNNING, n / 1000, n / 1000 + 0.0001)
    few.add(0, states.RUNNING, 50.0, 50.0001)

    assert rows_of(few.rows())[-1] == (0, states.RUNNING, 50.0, 50.0001, 1.0, 0)


def test_what_touches_and_says_the_same_is_one():
    few = FewIntervals()
    for n in range(100):
        few.add(0, states.RUNNING, n / 100, (n + 1) / 100)
    few.add(0, states.GIL, 1.0, 1.5)
    few.add(0, states.RUNNING, 1.5, 2.0)
    few.add(0, states.RUNNING, 2.0, 2.5, sampled=True)

    rows = few.rows()

    assert list(rows.began) == [0.0, 1.0, 1.5, 2.0]
    assert list(rows.ended) == pytest.approx([1.0, 1.5, 2.0, 2.5])
    assert list(rows.sampled) == [0, 0, 0, 1]


def test_more_lanes_than_rows_are_left_with_one_each():
    few = FewIntervals(100)
    for n in range(1000):
        for lane in range(150):
            few.add(lane, states.RUNNING, n / 1000, n / 1000 + 0.0005)
    items = FewItems(100)
    for n in range(10):
        for lane in range(150):
            items.add(
                n, lane, n, n + 0.5, cpu_s=0.0, wall_s=0.5, shared=False, queued=0.0, attempt=1, kind=0,
                count=1, label="",
            )  # fmt: skip

    assert {lane for lane, *_ in rows_of(few.rows())} == set(range(150))
    assert len(few.rows()) <= 600
    assert set(items.rows.lane) == set(range(150))
    assert sum(items.rows.count) == 1500


def test_items_that_failed_and_long_ones_are_still_seen():
    items = FewItems(20)
    for n in range(1000):
        long = n == 500
        began = n / 1000 + (10 if n > 500 else 0)
        items.add(
            n, 0, began, began + (10 if long else 0.001), cpu_s=0.0, wall_s=10 if long else 0.001,
            shared=False, queued=began, attempt=1, kind=2 if n == 700 else 0, count=1,
            label=f"item {n}",
        )  # fmt: skip

    rows = items.rows

    assert len(rows) <= 20
    alone = list(rows.index).index(500)
    assert (rows.count[alone], rows.label[alone]) == (1, "item 500")
    assert sum(rows.count) == 1000
    assert list(rows.kind).count(2) == 1
    assert rows.label[0].startswith("item 0 … item ")
    assert [rows.index[n] + rows.count[n] for n in range(len(rows) - 1)] == list(rows.index[1:])


Row = tuple[int, int, float, float, float]  # lane, state, from when, to when, share


def check(rows: list[Row], lanes: int, most: int) -> None:
    """Thin rows out; each lane is to keep its seconds in each state, one stretch after another."""
    few, timeline = FewIntervals(most), Timeline("m", 0.0, 1.0, 1, 1)
    timeline.lanes = [Lane("thread", 0, lane) for lane in range(lanes)]
    timeline.ended = max((ended for *_, ended, _ in rows), default=0.0)
    for each in sorted(rows, key=lambda each: each[2]):
        few.add(*each)
        timeline.intervals.add(*each)
    before = metrics.seconds_by_state(timeline)

    timeline.intervals = few.rows()

    for was, now in zip(before, metrics.seconds_by_state(timeline), strict=True):
        assert now == pytest.approx(was, abs=1e-9)
    by_lane: dict[int, dict[tuple[float, float], float]] = {}
    for lane, _, began, ended, share, _ in rows_of(timeline.intervals):
        spans = by_lane.setdefault(int(lane), {})
        spans[began, ended] = spans.get((began, ended), 0.0) + share
    for spans in by_lane.values():
        assert list(spans) == sorted(spans)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(spans))
        assert max(spans.values()) <= 1 + 1e-9


stretches = st.lists(
    st.tuples(st.integers(1, 200), st.integers(0, 50), st.integers(0, 3)), max_size=80
)


@settings(deadline=None)
@given(st.lists(stretches, min_size=1, max_size=4), st.integers(4, 40))
@example(  # half of one stretch is the same state as half of the next
    [[(1, 0, 0), (1, 0, 1), (1, 0, 0)], [(1, 0, 0), (1, 0, 1), (1, 0, 0), (1, 0, 2)]], 4
)
def test_no_second_of_any_state_is_lost_or_won(lanes, most):
    rows: list[Row] = []
    for lane, parts in enumerate(lanes):
        now = 0.0
        for took, gap, state in parts:
            rows.append((lane, state, now, now + took / 1000, 1.0))
            now += (took + gap) / 1000

    check(rows, len(lanes), most)


bins_of_states = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([0, 0, 2]), st.integers(1, 15)), max_size=80
)


@settings(deadline=None)
@given(st.lists(bins_of_states, min_size=1, max_size=4), st.integers(4, 40))
@example([[(1, 0, 3), (1, 0, 5)]], 4)  # half of the first grows past the other half
@example([[(1, 0, 3), (1, 0, 15)]], 4)  # there are too many amid the second
def test_a_stretch_that_several_states_share_stays_one(lanes, most):
    rows: list[Row] = []
    for lane, parts in enumerate(lanes):
        now = 0.0
        for took, gap, some in parts:
            among = [state for state in range(4) if some & 1 << state]
            until = now + took / 1000
            rows.extend((lane, state, now, until, 1 / len(among)) for state in among)
            now = until + gap / 1000

    check(rows, len(lanes), most)
