"""The board: what a reader sees is true, or was a moment ago, whenever it looks."""

from __future__ import annotations

import mmap
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outpace.flow.board import ITEMS, LEAST, MOST, Board, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

# Shapes.


@pytest.mark.parametrize(
    ("lanes", "scattered", "rows", "places"),
    [(1, False, 1, 0), (4, False, 4, 0), (1, True, 1, 2), (128, True, 1, 129)],
)
def test_a_driver_has_a_row_for_each_lane_or_a_place_for_each_task(
    lanes: int, rows: int, places: int, *, scattered: bool
) -> None:
    shape = Shape.of(lanes, scattered=scattered)
    assert (shape.rows, shape.places) == (rows, places)


@given(lanes=st.integers(1, 5_000), scattered=st.booleans())
def test_a_row_has_a_sensible_length_and_a_board_is_never_large(
    lanes: int, *, scattered: bool
) -> None:
    shape = Shape.of(lanes, scattered=scattered)
    assert LEAST <= shape.length <= MOST
    assert shape.size <= 8 * (ITEMS + lanes * (LEAST + 8) + MOST + 64)


def test_a_board_over_memory_of_the_right_size_uses_all_of_it_and_no_more() -> None:
    shape = Shape(2, 3)
    board = Board(shape, bytearray(shape.size))
    assert len(board.rows[1].times) == shape.length + 1
    assert len(board.places[1].since) == 1  # the last word; the third place says who has the loop
    assert shape.size == 8 * (2 + 2 * (2 + shape.length + 1) + 3 * 2)


def test_two_boards_over_the_same_memory_are_one() -> None:
    shape = Shape.of(2, scattered=True)
    memory = bytearray(shape.size)
    writer, reader = Board(shape, memory), Board(shape, memory)
    writer.places[1].take(7, 1.5)
    writer.on_loop.take(7, 1.75)
    assert list(reader.running()) == [(7, 1.5)]
    assert reader.stepping() == (7, 1.75)
    writer.places[1].leave()
    writer.on_loop.leave()
    assert list(reader.running()) == []
    assert reader.stepping() is None


@pytest.mark.parametrize("scattered", [False, True])
def test_only_lanes_that_ask_for_a_row_or_a_place_have_one(*, scattered: bool) -> None:
    """So lanes that nobody has hired cost no more than zeros that nobody has written."""
    shape = Shape.of(1_000_000, scattered=scattered)
    memory = mmap.mmap(-1, shape.size)
    writer, reader = Board(shape, memory), Board(shape, memory)
    lanes = (writer.places, reader.places) if scattered else (writer.rows, reader.rows)
    assert [len(list(some)) for some in lanes] == [0, 0]
    if scattered:
        writer.places[2].take(0, 1.5)
    else:
        writer.rows[2].begin(0, 1, 1.5)
    assert list(reader.running()) == [(0, 1.5)]
    assert [len(list(some)) for some in lanes] == [3, 3]
    for board in (writer, reader):
        board.release()
    memory.close()


def test_a_fresh_board_has_nobody_on_it() -> None:
    for scattered in (False, True):
        board = Board(Shape.of(3, scattered=scattered))
        assert list(board.running()) == list(board.ended()) == []
        assert board.stepping() is None


def test_memory_can_be_let_go_of() -> None:
    memory = bytearray(Shape(1, 2).size)
    board = Board(Shape(1, 2), memory)
    board.release()
    memory.clear()  # would raise BufferError while somebody looks at it


# Rows.


def test_a_row_shows_the_item_that_runs_and_since_when() -> None:
    board = Board(Shape(1, 0))
    row = board.rows[0]
    row.begin(100, 3, 10.0)
    assert list(board.running()) == [(100, 10.0)]
    row.times[1] = 11.0
    assert list(board.running()) == [(101, 11.0)]
    assert list(board.ended()) == [range(100, 101)]
    row.times[2] = 12.0
    row.times[3] = 13.0
    assert list(board.running()) == []
    assert list(board.ended()) == [range(100, 103)]


def test_of_a_chunk_cut_short_nothing_runs_any_more() -> None:
    row = Board(Shape(1, 0)).rows[0]
    row.begin(5, 10, 1.0)
    row.times[1] = 2.0
    row.head[1] = 1  # as a lane does that gives the rest back
    assert row.running() is None
    assert row.ended == range(5, 6)


def test_the_times_of_a_row_are_its_column() -> None:
    row = Board(Shape(1, 0)).rows[0]
    for n, time in enumerate([1.0, 2.0, 4.0]):
        row.times[n] = time
    assert list(row.column(2)) == [1.0, 2.0, 4.0]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data=st.data(), chunks=st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_whoever_looks_between_any_two_writes_sees_an_item_that_runs(
    data: st.DataObject, chunks: list[int]
) -> None:
    """A lane carries chunk after chunk; after every single write somebody looks."""
    board = Board(Shape(1, 0))
    row, now, first = board.rows[0], 1.0, 0
    head, times = row.head, row.times
    done_before: set[int] = set()
    for count in chunks:
        now += data.draw(st.sampled_from([1e-9, 1e-6, 0.5]), "idle")  # the clock has gone on
        row.head, row.times = (
            Noticed(memory, partial(nobody, board, done_before)) for memory in (head, times)
        )
        row.begin(first, count, now)
        row.head, row.times = head, times
        done: set[int] = set()
        for n in range(count):
            look(board, done_before, done, (first + n, row.times[n]))
            now += data.draw(st.sampled_from([1e-9, 1e-3, 1.0]), "takes")  # no two ends alike
            row.times[n + 1] = now
            done.add(first + n)
        look(board, done_before, done, None)
        done_before |= done
        first += count


class Noticed:
    """Memory that has somebody look just before and after every write."""

    def __init__(self, memory: Any, look: Callable[[], None]) -> None:
        self._memory, self._look = memory, look

    def __getitem__(self, place: Any) -> Any:
        return self._memory[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        self._look()
        self._memory[place] = value
        if place != 1 or not value:  # else all is there: the first item runs
            self._look()


def nobody(board: Board, before: set[int]) -> None:
    """Check that nobody is shown to run: the next has not begun, and no old item begins again."""
    assert list(board.running()) == []
    look(board, before, set(), None)


def look(board: Board, before: set[int], done: set[int], running: tuple[int, float] | None) -> None:
    """Check that all that is shown is so: ended items have ended, and what runs runs."""
    ended = {index for some in board.ended() for index in some}
    assert ended <= before | done
    if running is not None:
        assert list(board.running()) == [running]
        assert ended == done
    else:
        # Between two chunks an old item may show that has ended; never one that was not begun.
        assert {index for index, _ in board.running()} <= before | done
