"""The tables of a worker's states: complete, without dead ends, and nothing goes back."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.hosts.pool.state import (
    DOUBTS,
    OF_DOUBT,
    PHASES,
    Doubt,
    Happened,
    Impossible,
    Phase,
    State,
)

ORDER = list(Phase)


def test_every_state_has_a_row() -> None:
    assert set(PHASES) == set(Phase)
    assert set(DOUBTS) == set(Doubt)


def test_everything_that_can_happen_is_in_one_of_the_tables() -> None:
    of_phase = {happened for row in PHASES.values() for happened in row}
    assert of_phase | OF_DOUBT == set(Happened)
    assert not of_phase & OF_DOUBT


def test_a_worker_can_die_in_any_phase_and_only_once() -> None:
    for phase in Phase:
        assert (Happened.DIED in PHASES[phase]) == (phase is not Phase.DEAD)


@pytest.mark.parametrize("what", [Happened.LOST, Happened.DISMISSED, Happened.RETIRED])
def test_what_may_come_at_any_time_is_possible_in_every_phase_but_the_last(what: Happened) -> None:
    assert all(what in PHASES[phase] for phase in Phase if phase is not Phase.DEAD)


def test_no_phase_comes_again_once_it_is_over() -> None:
    for phase, row in PHASES.items():
        for after in row.values():
            assert ORDER.index(after) >= ORDER.index(phase)


def test_being_killed_is_final() -> None:
    assert DOUBTS[Doubt.KILLED_LATE] == DOUBTS[Doubt.KILLED_STILL] == {}


@given(st.lists(st.sampled_from(list(Happened))))
def test_what_is_impossible_leaves_everything_as_it_was(events: list[Happened]) -> None:
    state = State()
    for what in events:
        before = state.phase, state.doubt, state.was_ready, state.is_retired
        with contextlib.suppress(Impossible):
            state.happened(what)
            before = state.phase, state.doubt, state.was_ready, state.is_retired
        assert before == (state.phase, state.doubt, state.was_ready, state.is_retired)
