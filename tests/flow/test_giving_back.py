"""A lane gives back the rest of a chunk that turns out to be much longer than it was meant to be."""

import itertools
from array import array

import pytest

from outpace.drivers import _lane
from outpace.drivers._lane import Lane
from outpace.flow.credit import credit_for
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.dispatch import Dispatcher, Start
from outpace.flow.limit import Fixed
from outpace.flow.order import InOrder
from outpace.flow.protocol import Call


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock that passes a second each time it is read."""
    ticks = itertools.count()
    monkeypatch.setattr(_lane, "clock", lambda: float(next(ticks)))


@pytest.fixture
def lane():
    lane = Lane(Call(str))
    yield lane
    lane.close()


def test_the_rest_of_a_divisible_chunk_comes_back(slow_clock, lane):
    chunk = Chunk(10, [1, 2, 3, 4], divisible=True)
    report, returned = lane.carry(chunk)
    assert (report.indexes, report.values) == (range(10, 11), ["1"])
    assert returned == Returned(range(11, 14))


def test_one_item_is_never_given_back(slow_clock, lane):
    (report,) = lane.carry(Chunk(10, [1], divisible=True))
    assert report.values == ["1"]


def test_a_chunk_whose_size_was_asked_for_is_carried_to_its_end(slow_clock, lane):
    reports = list(lane.carry(Chunk(10, [1, 2, 3])))
    assert [report.values for report in reports] == [["1"], ["2"], ["3"]]


def reported(indexes: range, seconds: float) -> Report:
    times = array("d", [seconds * n for n in range(len(indexes) + 1)])
    return Report(indexes, list(indexes), times[:-1], times[1:])


def started(dispatcher: Dispatcher) -> list[Chunk]:
    return [action.chunk for action in dispatcher.decide() if isinstance(action, Start)]


def make(slots: int, fixed_chunk: int | None = None) -> Dispatcher:
    dispatcher = Dispatcher(Fixed(slots), InOrder(), credit_for(slots, fixed=fixed_chunk))
    dispatcher.admit(list(range(100)), 0.0)
    dispatcher.exhaust()
    return dispatcher


def test_what_was_given_back_goes_out_next_and_in_smaller_chunks():
    dispatcher = make(2)
    started(dispatcher)
    for index in (0, 1):
        dispatcher.observe(reported(range(index, index + 1), 1e-6))
    first, *others = started(dispatcher)
    assert len(first) > 1
    dispatcher.observe(reported(range(first.first, first.first + 1), 1.0))
    for chunk in reversed(others):
        dispatcher.observe(Returned(chunk.indexes))
    dispatcher.observe(Returned(first.indexes[1:]))
    following = [chunk.indexes for chunk in started(dispatcher)]
    assert following == [range(n, n + 1) for n in (first.first + 1, first.first + 2)]


@pytest.mark.parametrize(
    ("slots", "fixed_chunk", "divisible"), [(2, None, True), (2, 5, False), (1, None, False)]
)
def test_only_chunks_that_another_lane_could_help_with_are_divisible(slots, fixed_chunk, divisible):
    chunks = started(make(slots, fixed_chunk))
    assert {chunk.divisible for chunk in chunks} == {divisible}
