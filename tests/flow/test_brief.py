"""What it costs to show an item: no more for a huge one, and no more for a million of them."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outpace
from outpace.flow import brief as file
from outpace.flow.brief import brief
from outpace.flow.show import shown

HUGE = 4_000_000  # items


@pytest.fixture(autouse=True)
def _nothing_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_spent", {})


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inside: (
        st.lists(inside)
        | st.lists(inside).map(tuple)
        | st.dictionaries(st.text(), inside)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@given(plain, st.integers(20, 100))
def test_what_has_room_is_shown_as_it_is_and_of_the_rest_the_beginning(
    item: Any, width: int
) -> None:
    whole = repr(item)

    if len(whole) <= width:
        assert brief(item, width) == whole
    text = brief(item, width)
    assert len(text) > width or text == whole
    if not isinstance(item, str | bytes):  # of text that is cut, the quotes may be others
        assert len(shown(item, width)) <= width


class Counted:
    """Count how often its repr is asked for."""

    asked = 0

    def __repr__(self) -> str:
        type(self).asked += 1
        return "counted"


@pytest.mark.parametrize(
    "kind",
    [list, tuple, lambda all_: {1: all_}, lambda all_: dict(enumerate(all_)), lambda a: [[a]]],
)
def test_only_the_beginning_of_a_container_is_looked_at(kind: Any) -> None:
    Counted.asked = 0

    assert shown(kind([Counted() for _ in range(10_000)])).endswith("…")
    assert Counted.asked < 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytes(HUGE),
        lambda: bytearray(HUGE),
        lambda: "x" * HUGE,
        lambda: [None] * HUGE,
        lambda: {"data": (bytes(HUGE), [None] * HUGE)},
    ],
    ids=["bytes", "bytearray", "str", "list", "nested"],
)
def test_an_item_that_is_huge_costs_no_more_than_a_small_one_when_it_fails(make: Any) -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    item = make()
    tracemalloc.start()
    try:
        (outcome,) = outpace.run(fail, [item], model="serial", record="off")
        shown_twice = repr(outcome)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(outcome.error.__notes__[-1]) < 120
    assert len(shown_twice) < 200
    assert most < HUGE  # its repr has more characters than that


def test_what_holds_itself_is_shown() -> None:
    own: list[Any] = [1]
    own.append(own)

    assert shown(own, 20) == "[1, [1, [1, [1, [1,…"
    assert shown([[[[]]]] * 99, 20) == "[[[[]]], [[[]]], [[…"


class Slow:
    """Take its time."""

    made = 0

    def __repr__(self) -> str:
        type(self).made += 1
        clock.now += 0.2
        return "a slow\n  one"


class Clock:
    """A clock that goes when somebody says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


clock = Clock()


def test_a_type_that_has_cost_too_much_is_named_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file, "clock", clock)
    Slow.made = 0

    texts = [shown(Slow()) for _ in range(6)]

    assert texts == ["a slow one"] * 3 + ["<Slow>"] * 3
    assert Slow.made == 3
    assert shown([Slow(), 1]) == "[<Slow>, 1]"
    assert shown(object()).startswith("<object object at")


def test_a_repr_that_is_fast_is_shown_however_often() -> None:
    assert {shown(range(n, 9)) for n in [1] * 10_000} == {"range(1, 9)"}


def test_a_long_repr_of_several_lines_is_one_line() -> None:
    assert shown([np.zeros((2, 2))]) == "[array([[0., 0.], [0., 0.]])]"
    assert shown(np.zeros((900, 3)), 40).endswith("…")
