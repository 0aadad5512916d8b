"""What is recorded beside the times of items, and what follows from it."""

from array import array
from typing import Any

import pytest

from outpace.flow.blockings import Blockings
from outpace.flow.data import Report, Settled
from outpace.flow.trace import Load, Sighting, Trace

STARTED, ENDED = array("d", [0, 1, 2, 4]), array("d", [1, 2, 4, 5])


def sighting(line: int = 7, item: int = 3, seconds: float = 0.1, **more: Any) -> Sighting:
    facts = {"how": "waiting", "advice": "do not", **more}
    return Sighting("/x/job.py", line, "time.sleep(1)", item, 0.0, seconds, **facts)


def test_an_item_that_was_measured_alone_has_its_own_cpu_time():
    trace = Trace(array("d", [0.5, 0.9]), array("l", [1, 4]))

    assert trace.cpu_of(0, STARTED, ENDED) == (0.5, False)


def test_items_that_share_a_reading_share_it_by_their_length():
    trace = Trace(array("d", [0.5, 0.8]), array("l", [1, 4]))

    shares = [trace.cpu_of(n, STARTED, ENDED) for n in (1, 2, 3)]

    assert [cpu for cpu, _ in shares] == pytest.approx([0.2, 0.4, 0.2])
    assert all(shared for _, shared in shares)
    assert trace.cpu_between(0, 4, STARTED, ENDED) == pytest.approx(1.3)
    assert trace.cpu_between(2, 4, STARTED, ENDED) == pytest.approx(0.6)


def test_an_outcome_says_whether_its_cpu_time_is_its_own():
    trace = Trace(array("d", [0.5, 0.8]), array("l", [1, 4]))
    report = Report(range(4), [None] * 4, STARTED, ENDED, cpu_s=1.3, lane=2, trace=trace)
    settled = Settled(report, "abcd", [0.0] * 4, [1] * 4)

    first, second, *_ = settled.outcomes()
    part = settled.only((0, 2))

    assert (first.cpu_s, first.cpu_is_shared, first.lane) == (0.5, False, 2)
    assert (second.cpu_s, second.cpu_is_shared) == (pytest.approx(0.2), True)
    assert [part.outcome(n).cpu_s for n in range(2)] == pytest.approx([0.5, 0.4])
    assert part.outcome(1).cpu_is_shared


def test_a_part_of_a_report_keeps_the_steps_of_its_items():
    steps = array("d", [0, 0.1, 0.1, 2, 2.1, 0.1, 3, 3.5, 0.2])
    trace = Trace(array("d", [0.1, 0, 0.3, 0]), steps=steps, owners=array("l", [0, 2, 2]))

    part = trace.only((2, 3), STARTED, ENDED)

    assert list(part.owners or ()) == [0, 0]
    assert list(part.steps or ()) == list(steps[3:])


def test_another_clock_moves_moments_and_no_amounts():
    trace = Trace(array("d"), steps=array("d", [1, 2, 0.5]), sightings=[sighting()])

    trace.moved(10.0)

    assert list(trace.steps or ()) == [11, 12, 0.5]
    assert trace.sightings[0].began == 10.0
    assert trace.sightings[0].seconds == 0.1


def test_a_place_that_blocks_is_new_once_and_summed_up():
    blockings = Blockings()

    first = blockings.add(Trace(sightings=[sighting(item=3), sighting(line=9, seconds=0.5)]))
    again = blockings.add(Trace(sightings=[sighting(item=4)]))

    assert [one.line for one in first] == [7, 9]
    assert again == []
    worst, other = blockings.places
    assert (worst.line, worst.count) == (9, 1)
    assert (other.count, other.label, other.seconds) == (2, "item 3", pytest.approx(0.2))
    assert str(other) == (
        "job.py:7 `time.sleep(1)` blocked the event loop for 0.2 s (2 times) by waiting, in item 3: "
        "do not"
    )


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load(0.95, 900, 1.0), True),
        (Load(0.5, 900, 1.0), False),  # it had time
        (Load(0.05, 50, 0.05), False),  # too little to say anything
        (Load(0.95, 95_000, 1.0), False),  # steps so short that it was busy with us
        (Load(0.95, 3, 1.0), False),  # steps so long that a call did block it
    ],
)
def test_a_loop_is_saturated_by_many_short_steps_alone(load, said):
    blockings = Blockings()
    blockings.add(Trace(load=Load(load.busy_s / 2, load.steps // 2, load.open_s / 2)))
    blockings.add(Trace(load=Load(load.busy_s / 2, load.steps - load.steps // 2, load.open_s / 2)))

    assert (blockings.saturation is not None) == said


def test_a_loop_that_a_call_blocks_is_not_called_saturated():
    blockings = Blockings()
    blockings.add(Trace(load=Load(0.95, 900, 1.0), sightings=[sighting(seconds=0.9)]))

    assert blockings.saturation is None
