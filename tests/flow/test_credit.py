"""How much the workers may hold: by chunks, by items, one by one."""

from __future__ import annotations

from array import array

import pytest

from outpace.flow.credit import (
    AIM,
    GROWTH,
    IN_HAND,
    MOST,
    SHORT,
    ByChunks,
    ByItems,
    OneByOne,
    credit_for,
)
from outpace.flow.data import Chunk, Report
from outpace.flow.outstanding import Outstanding


def out_with(*sizes: int) -> Outstanding:
    out, first = Outstanding(), 0
    for size in sizes:
        out.add(Chunk(first, [None] * size))
        first += size
    return out


def took(seconds: float, count: int = 1) -> Report:
    times = [n * seconds for n in range(count + 1)]
    return Report(range(count), [None] * count, array("d", times[:-1]), array("d", times[1:]))


def test_what_takes_from_one_queue_has_its_credit_in_items() -> None:
    assert isinstance(credit_for(4), ByChunks)
    assert isinstance(credit_for(4, 4, shared=True), ByItems)


def test_a_lane_has_one_chunk_while_nothing_is_known_and_two_of_short_items() -> None:
    credit = ByChunks(2)
    assert credit.room(out_with(1), 2, None) == 1
    assert credit.room(out_with(1, 1), 2, None) == 0
    credit.learn(took(AIM / 100))
    assert credit.room(out_with(1, 1), 2, None) == GROWTH
    assert credit.room(out_with(1, 1, 1, 1), 2, None) == 0


def test_long_items_go_out_singly() -> None:
    credit = ByChunks(2)
    credit.learn(took(10 * AIM))
    assert credit.room(out_with(), 2, None) == 1
    assert credit.room(out_with(1, 1), 2, None) == 0


def test_the_limit_is_kept_where_it_is_less_than_there_are_lanes() -> None:
    assert ByChunks(8).room(out_with(1), 1, None) == 0
    assert ByItems(8, 8).room(out_with(1), 1, None) == 0
    assert OneByOne(8).room(out_with(1), 1, None) == 0


def test_near_the_end_chunks_are_small() -> None:
    credit = ByChunks(2)
    for _ in range(20):
        credit.learn(took(1e-6, 100))
    assert credit.room(out_with(), 2, None) > 1_000
    assert credit.room(out_with(), 2, 80) == 10
    assert credit.room(out_with(), 2, 1) == 1


def test_no_chunk_has_more_than_the_most() -> None:
    credit = ByChunks(1)
    for _ in range(40):
        credit.learn(took(1e-9, 100))
    assert credit.room(out_with(), 1, None) <= MOST


def test_the_size_that_the_user_wants_is_kept_and_the_chunk_whole() -> None:
    for credit in (ByChunks(2, fixed=7), ByItems(2, 2, fixed=2)):
        credit.learn(took(1e-6, 100))
        assert credit.room(out_with(), 2, 3) == credit.fixed
        assert not credit.is_divisible


@pytest.mark.parametrize(("seconds", "ahead"), [(SHORT / 2, IN_HAND), (SHORT * 2, 0)])
def test_of_short_calls_some_wait_in_the_lanes_queue(seconds: float, ahead: int) -> None:
    credit = OneByOne(2, in_hand=IN_HAND)
    credit.learn(took(seconds))
    most = 2 * (1 + ahead)
    assert credit.room(out_with(*[1] * (most - 1)), 2, None) == 1
    assert credit.room(out_with(*[1] * most), 2, None) == 0


@pytest.mark.parametrize("before", [ByChunks(1), ByItems(1), OneByOne(1, in_hand=2)])
def test_workers_that_change_keep_what_was_measured(before: ByChunks) -> None:
    before.learn(took(AIM / 2))
    for shared in (True, False):
        after = before.resized(8, 4, shared=shared)
        assert (after.lanes, after.of_worker) == (8, 4)
        assert after.measured is before.measured
    assert isinstance(OneByOne(1, in_hand=2).resized(8, 4, shared=True), OneByOne)
