"""What waits, and what of it goes first: in virtual time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.flow.backlog import LOOK_AHEAD, ByGroup, InTurn
from outpace.flow.data import Chunk


def grouped(keys: str, most: int | None = None, rate: float | None = None) -> ByGroup:
    backlog = ByGroup(most, rate)
    backlog.push(Chunk(0, list(keys)), list(keys))
    return backlog


def popped(backlog: InTurn | ByGroup, now: float = 0.0, size: int = 100) -> list[int]:
    found = []
    while (chunk := backlog.pop(size, now)) is not None:
        found += chunk.indexes
    return found


def test_in_turn_they_go_in_their_order_and_what_was_out_goes_first() -> None:
    backlog = InTurn()
    backlog.push(Chunk(4, list("efg")))
    backlog.push_front([Chunk(0, list("ab")), Chunk(2, list("c"), attempt=2)])
    assert backlog.items == 6
    sizes = []
    while (chunk := backlog.pop(2, 0.0)) is not None:
        sizes.append((chunk.first, len(chunk), chunk.attempt))
    assert sizes == [(0, 2, 1), (2, 1, 2), (4, 2, 1), (6, 1, 1)]
    assert backlog.items == 0
    assert backlog.wants_more(0.0)


def test_what_is_dropped_does_not_go() -> None:
    for backlog in (InTurn(), ByGroup(2)):
        for first in (0, 3):
            backlog.push(Chunk(first, list("xyz")), list("xyz"))
        backlog.keep(3, in_order=True)
        assert popped(backlog) == [0, 1, 2]


def test_no_group_has_more_out_than_it_may() -> None:
    backlog = grouped("aaabba", most=2)
    assert popped(backlog) == [0, 1, 3, 4]
    backlog.ended([1])
    assert popped(backlog) == [2]
    backlog.ended([0, 2])
    assert popped(backlog) == [5]


def test_a_group_that_is_slow_keeps_no_other_waiting() -> None:
    backlog = grouped("a" * 50 + "b", most=1)
    assert popped(backlog) == [0, 50]
    assert backlog.wants_more(0.0)


def test_only_so_far_is_looked_for_an_item_of_another_group() -> None:
    backlog = grouped("a" * (LOOK_AHEAD + 1), most=1)
    assert popped(backlog) == [0]
    assert not backlog.wants_more(0.0)


def test_starts_of_a_group_are_evenly_spaced_and_of_two_not_one_after_the_other() -> None:
    backlog = grouped("aabb", rate=1.0)
    assert popped(backlog) == [0, 2]
    assert backlog.due() == pytest.approx(1.0)
    assert popped(backlog, 0.5) == []
    assert popped(backlog, 1.0) == [1, 3]


def test_what_comes_again_is_of_its_group_and_goes_before_younger_ones() -> None:
    backlog = grouped("abab", most=1)
    assert popped(backlog) == [0, 1]
    backlog.ended([0])
    backlog.push_front([Chunk(0, ["a"], attempt=2)])
    assert popped(backlog) == [0]


def test_of_groups_that_are_through_nothing_is_kept() -> None:
    for rate in (None, 10.0):
        backlog = ByGroup(1, rate)
        for n in range(1_000):
            now = n / 100
            backlog.push(Chunk(n, [n]), [n])
            assert popped(backlog, now) == [n]
            backlog.ended([n])
            backlog.forget([n])
        assert backlog.pop(1, 100.0) is None
        assert not backlog._group_of
        assert not backlog._groups


@given(st.data())
def test_every_item_goes_once_and_no_group_has_too_many(data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from("abc"), max_size=40), "keys")
    most = data.draw(st.sampled_from([None, 1, 2, 3]), "per_group")
    rate = data.draw(st.sampled_from([None, 1.0, 20.0]), "group_rate")
    backlog = ByGroup(most, rate)
    if keys:
        backlog.push(Chunk(0, keys), keys)
    out: list[int] = []
    gone: list[int] = []
    started: dict[str, list[float]] = {}
    now = 0.0
    while len(gone) < len(keys):
        chunk = backlog.pop(5, now)
        if chunk is not None:
            (index,) = chunk.indexes
            out.append(index)
            started.setdefault(keys[index], []).append(now)
            assert most is None or Counter(keys[i] for i in out)[keys[index]] <= most
        elif out:
            index = out.pop(data.draw(st.integers(0, len(out) - 1), "which ends"))
            backlog.ended([index])
            if data.draw(st.booleans(), "again"):
                backlog.push_front([Chunk(index, [keys[index]])])
            else:
                backlog.forget([index])
                gone.append(index)
        else:
            due = backlog.due()
            assert due is not None, "nothing is out, nothing may go, and no time will help"
            now = max(now, due)
    assert sorted(gone) == list(range(len(keys)))
    assert backlog.items == 0


def test_where_nothing_need_be_in_order_only_what_was_out_before_stays() -> None:
    backlog = grouped("abab", most=1)
    assert popped(backlog) == [0, 1]
    backlog.ended([0])
    backlog.push_front([Chunk(0, ["a"], attempt=2)])
    backlog.keep(10, in_order=False)
    assert popped(backlog) == [0]
    assert backlog.items == 0


def test_a_key_is_looked_up_once_whatever_becomes_of_it() -> None:
    class Key:
        looked_up = 0

        def __hash__(self) -> int:
            Key.looked_up += 1
            return Key.looked_up

    backlog = ByGroup(1)
    backlog.push(Chunk(0, [0]), [Key()])
    assert popped(backlog) == [0]
    backlog.ended([0])
    backlog.push_front([Chunk(0, [0])])
    assert popped(backlog) == [0]
    backlog.ended([0])
    backlog.forget([0])
    assert backlog.items == 0
