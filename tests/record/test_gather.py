"""A timeline from the reports of a run."""

from array import array

import pytest

from outpace.flow.data import Failure, Report, Settled
from outpace.record import derive, gather, states
from outpace.record.gather import Gathering, labelled


def settled(first, times, *, worker=0, lane=0, cpu_s=0.0, failures=None) -> Settled:
    count = len(times)
    report = Report(
        range(first, first + count), [None] * count, array("d", [s for s, _ in times]),
        array("d", [e for _, e in times]), failures or {}, cpu_s, worker, lane,
    )  # fmt: skip
    return Settled(report, list(range(count)), [0.0] * count, [1] * count)


def timeline_of(*reports, model="threads", **more):
    return gathered([(report, range(len(report))) for report in reports], model, **more)


def gathered(releases, model, **more):
    gathering = Gathering(**more)
    for report, positions in releases:
        gathering.add(report, positions)
    return gathering.timeline(model, (0.0, 10.0), cores=2, in_flight=4)


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
    assert derive.total(timeline)[states.RUNNING] == pytest.approx(1.25)
    assert "not known" in timeline.how


def test_a_failure_is_told():
    timeline = timeline_of(
        settled(0, [(0, 1), (1, 2)], failures={1: Failure(ValueError(), "lost")})
    )

    assert list(timeline.items.kind) == [0, 3]


def test_only_what_was_released_is_shown():
    report = settled(0, [(0, 1), (1, 2), (2, 3)])

    timeline = gathered([(report, [2])], "serial")

    assert list(timeline.items.index) == [2]
    assert timeline.lanes[0].name == "main thread"


def test_more_items_than_anyone_can_see_share_rows(monkeypatch):
    monkeypatch.setattr(gather, "MOST", 10)
    reports = [
        settled(0, [(n / 10, n / 10 + 0.05) for n in range(95)], cpu_s=0.95),
        settled(95, [(9.5, 9.6)], failures={0: Failure(ValueError(), "failed")}),
        settled(96, [(0, 0.1)], worker=1),
    ]

    timeline = timeline_of(*reports, label="item {}".format)

    items = timeline.items
    assert len(items) <= 20
    assert sum(items.count) == 97
    assert sum(items.wall_s) == pytest.approx(95 * 0.05 + 0.2)
    assert sum(items.cpu_s) == pytest.approx(0.95)
    assert items.label[0] == "item 0 … item 7"
    assert items.count[-1] == 1
    assert set(items.kind) == {0, 1}
    assert derive.total(timeline)[states.RUNNING] == pytest.approx(0.95)
    assert len(timeline.lanes) == 2


def test_a_long_run_takes_no_more_than_a_short_one(monkeypatch):
    monkeypatch.setattr(gather, "MOST", 10)
    gathering = Gathering()
    for n in range(1000):
        gathering.add(settled(n, [(n, n + 1)]), [0])
        assert len(gathering) <= 20

    timeline = gathering.timeline("serial", (0, 1000), cores=1, in_flight=1)

    assert sum(timeline.items.count) == 1000
    assert sum(timeline.items.wall_s) == 1000
    assert derive.in_flight(timeline, 4) == pytest.approx([1, 1, 1, 1])


def test_a_label_is_short_whatever_the_item_is():
    class Rude:
        def __repr__(self):
            raise ValueError

    assert labelled("http://x") == "http://x"
    assert labelled(5) == "5"
    assert len(labelled("x" * 1000)) == 60
    assert "Rude" in labelled(Rude())
