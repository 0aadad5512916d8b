"""What becomes of an item that takes longer than its timeout, and how a loop cancels those on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from outpace.errors import ItemTimeoutError
from outpace.flow.board import Place
from outpace.flow.data import Failure
from outpace.flow.deadlines import Deadlines
from outpace.flow.protocol import Call

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


class LateItems:
    """Cancel the items of an event loop whose time is up: `number` is the lane that an item is on."""

    def __init__(self, timeout: float, now: float) -> None:
        """Nobody is late yet."""
        self._deadlines = Deadlines(timeout, now)
        self._cancelled: set[int] = set()

    def look(self, places: Iterable[Place], tasks: Sequence[Cancellable], now: float) -> float:
        """Cancel what is late, again where it swallowed that; return the seconds until the next look."""
        running = [(n, place.running()) for n, place in enumerate(places)]
        since = [(n, found[1]) for n, found in running if found is not None]
        for n in self._deadlines.late(since, now):
            self._cancelled.add(n)
            tasks[n].cancel()
        return max(0.0, self._deadlines.look_at - now)

    def verdict(self, number: int, task: Cancellable, failure: Failure | None) -> Failure | None:
        """Return what became of an item: a timeout, if it was cancelled and did not end well."""
        self._cancelled.discard(number)
        while task.cancelling():
            task.uncancel()
        return failure and timed_out(self._deadlines.timeout, CANCELLED)

    def __contains__(self, number: int) -> bool:
        """Say whether the item of a lane was cancelled because its time was up."""
        return number in self._cancelled

    def judge(
        self, n: int, values: list[Any], failures: dict[int, Failure], times: memoryview[float]
    ) -> None:
        """Let an item that never gave up the loop be too late, if it was; nothing could stop it."""
        if times[n + 1] - times[n] > self._deadlines.timeout:
            values[n], failures[n] = None, timed_out(self._deadlines.timeout, BLOCKED)


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
