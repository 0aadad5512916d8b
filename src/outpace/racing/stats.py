"""Medians with their spread, and whether two of them can be told apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

NOISE = 0.05  # medians closer than this are never told apart: shared machines drift by as much
ALONE = 0.15  # the same, where one side was measured only once and its spread is unknown


@dataclass(slots=True, frozen=True)
class MedianRange:
    """The median of several trials with the least and the greatest, in one unit."""

    median: float
    min: float
    max: float
    trials: int

    @classmethod
    def of(cls, values: Sequence[float]) -> MedianRange:
        """Sum up at least one value."""
        return cls(median(values), min(values), max(values), len(values))

    def as_json(self) -> dict[str, float | int]:
        """Return it as the JSON of a race has it."""
        return {"median": self.median, "min": self.min, "max": self.max, "trials": self.trials}


def distinguishable(a: MedianRange, b: MedianRange) -> bool:
    """Say whether the two differ by more than noise.

    With several trials each: their ranges must not overlap, and their medians must differ by more
    than `NOISE`. With fewer there is no range to go by, and the medians must differ by `ALONE`.
    """
    low, high = sorted((a.median, b.median))
    apart = high / low - 1 if low > 0 else float("inf")
    if min(a.trials, b.trials) < 2:
        return apart > ALONE
    return apart > NOISE and (a.max < b.min or b.max < a.min)
