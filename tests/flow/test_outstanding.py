"""What is out, and how reports are matched with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.flow.data import Chunk
from outpace.flow.outstanding import Outstanding, Same


def chunk(first: int, count: int, attempt: int = 1) -> Chunk:
    items = [f"item {first + n}" for n in range(count)]
    return Chunk(first, items, float(first), attempt)


def out(*chunks: Chunk) -> Outstanding:
    made = Outstanding()
    for one in chunks:
        made.add(one)
    return made


def test_a_whole_chunk_is_matched_without_copying_its_items() -> None:
    given_out = chunk(0, 3)
    made = out(given_out)
    items, queued, attempts = made.match(range(3))
    assert items is given_out.items
    assert (list(queued), list(attempts)) == ([0.0] * 3, [1] * 3)
    assert (made.chunks, made.items) == (0, 0)


def test_a_chunk_reported_piece_by_piece_stays_one_chunk_until_its_end() -> None:
    made = out(chunk(0, 5), chunk(5, 2))
    assert made.match(range(2))[0] == ["item 0", "item 1"]
    assert (made.chunks, made.items) == (2, 5)
    assert made.match([2, 3])[0] == ["item 2", "item 3"]
    assert made.match(range(4, 5))[0] == ["item 4"]
    assert (made.chunks, made.items) == (1, 2)


def test_items_that_end_in_any_order_over_several_chunks_are_matched_one_by_one() -> None:
    made = out(chunk(0, 3), chunk(3, 3, attempt=2))
    items, queued, attempts = made.match([4, 0, 2])
    assert items == ["item 4", "item 0", "item 2"]
    assert (queued, attempts) == ([3.0, 0.0, 0.0], [2, 1, 1])
    assert (made.chunks, made.items) == (2, 3)
    assert made.match([1])[0] == ["item 1"]
    assert made.match([3, 5])[0] == ["item 3", "item 5"]
    assert (made.chunks, made.items) == (0, 0)


def test_a_run_over_two_chunks_is_matched_too() -> None:
    made = out(chunk(0, 2), chunk(2, 2))
    assert made.match(range(4))[0] == [f"item {n}" for n in range(4)]
    assert made.chunks == 0


def test_new_chunks_may_go_out_between_scattered_reports() -> None:
    made = out(chunk(0, 3))
    made.match([1])
    made.add(chunk(3, 3))
    assert made.match(range(3, 6))[0] == ["item 3", "item 4", "item 5"]
    assert made.match([2, 0])[0] == ["item 2", "item 0"]
    assert (made.chunks, made.items) == (0, 0)


def test_a_chunk_can_be_taken_out_whole_also_after_scattered_reports() -> None:
    made = out(chunk(0, 2), chunk(2, 3), chunk(5, 2))
    assert made.take_chunk(2).items == ["item 2", "item 3", "item 4"]
    made.match([6])  # from here on there is a table by item
    assert made.take_chunk(0).items == ["item 0", "item 1"]
    assert (made.chunks, made.items) == (1, 1)


def test_draining_gives_back_all_that_is_out_and_nothing_else() -> None:
    made = out(chunk(0, 4), chunk(4, 2))
    made.match(range(1))
    left = made.drain()
    assert [list(c.indexes) for c in left] == [[1, 2, 3], [4, 5]]
    assert [c.items for c in left] == [["item 1", "item 2", "item 3"], ["item 4", "item 5"]]
    assert (made.chunks, made.items) == (0, 0)
    assert made.drain() == []


def test_draining_after_scattered_reports_gives_single_items() -> None:
    made = out(chunk(0, 3), chunk(3, 2, attempt=2))
    made.match([1, 3])
    assert [(c.first, c.items, c.attempt) for c in made.drain()] == [
        (0, ["item 0"], 1),
        (2, ["item 2"], 1),
        (4, ["item 4"], 2),
    ]


def test_an_item_that_is_not_out_cannot_be_reported() -> None:
    made = out(chunk(0, 2))
    made.match(range(2))
    with pytest.raises(KeyError):
        made.match([0])


def test_a_column_that_is_the_same_everywhere_ends_where_it_ends() -> None:
    column = Same("x", 3)
    assert list(column) == ["x", "x", "x"]
    assert (column[0], column[2], column[-1], len(column)) == ("x", "x", "x", 3)
    assert list(column[1:]) == ["x", "x"]
    with pytest.raises(IndexError):
        column[3]


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8), data=st.data())
def test_the_count_is_right_whatever_is_reported_in_whichever_order(
    sizes: list[int], data: st.DataObject
) -> None:
    made, first, waiting = Outstanding(), 0, []
    for size in sizes:
        made.add(chunk(first, size))
        waiting.append(list(range(first, first + size)))
        first += size
    while waiting:
        if data.draw(st.booleans()):  # the first items of a chunk
            some = waiting[data.draw(st.integers(0, len(waiting) - 1))]
            taken = some[: data.draw(st.integers(1, len(some)))]
        else:
            everything = data.draw(st.permutations([n for one in waiting for n in one]))
            taken = everything[: data.draw(st.integers(1, len(everything)))]
        items, _, _ = made.match(taken)
        assert list(items) == [f"item {n}" for n in taken]
        waiting = [left for one in waiting if (left := [n for n in one if n not in taken])]
        assert made.items == sum(map(len, waiting))
        assert made.chunks == len(waiting)
