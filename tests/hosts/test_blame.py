"""Who is to blame for a death, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.flow.board import Board, Shape
from outpace.hosts.crash.blame import Judge, Scene


def scene(out: set[int], running: list[int] | None = None, **more: Any) -> Scene:
    facts: dict[str, Any] = {"stepping": None, "ended": set(), "lanes": 1} | more
    return Scene(out, running or [], **facts)


ROWS = [
    # what was there, and who is lost, and who a suspect
    ("alone in its lane", scene({4, 5, 6}, [4]), [4], []),
    ("a suspect that was alone", scene({4}, [4], alone=True, lanes=8), [4], []),
    ("a suspect that died before it began", scene({4}, alone=True), [4], []),
    ("several threads", scene({1, 2, 3}, [1, 2], lanes=2), [], []),
    ("whoever had the loop", scene({1, 2, 3}, [1, 2], stepping=2, lanes=8, has_loop=True), [], [2]),
    ("all were waiting", scene({1, 2, 3}, [1, 2], lanes=8, has_loop=True), [], []),
    ("over the report of what had ended", scene({1, 2}, ended={1, 2}), [], [1, 2]),
    ("while it read what was sent", scene({1, 2}), [], []),
    ("idle", scene(set()), [], []),
    ("cut off by it, or by one before", scene({1, 2, 3}, [2], ended={1}, cut_off=True), [], [1, 2]),
    ("cut off by the first of all", scene({1, 2, 3}, [1], cut_off=True), [1], []),
]


@pytest.mark.parametrize(
    ("facts", "lost", "suspects"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_at_its_first_death(facts: Scene, lost: list[int], suspects: list[int]) -> None:
    verdict = Judge().judge(facts)
    assert (list(verdict.lost), list(verdict.suspects)) == (lost, suspects)


def test_who_is_there_a_second_time_when_nobody_stands_out_is_a_suspect() -> None:
    judge = Judge()
    assert not judge.judge(scene({1, 2, 3}, [1, 2], lanes=2)).suspects
    assert judge.judge(scene({2, 3, 4}, [2, 4], lanes=2)).suspects == [2]


def test_an_item_that_kills_while_it_is_read_is_found_though_it_never_begins() -> None:
    judge = Judge()
    assert not judge.judge(scene({1, 2})).suspects
    assert judge.judge(scene({1, 2})).suspects == [1, 2]
    assert judge.judge(scene({1}, alone=True)).lost == [1]


def test_a_board_of_rows_is_read() -> None:
    board = Board(Shape(2, 0))
    for row, first, now in ((board.rows[0], 10, 3), (board.rows[1], 20, 1)):
        row.begin(first, 3, 1.0)
        for n in range(1, now):
            row.times[n] = 1.0 + n
    found = Scene.of(board, [10, 11, 12, 20, 21, 22], 2, alone=False)
    assert (sorted(found.running), found.ended, found.stepping) == ([12, 20], {10, 11}, None)
    assert not found.has_loop


def test_a_board_of_a_loop_is_read() -> None:
    board = Board(Shape.of(4, scattered=True))
    board.places[0].take(7, 1.0)
    board.places[3].take(9, 1.5)
    board.on_loop.take(9, 2.0)
    found = Scene.of(board, [7, 8, 9], 4, alone=False)
    assert (sorted(found.running), found.stepping, found.has_loop) == ([7, 9], 9, True)


def test_what_was_reported_already_is_nobodys_fault() -> None:
    board = Board(Shape(1, 0))
    board.rows[0].begin(0, 2, 1.0)
    board.rows[0].times[1] = 2.0
    found = Scene.of(board, [5], 1, alone=False)  # these two are not out any more
    assert (found.running, found.ended) == ([], set())


@given(data=st.data(), items=st.integers(1, 12), lanes=st.integers(1, 6), has_loop=st.booleans())
def test_every_poison_is_found_and_nobody_else_however_they_fall(
    data: st.DataObject, items: int, lanes: int, *, has_loop: bool
) -> None:
    """Simulate workers whose poisoned items kill them; the innocent end, or are given back."""
    poison = set(data.draw(st.lists(st.integers(0, items - 1), unique=True), "poison"))
    judge, left, lost, ended = Judge(), set(range(items)), set(), set()
    suspects: list[int] = []
    for _ in range(10 * items + 10):
        if suspects:
            one = suspects.pop(0)
            if one in poison:
                verdict = judge.judge(scene({one}, [one], lanes=lanes, alone=True))
                assert list(verdict.lost) == [one]
                lost.add(one)
            else:
                ended.add(one)
            left.discard(one)
        elif left:
            running = data.draw(st.permutations(sorted(left)), "running")[:lanes]
            if guilty := [index for index in running if index in poison]:
                step = guilty[0] if has_loop else None
                facts = scene(left, running, lanes=lanes, has_loop=has_loop, stepping=step)
                verdict = judge.judge(facts)
                lost |= set(verdict.lost)
                left -= set(verdict.lost)
                suspects = list(verdict.suspects)
            else:
                ended |= set(running)
                left -= set(running)
        else:
            break
    assert lost == poison
    assert ended == set(range(items)) - poison
