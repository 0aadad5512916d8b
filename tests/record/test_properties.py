"""What holds for every timeline, whatever it is of: sums, strips, rows, pictures, JSON."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outpace.record import metrics, states
from outpace.record.collect import Collected
from outpace.record.intervals import add_intervals
from outpace.record.lanes import partition, rows
from outpace.record.raster import rasterise, stretches
from outpace.record.timeline import KINDS, LANE_KINDS, Items, Lane, Timeline
from outpace.record.timeline_json import as_json, from_json

COLUMNS, LEVELS = 60, 12
LABELS = st.sampled_from(["", "page 1", "ü", "\ud800", "</script>", "\x00"])
# Or a busy machine fails.
SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Draw a timeline of a few lanes, in each of which stretches of one or two states follow."""
    began = draw(st.floats(0, 1e6))
    timeline = Timeline("model", began, began, draw(st.integers(1, 8)), draw(st.integers(1, 9)))
    for number in range(draw(st.integers(1, 6))):
        lane = Lane(draw(st.sampled_from(LANE_KINDS)), draw(st.integers(0, 2)), number)
        timeline.lanes.append(lane)
        now = began
        for n in range(draw(st.integers(0, 8))):
            since = now + draw(st.integers(0, 50)) / 1000
            now = since + draw(st.integers(1, 200)) / 1000
            state = draw(st.integers(0, len(states.STATES) - 1))
            share = draw(st.sampled_from([1.0, 1.0, 0.25, 0.5]))
            sampled = share < 1
            timeline.intervals.add(number, state, since, now, share, sampled=sampled)
            if sampled:
                timeline.intervals.add(number, states.WAITING, since, now, 0.5, sampled=True)
            kind = draw(st.sampled_from(KINDS))
            timeline.items.add(n, number, since, now, kind=kind, label=draw(LABELS))
        timeline.ended = max(timeline.ended, now)
    return timeline


@SLOWLY
@given(timelines())
def test_the_states_of_a_lane_add_up_to_its_span(timeline):
    for row in metrics.seconds_by_state(timeline):
        assert sum(row) == pytest.approx(timeline.span_s, abs=1e-6)
        assert min(row) >= 0


@SLOWLY
@given(timelines())
def test_the_shares_of_all_lane_time_add_up_to_one(timeline):
    whole = sum(metrics.shares(timeline))

    if timeline.span_s > 0 and any(lane.kind != "loop" for lane in timeline.lanes):
        assert whole == pytest.approx(1)
    else:
        assert whole == 0


@SLOWLY
@given(timelines(), st.integers(1, 80))
def test_the_strips_hold_all_that_was_measured(timeline, bins):
    step = timeline.span_s / bins
    busy = sum(metrics.cores_busy(timeline, bins)) * step
    items = sum(metrics.in_flight(timeline, bins)) * step

    on_cpu = sum(metrics.total_by_state(timeline)[n] for n in states.ON_CPU)
    if any(lane.kind == "slot" for lane in timeline.lanes):
        assert busy <= on_cpu + 1e-6  # one loop is at most one core
    else:
        assert busy == pytest.approx(on_cpu, abs=1e-6)
    assert items == pytest.approx(sum(timeline.items.wall_s), abs=1e-6)


@SLOWLY
@given(timelines(), st.integers(1, 5))
def test_rows_hold_every_lane_once(timeline, most):
    drawn = rows(timeline, most)

    assert sorted(lane for row in drawn for lane in row.lanes) == list(range(len(timeline.lanes)))
    assert len(drawn) <= max(most, len({(lane.worker, lane.kind) for lane in timeline.lanes}))
    for row in drawn:
        assert len({(timeline.lanes[n].worker, timeline.lanes[n].kind) for n in row.lanes}) == 1


@SLOWLY
@given(timelines(), st.integers(1, 5))
def test_a_picture_has_as_much_of_a_state_as_the_lanes_had(timeline, most):
    drawn = rows(timeline, most)
    grid = rasterise(timeline, drawn, COLUMNS, timeline.began, timeline.ended)
    sums = metrics.seconds_by_state(timeline)

    for row, by_state in zip(drawn, grid, strict=True):
        for state in range(len(states.STATES)):
            if state != states.IDLE:
                spent = sum(sums[lane][state] for lane in row.lanes) / len(row.lanes)
                seen = sum(by_state.get(state, [])) * timeline.span_s / COLUMNS
                assert seen == pytest.approx(spent, abs=1e-6)
        for cell in stretches(by_state, LEVELS):
            assert sum(height for _, height in cell.layers) <= LEVELS
            assert 0 <= cell.first < cell.last <= COLUMNS


@SLOWLY
@given(timelines())
def test_json_brings_back_what_it_was_made_of(timeline):
    text = json.dumps(as_json(timeline))

    again = from_json(json.loads(text))

    assert json.dumps(as_json(again)) == text
    assert again.lanes == timeline.lanes
    assert again.items.label == timeline.items.label
    assert again.span_s == pytest.approx(timeline.span_s, abs=1e-6)


intervals = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(1, 300)).map(
        lambda p: (p[0] / 1e3, (p[0] + p[1]) / 1e3)
    )
)


@SLOWLY
@given(intervals)
def test_items_fold_into_as_few_lanes_as_were_in_use_at_once(spans):
    lanes = partition([s for s, _ in spans], [e for _, e in spans])

    at_once = max((sum(s <= t < e for s, e in spans) for t, _ in spans), default=0)
    assert len(set(lanes)) == at_once
    for lane in set(lanes):
        inside = sorted(span for span, of in zip(spans, lanes, strict=True) if of == lane)
        assert all(a[1] <= b[0] for a, b in pairwise(inside))


@SLOWLY
@given(intervals, st.floats(0, 2))
def test_a_timeline_from_items_alone_claims_no_more_than_the_clocks_said(spans, busy):
    items = Items()
    for n, (started, ended) in enumerate(spans):
        items.add(n, n, started, ended, cpu_s=busy * (ended - started))
    end = max((ended for _, ended in spans), default=1.0)

    timeline = Timeline(
        "m", 0.0, end, 2, 9, [Lane("thread", 0, n) for n in range(len(spans))], items
    )
    add_intervals(timeline, Collected(items, timeline.lanes, [(None, -1)] * len(spans)), {})

    total = metrics.total_by_state(timeline)
    assert total[states.RUNNING] == pytest.approx(sum(items.wall_s) * min(1.0, busy), abs=1e-9)
    assert all(timeline.intervals.sampled)
    for row in metrics.seconds_by_state(timeline):
        assert sum(row) == pytest.approx(end)


@SLOWLY
@given(st.lists(st.tuples(st.floats(1e-9, 1e3), st.integers(1, 50)), min_size=1))
def test_a_distribution_counts_every_item(times):
    items = Items()
    for n, (seconds, count) in enumerate(times):
        items.add(n, 0, 0.0, seconds * count, count=count)
    timeline = Timeline("m", 0.0, 1e6, 1, 1, [Lane("main")], items)

    found = metrics.durations(timeline)

    assert sum(found.counts) == sum(count for _, count in times)
    assert found.least <= found.median <= found.p90 <= found.p99 <= found.most
    assert found.edges == sorted(found.edges)
    assert found.edges[-1] / found.edges[0] >= 1.99
