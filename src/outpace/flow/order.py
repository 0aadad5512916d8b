"""In which order outcomes leave: as they come, or in the order of the inputs.

Pure. What is released is a `Settled` with the positions of it that may leave now, so a whole chunk
leaves as one thing and nothing is copied. `InOrder` keeps what came too early; how much that may be
is the dispatcher's business (`window`), since it alone decides what is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from outpace.flow.data import Settled

Release = tuple[Settled, Sequence[int]]


class Order(Protocol):
    """Be the rule by which settled items leave."""

    expected: int

    def push(self, settled: Settled) -> list[Release]:
        """Take in settled items; return what may leave, in the order it leaves."""
        ...


class AsTheyCome:
    """Let everything leave at once."""

    def __init__(self) -> None:
        """Start with nothing expected."""
        self.expected = 0

    def push(self, settled: Settled) -> list[Release]:
        """Return all of it."""
        self.expected += len(settled)
        return [(settled, range(len(settled)))]


class InOrder:
    """Let items leave in the order of their indexes; keep the ones that are early."""

    def __init__(self) -> None:
        """Expect item 0."""
        self.expected = 0
        # The mutable state: early runs by their first index, early single items by their index.
        self._runs: dict[int, Settled] = {}
        self._singles: dict[int, tuple[Settled, int]] = {}

    def push(self, settled: Settled) -> list[Release]:
        """Return what is next in order, as far as it is here."""
        run = consecutive(settled.report.indexes)
        if run is not None:
            if run.start != self.expected:
                self._runs[run.start] = settled
                return []
            self.expected = run.stop
            return [(settled, range(len(run))), *self._drain()]
        for position, index in enumerate(settled.report.indexes):
            self._singles[index] = (settled, position)
        return self._drain()

    def _drain(self) -> list[Release]:
        """Take out everything that has become next."""
        released: list[Release] = []
        while True:
            if (whole := self._runs.pop(self.expected, None)) is not None:
                released.append((whole, range(len(whole))))
                self.expected += len(whole)
            elif (single := self._singles.pop(self.expected, None)) is not None:
                settled, position = single
                released.append((settled, (position,)))
                self.expected += 1
            else:
                return released


def consecutive(indexes: Sequence[int]) -> range | None:
    """Return the indexes as a range if they are consecutive and rising, else None."""
    if isinstance(indexes, range):
        return indexes
    run = range(indexes[0], indexes[0] + len(indexes))
    if indexes[-1] == run[-1] and indexes == list(run):
        return run
    return None
