"""Who is late: the timeout of every item that runs, by what the workers say runs since when.

Used by the engine, which asks workers to put an end to what is late (`Workers.cancel`: how is theirs),
and by the loops that coroutines run on, which go on while nobody asks the engine for a value.

Pure. Tested by `tests/flow/test_deadlines.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

AGAIN = 0.05  # seconds until an item that goes on after it was cancelled is cancelled again
GRACE = 0.25  # seconds that a coroutine has to unwind, before whatever it runs in is given up

Key = TypeVar("Key")


class Deadlines:
    """When to look next for items that take too long, which is seldom.

    An item that begins after a look cannot be late before that look and the timeout are over; so one
    look costs nobody anything, and between two of them nothing has to be noted.
    """

    __slots__ = ("look_at", "timeout")

    def __init__(self, timeout: float, now: float) -> None:
        """Look for the first time when the first item could be late."""
        self.timeout = timeout
        self.look_at = now + timeout

    def late(self, running: Iterable[tuple[Key, float]], now: float) -> list[Key]:
        """Return the items that are late, and note when to look again: soon, while there are any."""
        late, look_at = [], now + self.timeout
        for key, since in running:
            if since + self.timeout <= now:
                late.append(key)
                look_at = min(look_at, now + AGAIN)
            else:
                look_at = min(look_at, since + self.timeout)
        self.look_at = look_at
        return late
