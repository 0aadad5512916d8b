"""Backlogs: what waits to go out, and what of it goes first. The dispatcher is handed one.

`InTurn`: in the order of the items, whole chunks at a time. `ByGroup`: item by item, so many at once and
so many a second of each group; of the groups that may have one more, the one with the oldest item goes
first, so a group that is slow keeps only its own items waiting.

Pure. Tested by `tests/flow/test_backlog.py`.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from outpace.flow.data import Chunk
from outpace.flow.gate import Gate, Rate, Unlimited

LOOK_AHEAD = 1_024  # items that may wait for their groups: how far to look for one of another


class Backlog(ABC):
    """What waits to go out: `items` of them."""

    items: int = 0

    @abstractmethod
    def push(self, chunk: Chunk, keys: Sequence[Hashable] | None = None) -> None:
        """Let items wait behind all others; `keys` say which group each is in."""

    @abstractmethod
    def push_front(self, chunks: Sequence[Chunk]) -> None:
        """Let items wait again that were out, before all others and in their order."""

    @abstractmethod
    def pop(self, size: int, now: float) -> Chunk | None:
        """Take out what goes next, of that size at most; None where nothing may go now."""

    @abstractmethod
    def keep(self, before: int, *, in_order: bool) -> None:
        """Drop all items from an index on, and what else is not wanted where nothing need be in order.

        What was out before stays.
        """

    @abstractmethod
    def wants_more(self, now: float) -> bool:
        """Say whether more items are to be read, since of those that wait none may go now."""

    def due(self) -> float | None:
        """Say when something may go that may not now; None where no time will bring that about."""
        return None

    def ended(self, indexes: Sequence[int]) -> None:  # noqa: B027 - most need not know
        """Learn that these items are out no longer, whatever became of them."""

    def forget(self, indexes: Sequence[int]) -> None:  # noqa: B027 - the same
        """Learn that these items will not come again."""


class InTurn(Backlog):
    """A backlog in the order of the items."""

    def __init__(self) -> None:
        """Have nothing waiting."""
        self._chunks: deque[Chunk] = deque()

    def push(self, chunk: Chunk, keys: Sequence[Hashable] | None = None) -> None:  # noqa: ARG002
        """Let items wait behind all others."""
        self._chunks.append(chunk)
        self.items += len(chunk)

    def push_front(self, chunks: Sequence[Chunk]) -> None:
        """Let items wait again that were out, before all others and in their order."""
        self._chunks.extendleft(reversed(chunks))
        self.items += sum(map(len, chunks))

    def pop(self, size: int, now: float) -> Chunk | None:  # noqa: ARG002
        """Take out the next chunk, of that size at most."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        if len(chunk) > size:
            rest = Chunk(chunk.first + size, chunk.items[size:], chunk.queued, chunk.attempt)
            self._chunks.appendleft(rest)
            chunk.items = chunk.items[:size]
        self.items -= len(chunk)
        return chunk

    def keep(self, before: int, *, in_order: bool) -> None:  # noqa: ARG002 - they went in order
        """Drop all items from an index on."""
        self._chunks = deque(chunk for chunk in self._chunks if chunk.first < before)
        self.items = sum(map(len, self._chunks))

    def wants_more(self, now: float) -> bool:  # noqa: ARG002
        """Say whether nothing waits."""
        return not self._chunks


@dataclass(slots=True, eq=False)
class _Group:
    """What is known of one group: its items that wait, as chunks of one, and how many are out.

    `known` counts all its items that may still go: that wait, are out, or may come again.
    """

    key: Hashable
    gate: Gate
    waiting: list[tuple[int, Chunk]] = field(default_factory=list)  # a heap, by index
    running: int = 0
    known: int = 0
    listed: bool = False  # whether it stands among those that are ready, or that pause


class ByGroup(Backlog):
    """A backlog of groups: `most` items of each at once, `rate` starts a second of each."""

    def __init__(self, most: int | None = None, rate: float | None = None) -> None:
        """Have nothing waiting."""
        self._most, self._rate = most, rate
        self._groups: dict[Hashable, _Group] = {}
        # Of items that wait, are out, or may come again. A key is looked up once: it may be anything.
        self._group_of: dict[int, _Group] = {}
        self._again: set[int] = set()  # that wait, and were out before
        # Heaps: groups that may have one more, by their oldest item, and those that pause, until when.
        # Of two alike the number that is in the middle decides.
        self._ready: list[tuple[int, int, _Group]] = []
        self._pausing: list[tuple[float, int, _Group]] = []
        self._ties = 0

    def push(self, chunk: Chunk, keys: Sequence[Hashable] | None = None) -> None:
        """Let items wait behind those of their groups; raise what looking up a key raises."""
        groups = [self._group(key) for key in keys or ()]
        for index, item, group in zip(chunk.indexes, chunk.items, groups, strict=True):
            self._group_of[index] = group
            group.known += 1
            self._wait(Chunk(index, [item], chunk.queued, chunk.attempt))

    def push_front(self, chunks: Sequence[Chunk]) -> None:
        """Let items wait again that were out: the oldest of a group goes first."""
        for chunk in chunks:
            for index, item in zip(chunk.indexes, chunk.items, strict=True):
                self._again.add(index)
                self._wait(Chunk(index, [item], chunk.queued, chunk.attempt))

    def pop(self, size: int, now: float) -> Chunk | None:  # noqa: ARG002 - it is one, always
        """Take out the oldest item of those whose group may have one more."""
        self._wake(now)
        if not self._ready:
            return None
        group = heapq.heappop(self._ready)[2]
        index, chunk = heapq.heappop(group.waiting)
        self._again.discard(index)
        group.listed = False
        group.running += 1
        group.gate.took(1, now)
        self.items -= 1
        self._list(group)
        return chunk

    def keep(self, before: int, *, in_order: bool) -> None:
        """Drop all items from an index on; and, unless they are wanted in order, all that never went."""
        left = []
        for group in list(self._groups.values()):
            kept = [
                (index, chunk)
                for index, chunk in group.waiting
                if index in self._again or (in_order and index < before)
            ]
            indexes = {index for index, _ in kept}
            self.forget([index for index, _ in group.waiting if index not in indexes])
            group.waiting, group.listed = kept, False
            heapq.heapify(kept)
            left.append(group)
        self.items = sum(len(group.waiting) for group in left)
        self._ready, self._pausing = [], []
        for group in left:
            self._list(group)

    def wants_more(self, now: float) -> bool:
        """Say whether no group may have one more now, and not too many items wait already."""
        self._wake(now)
        return not self._ready and self.items < LOOK_AHEAD

    def due(self) -> float | None:
        """Say when the next group's pause is over."""
        return self._pausing[0][0] if self._pausing and not self._ready else None

    def ended(self, indexes: Sequence[int]) -> None:
        """Let their groups have others."""
        for index in indexes:
            group = self._group_of[index]
            group.running -= 1
            self._list(group)

    def forget(self, indexes: Sequence[int]) -> None:
        """Forget which group they were in, and groups that have no others."""
        for index in indexes:
            group = self._group_of.pop(index, None)
            if group is None:
                continue  # it was refused, and never in one
            group.known -= 1
            if not group.known and self._rate is None:
                self._drop(group)
            elif not (group.known or group.listed):  # not before another of it might start
                self._pause(group)

    def _group(self, key: Hashable) -> _Group:
        """Return a group by its key."""
        group = self._groups.get(key)
        if group is None:
            gate = Unlimited() if self._rate is None else Rate(self._rate)
            group = self._groups[key] = _Group(key, gate)
        return group

    def _drop(self, group: _Group) -> None:
        """Forget a group that has nothing, unless its key cannot be found any more."""
        with suppress(Exception):  # a key may be anything, and may have changed
            self._groups.pop(group.key, None)

    def _wait(self, chunk: Chunk) -> None:
        """Let one item wait."""
        group = self._group_of[chunk.first]
        heapq.heappush(group.waiting, (chunk.first, chunk))
        self.items += 1
        self._list(group)

    def _list(self, group: _Group) -> None:
        """Put a group among those that may have one more at some time, if it is one and not there."""
        if group.listed or not group.waiting:
            return
        if self._most is None or group.running < self._most:
            self._pause(group)

    def _pause(self, group: _Group) -> None:
        """Put a group among those that pause, for as long as its gate says."""
        group.listed = True
        self._ties += 1
        heapq.heappush(self._pausing, (group.gate.due(), self._ties, group))

    def _wake(self, now: float) -> None:
        """Have groups whose pause is over be ready."""
        while self._pausing and self._pausing[0][0] <= now:
            _, tie, group = heapq.heappop(self._pausing)
            if group.waiting:
                heapq.heappush(self._ready, (group.waiting[0][0], tie, group))
            else:
                group.listed = False
                if not group.known:
                    self._drop(group)
