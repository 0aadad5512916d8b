"""A timeline from the reports of a run."""

from array import array

import pytest

from outpace.flow.data import Failure, Report, Settled
from outpace.flow.trace import Trace
from outpace.record import metrics, states
from outpace.record.collect import Collector, labelled
from outpace.record.intervals import add_intervals
from outpace.record.timeline import Timeline


def settled(first, times, *, worker=0, lane=0, cpu_s=0.0, failures=None) -> Settled:
    count = len(times)
    report = Report(
        range(first, first + count), [None] * count, array("d", [s for s, _ in times]),
        array("d", [e for _, e in times]), failures or {}, cpu_s, worker, lane,
    )  # fmt: skip
    return Settled(report, list(range(count)), [0.0] * count, [1] * count)


def timeline_of(*reports, model="threads", **more) -> Timeline:
    collector = Collector(**more)
    for report in reports:
        collector.add(report)
    return shown(collector, model)


def shown(collector: Collector, model: str) -> Timeline:
    found = collector.collected(model)
    timeline = Timeline(model, 0.0, 10.0, 2, 4, found.lanes, found.items)
    add_intervals(timeline, found, {})
    return timeline


def test_each_lane_of_each_worker_is_a_lane():
    timeline = timeline_of(
        settled(0, [(0, 1), (1, 2)], worker=0, lane=1),
        settled(2, [(0, 3)], worker=1, lane=0),
        settled(3, [(3, 4)], worker=0, lane=1),
        model="processes+threads",
    )

    assert [(x.kind, x.worker, x.number) for x in timeline.lanes] == [
        ("thread", 0, 1), ("thread", 1, 0),
    ]  # fmt: skip
    assert list(timeline.items.lane) == [0, 0, 0, 1]
    assert list(timeline.items.index) == [0, 1, 3, 2]


def test_tasks_that_overlap_are_put_into_slots():
    timeline = timeline_of(settled(0, [(0, 2), (1, 3), (2, 4)]), model="asyncio")

    assert [lane.name for lane in timeline.lanes] == ["slot 0", "slot 1"]
    assert list(timeline.items.lane) == [0, 1, 0]


def test_cpu_time_of_a_group_is_shared_out_and_marked():
    timeline = timeline_of(
        settled(0, [(0, 1), (1, 2)], cpu_s=1.0), settled(2, [(2, 3)], cpu_s=0.25)
    )

    assert list(timeline.items.cpu_s) == [0.5, 0.5, 0.25]
    assert list(timeline.items.shared) == [1, 1, 0]
    assert metrics.total_by_state(timeline)[states.RUNNING] == pytest.approx(1.25)
    assert "not known" in timeline.how


def test_a_failure_is_told():
    timeline = timeline_of(
        settled(0, [(0, 1), (1, 2)], failures={1: Failure(ValueError(), "lost")})
    )

    assert list(timeline.items.kind) == [0, 3]


def test_every_attempt_is_a_row():
    first, again = settled(0, [(0, 1)]), settled(0, [(2, 3)])
    again.attempts = [2]

    timeline = timeline_of(first, again, model="serial")

    assert list(timeline.items.index) == [0, 0]
    assert list(timeline.items.attempt) == [1, 2]
    assert timeline.lanes[0].name == "main thread"


def test_the_cpu_time_of_a_row_is_that_of_its_items():
    one = settled(0, [(n, n + 1) for n in range(6)], cpu_s=4.0)
    one.report.trace = Trace(array("d", [1.0, 0.5, 2.5]), array("l", [2, 3, 6]))

    exact = timeline_of(one)
    assert list(exact.items.cpu_s) == pytest.approx([0.5, 0.5, 0.5, 2.5 / 3, 2.5 / 3, 2.5 / 3])
    assert list(exact.items.shared) == [1, 1, 0, 1, 1, 1]
    assert one.report.trace.cpu_between(1, 5, one.report.started, one.report.ended) == (
        pytest.approx(0.5 + 0.5 + 2 * 2.5 / 3)
    )


def test_small_items_are_named_and_others_are_not_kept():
    texts, others = settled(0, [(0, 1)]), settled(1, [(1, 2)])
    texts.items, others.items = ["http://x"], [object()]

    timeline = timeline_of(texts, others)

    assert timeline.items.label == ["http://x", "item 1"]


def test_a_label_is_short_whatever_the_item_is():
    class Rude:
        def __repr__(self):
            raise ValueError

    assert labelled("http://x") == "http://x"
    assert labelled(5) == "5"
    assert len(labelled("x" * 1000)) == 60
    assert "Rude" in labelled(Rude())
