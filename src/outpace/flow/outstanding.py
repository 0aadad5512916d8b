"""What is out: chunks that were handed over and not wholly reported yet.

Kept twice in a run: by the dispatcher for all workers, and by a host for each of its workers, so that
it knows what a dead one had. Whole chunks are found by their first item not yet reported, which costs
nothing per item; only a driver whose items end in any order makes a table by item necessary.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outpace.flow.data import Chunk
from outpace.flow.order import consecutive


@dataclass(slots=True)
class _Out:
    """Be a chunk that is out, and how many of its items are still to be reported."""

    chunk: Chunk
    missing: int


class Outstanding:
    """Know which items are out, and match reports with them."""

    __slots__ = ("_by_first", "_by_item", "chunks", "items")

    def __init__(self) -> None:
        """Have nothing out."""
        self.chunks = 0  # that are out, wholly or in part
        self.items = 0  # that are out
        self._by_first: dict[int, _Out] = {}
        self._by_item: dict[int, _Out] = {}

    def add(self, chunk: Chunk) -> None:
        """Note that a chunk is out."""
        self._by_first[chunk.first] = _Out(chunk, len(chunk))
        self.chunks += 1
        self.items += len(chunk)

    def match(self, indexes: Sequence[int]) -> tuple[Sequence[Any], Sequence[float], Sequence[int]]:
        """Take reported items out; return their inputs, when they were queued, and the attempts."""
        run = consecutive(indexes)
        if run is not None and (out := self._by_first.get(run.start)) and len(run) <= out.missing:
            chunk = self._shorten(out, run)
            return chunk.items, Same(chunk.queued, len(run)), Same(chunk.attempt, len(run))
        chunks = [self.take_one(index) for index in indexes]
        items = [
            chunk.items[index - chunk.first] for index, chunk in zip(indexes, chunks, strict=True)
        ]
        return items, [chunk.queued for chunk in chunks], [chunk.attempt for chunk in chunks]

    def take_one(self, index: int) -> Chunk:
        """Take one item out; return the chunk that it came in."""
        if index not in self._by_item:
            for waiting in self._by_first.values():
                self._by_item.update(dict.fromkeys(waiting.chunk.indexes, waiting))
            self._by_first.clear()
        out = self._by_item.pop(index)
        out.missing -= 1
        self.items -= 1
        if not out.missing:
            self.chunks -= 1
        return out.chunk

    def take_chunk(self, first: int) -> Chunk:
        """Take a whole chunk out of which nothing has been reported."""
        if (out := self._by_first.pop(first, None)) is not None:
            self.chunks -= 1
            self.items -= out.missing
            return out.chunk
        chunk = self._by_item[first].chunk
        for index in chunk.indexes:
            self.take_one(index)
        return chunk

    def take_rest(self, indexes: Sequence[int]) -> Chunk | None:
        """Take out all that is left of a chunk, if that is what these items are."""
        run = consecutive(indexes)
        out = None if run is None else self._by_first.get(run.start)
        if out is None or out.missing != len(indexes):
            return None
        return self.take_chunk(indexes[0])

    def drain(self) -> list[Chunk]:
        """Take everything out; return it as chunks, in the order it was handed over."""
        left = [out.chunk for out in self._by_first.values()]
        for index, out in self._by_item.items():
            chunk = out.chunk
            left.append(
                Chunk(index, [chunk.items[index - chunk.first]], chunk.queued, chunk.attempt)
            )
        self._by_first.clear()
        self._by_item.clear()
        self.chunks = self.items = 0
        return left

    def _shorten(self, out: _Out, run: range) -> Chunk:
        """Take the first items of a chunk that is out, and return them as a chunk."""
        chunk = out.chunk
        del self._by_first[run.start]
        out.missing -= len(run)
        self.items -= len(run)
        if not out.missing:
            self.chunks -= 1
            return chunk
        out.chunk = Chunk(run.stop, chunk.items[len(run) :], chunk.queued, chunk.attempt)
        self._by_first = {run.stop: out, **self._by_first}  # it stays the oldest
        return Chunk(run.start, chunk.items[: len(run)], chunk.queued, chunk.attempt)


class Same(Sequence[Any]):
    """Be a column that has the same value everywhere."""

    __slots__ = ("_length", "_value")

    def __init__(self, value: object, length: int) -> None:
        """Hold the value once."""
        self._value, self._length = value, length

    def __getitem__(self, position: Any) -> Any:
        """Return the value, wherever; a slice is a shorter column."""
        place = range(self._length)[position]
        return Same(self._value, len(place)) if isinstance(place, range) else self._value

    def __len__(self) -> int:
        """Count the places."""
        return self._length
