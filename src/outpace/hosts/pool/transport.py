"""What a place for workers has to offer: a `Transport` that starts them, and a `Link` to each.

This is the whole of what a host implements (`docs/writing-a-host.md`); who gets what, who is suspect,
late or replaced is the pool's business. Nothing here blocks but `wait`: that a worker is ready, or has
died, comes from there.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from outpace.flow.board import Board
from outpace.hosts.channel.messages import Event, ToWorker


class Traits(NamedTuple):
    """What a transport can do."""

    can_kill: bool  # end a worker, whatever it is on; else `kill` leaves it to itself
    isolated: bool  # what ends a worker does not end the caller
    shares_memory: bool  # links have boards
    starts_s: float  # about how many seconds a worker takes to start


class Place(NamedTuple):
    """A seat for a worker: whatever has it has that number, and so many lanes."""

    number: int
    lanes: int


class Link(Protocol):
    """The way to one worker. The pool sends by it; what the worker says comes from `Transport.wait`."""

    @property
    def pid(self) -> int | None:
        """Return the process that it is in; None if that is not known yet, or the caller's own."""
        ...

    @property
    def board(self) -> Board | None:
        """Return what the worker's lanes write on, None where no memory is shared."""
        ...

    @property
    def moved(self) -> int:
        """Count what has gone either way: as long as this grows, both sides are at it."""
        ...

    def send(self, message: ToWorker) -> None:
        """Send a message, now or as soon as there is room; one to a dead worker is lost.

        Raises `Unsendable` for items that cannot travel. `Locate` and `Recall` are for a worker that may
        not read: where it can be reached in no other way, nothing need come of them.
        """
        ...

    def kill(self, why: str) -> None:
        """End the worker with all that it has started, or leave it to itself; `Died` will come."""
        ...

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield every item that runs there now, and since when by the caller's clock."""
        ...

    def last_words(self) -> str | None:
        """Return what the worker has written down of where it is, None if nothing."""
        ...

    def close(self) -> None:
        """Let go of all that leads to a worker that has died. May be called twice."""
        ...


class Transport(Protocol):
    """A way to start workers and to hear of them. Used by one thread, but for `wake`."""

    @property
    def traits(self) -> Traits:
        """Say what it can do."""
        ...

    def launch(self, places: Sequence[Place]) -> Sequence[Link]:
        """Begin to start a worker for each place; `Ready`, `Failed`, `Refused` or `Died` will come."""
        ...

    def wait(self, timeout: float | None) -> Iterable[tuple[Link, Event]]:
        """Wait until there is news of any worker, `timeout` seconds have passed, or `wake` is called."""
        ...

    def wake(self) -> None:
        """End the current wait, or the next one. Any thread may call this, at any time."""
        ...

    def close(self) -> None:
        """End whatever is left, and let go of everything. May be called twice."""
        ...

    def disown(self) -> None:
        """Let go of everything and end nothing: in a fork, which has a copy of it."""
        ...
