"""In which order outcomes leave."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from outpace.flow.data import Report, Settled
from outpace.flow.order import AsTheyCome, InOrder, Order, consecutive

if TYPE_CHECKING:
    from collections.abc import Sequence


def settled(indexes: Sequence[int]) -> Settled:
    times = array("d", [0.0]) * len(indexes)
    report = Report(indexes, [f"value {n}" for n in indexes], times, times)
    return Settled(report, list(indexes), times, [1] * len(indexes))


def pushed(order: Order, indexes: Sequence[int]) -> list[int]:
    """Push what a report names; return the indexes that leave."""
    return [s.report.indexes[p] for s, positions in order.push(settled(indexes)) for p in positions]


def test_in_order_what_comes_next_leaves_at_once_and_whole() -> None:
    order = InOrder()
    ((whole, positions),) = order.push(settled(range(5)))
    assert positions == range(5)
    assert len(whole) == 5
    assert order.expected == 5


def test_in_order_what_is_early_waits_for_what_comes_before() -> None:
    order = InOrder()
    assert pushed(order, range(3, 6)) == []
    assert pushed(order, range(1, 3)) == []
    assert pushed(order, range(1)) == [0, 1, 2, 3, 4, 5]


def test_in_order_the_parts_of_one_report_can_leave_at_different_times() -> None:
    order = InOrder()
    assert pushed(order, [5, 0, 2]) == [0]
    assert pushed(order, [1]) == [1, 2]
    assert pushed(order, [4, 3]) == [3, 4, 5]


def test_as_they_come_everything_leaves_at_once() -> None:
    order = AsTheyCome()
    assert pushed(order, [5, 0, 2]) == [5, 0, 2]
    assert pushed(order, range(7, 9)) == [7, 8]


def test_a_range_stays_a_range_and_a_list_that_could_be_one_becomes_one() -> None:
    assert consecutive(range(3, 5)) == range(3, 5)
    assert consecutive([3, 4, 5]) == range(3, 6)
    assert consecutive([7]) == range(7, 8)
    assert consecutive([3, 5, 4]) is None
    assert consecutive([3, 4, 4]) is None
    assert consecutive([5, 4, 3]) is None
    assert consecutive([3, 9, 5]) is None


@given(count=st.integers(1, 40), data=st.data())
def test_in_order_holds_for_any_division_into_reports_in_any_order(
    count: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(range(count)))
    cuts = sorted(data.draw(st.sets(st.integers(1, count))) | {0, count})
    parts = data.draw(st.permutations([shuffled[a:b] for a, b in pairwise(cuts)]))
    order, left = InOrder(), []
    for part in parts:
        left += pushed(order, sorted(part) if data.draw(st.booleans()) else part)
        assert left == list(range(len(left)))
        assert order.expected == len(left)
    assert len(left) == count
