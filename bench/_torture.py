"""What the parts of `torture.py` share: their settings, what they return, and who is of the family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from interrupts import family

FULL = 200_000  # items


@dataclass(frozen=True)
class Options:
    """How much is done of everything, how the dice fall, and when an item is late."""

    items: int
    seed: int
    timeout: float

    def some(self, many: int) -> int:
        """Return as many of something as there are items, when the full number of both is meant."""
        return max(1, many * self.items // FULL)


@dataclass
class Checked:
    """What a part has looked at, in words, and what was not as it must be."""

    what: str
    wrong: list[str] = field(default_factory=list)


def family_of(folder: Path) -> Iterator[int]:
    """Yield every process that was started with this folder for its temporary files."""
    return family(f"TMPDIR={folder}")
