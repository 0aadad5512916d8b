"""Medians, and when two of them can be told apart."""

import pytest

from outpace.racing.stats import MedianRange, distinguishable


def test_a_spread_has_the_median_and_the_range() -> None:
    assert MedianRange.of([3.0, 1.0, 2.0]) == MedianRange(2.0, 1.0, 3.0, 3)


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], True),
        ([1.0, 1.5, 2.1], [2.0, 2.1, 2.2], False),  # ranges overlap
        ([1.00, 1.01], [1.02, 1.03], False),  # apart, but by less than machines drift
        ([1.0], [1.1], False),  # once is not enough for 10 %
        ([1.0], [1.3], True),
        ([0.0], [1.0], True),
    ],
)
def test_two_spreads_are_told_apart_only_beyond_noise(a, b, apart) -> None:
    assert distinguishable(MedianRange.of(a), MedianRange.of(b)) is apart
    assert distinguishable(MedianRange.of(b), MedianRange.of(a)) is apart
