"""How many items may be in flight: the number, not its enforcement.

A limit is told what happened and answers with a number; the dispatcher enforces it. No clock, no
thread. The shape is Netflix's concurrency-limits (`Limit` beside `Limiter`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Limit(Protocol):
    """Be the number of items that may be in flight now."""

    @property
    def current(self) -> int:
        """Say the number, at least 1."""
        ...


@dataclass(slots=True, frozen=True)
class Fixed:
    """Be a limit that never changes."""

    current: int
