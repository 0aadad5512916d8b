"""How many items may start now: in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.flow.gate import CATCH_UP, Rate, Unlimited


def test_an_open_gate_lets_any_number_through() -> None:
    gate = Unlimited()
    gate.took(1_000_000, 1.0)
    assert gate.room(1.0) > 1_000_000
    assert gate.due() <= 0


def test_starts_are_evenly_spaced() -> None:
    gate = Rate(10)
    assert gate.room(5.0) == 1
    gate.took(1, 5.0)
    assert gate.room(5.05) == 0
    assert gate.due() == pytest.approx(5.1)
    assert gate.room(5.1) == 1


def test_a_pause_is_not_made_up_for_but_what_a_coarse_timer_has_missed_is() -> None:
    gate = Rate(1_000)
    gate.took(1, 0.0)
    assert gate.room(0.006) == pytest.approx(6, abs=1)
    assert gate.room(100.0) <= 1_000 * CATCH_UP + 1


@given(st.floats(0.1, 1e5), st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_no_stretch_of_time_has_more_starts_than_the_rate(rate: float, pauses: list[float]) -> None:
    gate, now, starts = Rate(rate), 0.0, 0
    for pause in pauses:
        now += pause
        room = min(gate.room(now), 10_000)
        gate.took(room, now)
        starts += room
        assert starts <= 1 + rate * (now + CATCH_UP) + 1e-6 * starts
