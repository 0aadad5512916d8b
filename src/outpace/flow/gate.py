"""Gates: how many items may start now, by the clock. The dispatcher is handed one.

Pure: seconds of any clock that only goes forward. Tested by `tests/flow/test_gate.py`.
"""

from __future__ import annotations

from typing import Protocol

CATCH_UP = 0.05  # seconds of a rate that may be made up for at once: timers are coarse
ANY = 2**31  # as many items as one likes


class Gate(Protocol):
    """What says how many items may start now."""

    def room(self, now: float) -> int:
        """Say how many items may start now."""
        ...

    def took(self, count: int, now: float) -> None:
        """Learn that so many have."""
        ...

    def due(self) -> float:
        """Say when one more may start."""
        ...


class Unlimited:
    """A gate that is always open."""

    def room(self, now: float) -> int:  # noqa: ARG002
        """Let any number through."""
        return ANY

    def took(self, count: int, now: float) -> None:
        """Do nothing."""

    def due(self) -> float:
        """Return a moment that is long past."""
        return float("-inf")


class Rate:
    """A gate for so many starts a second, evenly spaced, without a burst after a pause.

    Only what coarse timers have missed, `CATCH_UP` seconds of it, is made up for.
    """

    __slots__ = ("_gap", "_next")

    def __init__(self, rate: float) -> None:
        """Let the first one through at once."""
        self._gap = 1.0 / rate
        self._next = float("-inf")

    def room(self, now: float) -> int:
        """Say how many items may start now."""
        since = max(self._next, now - CATCH_UP)
        return 0 if since > now else 1 + int(min((now - since) / self._gap, ANY))

    def took(self, count: int, now: float) -> None:
        """Learn that so many have."""
        first = now if self._next == float("-inf") else max(self._next, now - CATCH_UP)
        self._next = first + count * self._gap

    def due(self) -> float:
        """Say when one more may start."""
        return self._next
