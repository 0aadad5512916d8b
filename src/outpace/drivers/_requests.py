"""What the driver `curl` asks of a job: a policy, and transfers. `fetching` has the real ones."""

from __future__ import annotations

from typing import Any, Protocol

from outpace.flow.board import Place


class Policy(Protocol):
    """Be what says which request may go out now."""

    def push(self, index: int, item: Any) -> None:
        """Take in a request."""
        ...

    def take(self, now: float) -> Any:
        """Return (index, item, …, why not) of what goes out now, or None."""
        ...

    def ended(self, ticket: Any, now: float, value: Any, error: BaseException | None) -> None:
        """Learn how it has ended."""
        ...

    def due(self) -> float | None:
        """Say when something may go out that may not now."""
        ...


class Transfer(Protocol):
    """Be one libcurl handle, used again and again."""

    curl: Any
    started: float
    ticket: Any
    place: Place | None

    def begin(self, item: Any) -> None:
        """Make ready for an item."""
        ...

    def end(self, code: int, words: str) -> Any:
        """Return the item's value, or raise."""
        ...

    def close(self) -> None:
        """Drop everything."""
        ...


class Requests(Protocol):
    """Be what the job's function must be here."""

    @property
    def in_flight(self) -> int:
        """Say how many transfers at once."""
        ...

    def policy(self) -> Policy:
        """Make a policy."""
        ...

    def transfer(self, timeout: float | None = None) -> Transfer:
        """Make a transfer."""
        ...
