"""Lanes into rows."""

from outpace.record.lanes import partition, rows
from outpace.record.timeline import Lane, Timeline


def of(*lanes: Lane) -> Timeline:
    return Timeline("m", 0.0, 1.0, 2, 1, list(lanes))


def test_the_loop_stands_above_its_slots_and_workers_in_order():
    timeline = of(Lane("slot", 1, 0), Lane("slot", 0, 0), Lane("loop", 0), Lane("loop", 1))

    drawn = rows(timeline, 16)

    assert [(row.worker, row.name) for row in drawn] == [
        (0, "0: event loop"), (0, "0: slot 0"), (1, "1: event loop"), (1, "1: slot 0"),
    ]  # fmt: skip


def test_a_thousand_slots_share_the_rows_there_are():
    drawn = rows(of(*(Lane("slot", 0, n) for n in range(1000))), 32)

    assert len(drawn) <= 32
    assert drawn[0].name == "slots 0-31"


def test_items_that_touch_within_a_microsecond_stay_in_one_lane():
    assert partition([0.0, 0.9999995], [1.0, 2.0]) == [0, 0]
    assert partition([0.0, 0.99], [1.0, 2.0]) == [0, 1]
