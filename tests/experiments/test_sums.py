"""The sums are right, and the numbers are as many as asked for."""

from __future__ import annotations

import pytest

from outpace.experiments import published
from outpace.experiments.sums import numbers, sum_of_squares


@pytest.mark.parametrize("n", [0, 1, 2, 10, 1_000])
def test_the_sum_of_squares_is_what_the_formula_says(n: int) -> None:
    assert sum_of_squares(n) == (n - 1) * n * (2 * n - 1) // 6


def test_the_numbers_are_twenty_from_five_million_up() -> None:
    assert numbers() == list(range(5_000_000, 5_000_020))


def test_count_and_start_can_be_chosen() -> None:
    assert numbers(count=3, start=7) == [7, 8, 9]
    assert numbers(count=0) == []


def test_the_published_seconds_of_serial_are_its_pages_times_their_seconds() -> None:
    product = published.PAGE_COUNT * published.PAGE_SECONDS
    assert product == pytest.approx(published.PAGES["serial"], rel=0.01)


def test_what_was_published_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        published.SUMS["threads"] = 1.0  # type: ignore[index]
