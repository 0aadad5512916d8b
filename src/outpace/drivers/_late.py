"""What becomes of an item that takes longer than its timeout, and when to look for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

from outpace.errors import ItemTimeoutError
from outpace.flow.board import Place
from outpace.flow.data import Failure
from outpace.flow.protocol import Call

AGAIN = 0.05  # seconds until an item that goes on after it was cancelled is cancelled again

GRACE = 0.25  # seconds that a coroutine has to unwind, before whatever it runs in is given up

SETUP = 60.0  # seconds that a setup may take to open at least, where items have a timeout

CANCELLED = "it was cancelled"
BLOCKED = "it blocked the event loop, so it could not be stopped, and its end came too late"
ABANDONED = (
    "a thread cannot be killed, so it was abandoned and goes on by itself until its item ends; "
    "under processes it would be killed"
)


def timed_out(seconds: float, what_then: str, trace: str | None = None) -> Failure:
    """Make the failure of an item that was stopped because its time was up."""
    error = ItemTimeoutError(
        f"this item took longer than its timeout of {seconds:g} s; {what_then}", seconds, trace
    )
    return Failure(error, "timed-out")


def setup_patience(call: Call) -> float | None:
    """Return the seconds that the setup may take to open; None for as long as it likes.

    Who gives items a timeout does not want to wait for ever; but to load a model takes its time.
    """
    return None if call.timeout is None or call.setup is None else max(SETUP, call.timeout)


Key = TypeVar("Key")


class Watch:
    """Know when to look next for items that take too long, which is seldom.

    An item that begins after a look cannot be late before that look and the timeout are over; so one
    look costs nobody anything, and between two of them nothing has to be noted.
    """

    __slots__ = ("look_at", "timeout")

    def __init__(self, timeout: float, now: float) -> None:
        """Look for the first time when the first item could be late."""
        self.timeout = timeout
        self.look_at = now + timeout

    def late(self, running: Iterable[tuple[Key, float]], now: float) -> list[Key]:
        """Return the items that are late, and note when to look again."""
        late, oldest = [], now
        for index, since in running:
            if since + self.timeout <= now:
                late.append(index)
            else:
                oldest = min(oldest, since)
        self.look_at = oldest + self.timeout
        return late


class LateItems:
    """Cancel the items of an event loop whose time is up: `number` is the lane that an item is on."""

    def __init__(self, timeout: float, now: float) -> None:
        """Nobody is late yet."""
        self._watch = Watch(timeout, now)
        self._cancelled: set[int] = set()

    def look(self, places: Iterable[Place], tasks: Sequence[Cancellable], now: float) -> float:
        """Cancel what is late, again where it swallowed that; return the seconds until the next look."""
        running = [(n, place.running()) for n, place in enumerate(places)]
        since = [(n, found[1]) for n, found in running if found is not None]
        look_at = now + self._watch.timeout
        for n in self._watch.late(since, now):
            self._cancelled.add(n)
            tasks[n].cancel()
            look_at = now + AGAIN
        return max(0.0, min(look_at, self._watch.look_at) - now)

    def verdict(self, number: int, task: Cancellable, failure: Failure | None) -> Failure | None:
        """Return what became of an item: a timeout, if it was cancelled and did not end well."""
        self._cancelled.discard(number)
        while task.cancelling():
            task.uncancel()
        return failure and timed_out(self._watch.timeout, CANCELLED)

    def __contains__(self, number: int) -> bool:
        """Say whether the item of a lane was cancelled because its time was up."""
        return number in self._cancelled

    def judge(
        self, n: int, values: list[Any], failures: dict[int, Failure], times: memoryview[float]
    ) -> None:
        """Let an item that never gave up the loop be too late, if it was; nothing could stop it."""
        if times[n + 1] - times[n] > self._watch.timeout:
            values[n], failures[n] = None, timed_out(self._watch.timeout, BLOCKED)


class Cancellable(Protocol):
    """Be a task, as far as it matters here."""

    def cancel(self) -> bool:
        """Cancel it."""
        ...

    def cancelling(self) -> int:
        """Say how often it has been."""
        ...

    def uncancel(self) -> int:
        """Take one back."""
        ...
