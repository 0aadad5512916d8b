"""The recommendation and its reasons, from figures made up for the purpose."""

import pytest

from outpace.flow.show import seconds
from outpace.racing.advise import listed, recommend
from outpace.racing.plan import Profile
from outpace.racing.result import Entrant
from outpace.racing.stats import MedianRange

WAIT, COMPUTE = Profile(0.1, 0.001), Profile(0.2, 0.2)


def entrant(model: str, makespan: float, startup: float = 0.0, **more) -> Entrant:
    """Make an entrant with three trials that differ by 1 %."""
    spread = MedianRange(makespan, makespan * 0.99, makespan * 1.01, 3)
    figures = {"startup_s": startup, "makespan_s": spread, "results": "same"} | more
    return Entrant(model, "f", **figures)


def advise(profile: Profile, *entrants: Entrant):
    """Recommend, with the speedups filled in."""
    for each in entrants:
        if each.makespan_s is not None:
            each.speedup = entrants[0].makespan_s.median / each.makespan_s.median
    return recommend(entrants, profile, 2)


def test_the_fastest_wins_with_its_start_up_counted() -> None:
    found = advise(
        WAIT, entrant("serial", 16), entrant("asyncio", 0.2), entrant("processes", 0.15, 0.5)
    )
    assert found.model == "asyncio"
    assert "x80" in str(found)
    assert "99% of it waiting" in str(found)


def test_of_those_that_cannot_be_told_apart_the_simplest_wins() -> None:
    found = advise(
        COMPUTE,
        entrant("serial", 4),
        entrant("threads", 4.02),
        entrant("asyncio", 3.98),
        entrant("processes", 2.02, 0.08),
        entrant("processes+asyncio", 2.0, 0.08),
    )
    assert found.model == "processes"
    assert "processes+asyncio is not distinguishable from it" in str(found)
    assert "threads and asyncio are no faster" in str(found)
    assert "the GIL" in str(found)


@pytest.mark.parametrize(
    ("serial", "best"),
    [
        (0.010, 0.001),  # ten times faster, and nobody notices
        (4.0, 3.8),  # noticed, but not worth a thread
        (4.0, 4.2),
    ],
)
def test_serial_stays_where_concurrency_is_not_worth_it(serial, best) -> None:
    found = advise(COMPUTE, entrant("serial", serial), entrant("threads", best))
    assert found.model == "serial"
    assert "leave it as it is" in str(found)


def test_a_model_with_other_results_is_never_recommended_and_named() -> None:
    found = advise(
        WAIT,
        entrant("serial", 16),
        entrant("asyncio", 0.1, results="different"),
        entrant("threads", 0.5),
    )
    assert found.model == "threads"
    assert "asyncio gave different results" in str(found)


def test_rows_that_did_not_run_do_not_disturb() -> None:
    idle = Entrant("processes", "f", status="not-eligible", reason="no")
    assert advise(WAIT, entrant("serial", 16), idle, entrant("threads", 1)).model == "threads"


def test_a_serial_that_was_stopped_is_told_as_about() -> None:
    serial = entrant("serial", 100, status="stopped")
    assert "about 100 s" in str(advise(WAIT, serial, entrant("asyncio", 1)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(147.6, "148 s"), (1.234, "1.23 s"), (0.0123, "12.3 ms"), (4e-6, "4 µs"), (5e-9, "5 ns")],
)
def test_durations_read_as_a_person_says_them(value, text) -> None:
    assert seconds(value) == text


def test_names_are_joined_as_a_person_does() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_where_start_up_decides_the_number_of_items_that_earns_it_back_is_told() -> None:
    serial, processes = entrant("serial", 0.10), entrant("processes", 0.05, 0.08)
    for each in (serial, processes):
        each.speedup = 0.10 / each.makespan_s.median
    found = recommend([serial, processes], COMPUTE, 2, items=20)

    assert found.model == "serial"
    # 0.08 s of start-up against 5 ms / 1.2 - 2.5 ms an item
    assert "with more than about 52 such items, processes would be worth it" in str(found)
