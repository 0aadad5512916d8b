"""What the table's speedup is divided by, and what is gained with start-up included."""

import pytest

from outpace.racing.result import Entrant
from outpace.racing.speedup import gain, is_worth_it, speedup
from outpace.racing.stats import MedianRange


def entrant(makespan_s: float | None, startup_s: float = 0.0) -> Entrant:
    known = (
        None if makespan_s is None else MedianRange(makespan_s, makespan_s / 2, makespan_s * 2, 3)
    )
    return Entrant("threads", "f", startup_s=startup_s, makespan_s=known)


def test_the_speedup_is_of_median_makespans_without_start_up():
    assert speedup(entrant(8.0), entrant(2.0, startup_s=6.0)) == 4.0


def test_there_is_no_speedup_where_a_makespan_is_not_known():
    assert speedup(entrant(None), entrant(2.0)) is None
    assert speedup(entrant(2.0), entrant(None)) is None


def test_the_gain_has_start_up_in_it():
    assert gain(entrant(8.0), entrant(2.0, startup_s=2.0)) == 2.0
    assert gain(entrant(8.0), entrant(None)) == 0.0


@pytest.mark.parametrize(
    ("serial_s", "other_s", "worth"),
    [
        (8.0, 4.0, True),
        (8.0, 7.0, False),  # not 1.2 times as fast
        (0.05, 0.01, False),  # nobody notices 40 ms
        (8.0, None, False),
    ],
)
def test_a_gain_is_worth_it_by_factor_and_by_seconds(serial_s, other_s, worth):
    assert is_worth_it(entrant(serial_s), entrant(other_s)) is worth
