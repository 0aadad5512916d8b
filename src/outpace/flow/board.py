"""The status board: what every lane of a worker is on right now, to be read without asking it.

The board is memory that the worker writes and its caller reads, so it still says what was running when
the worker is stuck or dead. That is what timeouts, the blame for a crash and the live display go by.

It costs an item nothing but what its time costs anyway: a lane that carries out items one after
another writes the times at which they ended straight into the board (`Row`), in place of a list. As
times only grow, whoever reads finds the end of the column by itself: what stands behind it is older
than its beginning. Items of an event loop, which overlap, have a place each (`Place`), written only
when one waits; and one more place says which of them has the loop now. Rows and places are laid out
when a lane first asks for its own: those of lanes that nobody has hired cost nothing.

The memory is shared with the worker where there is one (`hosts.launch.shared_memory`), else it is plain.
There are no locks: one writer a row or place, and a reader that looks between two writes sees, at worst,
what was true a moment ago, or nobody where a lane is just beginning anew. Tested by
`tests/flow/test_board.py`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

ITEMS = 16_384  # items that the rows of a worker hold together: what `flow.dispatch` sends at most
LEAST = 16  # items in a row at least, however many rows there are
MOST = 4_096  # items in a row at most: from there on, longer chunks gain nothing (bench/chunks.py)
WORD = 8
NOBODY = -1


@dataclass(slots=True, frozen=True)
class Shape:
    """Be how large a board is: `rows` for lanes that take turns, `places` for items that overlap."""

    rows: int
    places: int

    @classmethod
    def of(cls, lanes: int, *, scattered: bool) -> Shape:
        """Return what a driver of so many lanes needs; `scattered` lanes share one loop."""
        return cls(1, lanes + 1) if scattered else cls(lanes, 0)

    @property
    def length(self) -> int:
        """Say how many items a row holds."""
        return max(LEAST, min(MOST, ITEMS // self.rows))

    @property
    def size(self) -> int:
        """Say how many bytes it takes."""
        rows = self.rows * self.words_of_a_row
        return WORD * (Board.COUNTS + rows + self.places * Place.WORDS)

    @property
    def words_of_a_row(self) -> int:
        """Say how many words a row takes."""
        return Row.HEAD + self.length + 1


class Row:
    """Be the times of items that one lane carries out one after another.

    The lane calls `begin`, and sets `times[n]` when the n-th has ended.
    """

    HEAD = 2
    __slots__ = ("head", "length", "times")

    def __init__(self, head: memoryview[int], times: memoryview[float]) -> None:
        """Take it as it is."""
        self.head, self.times = head, times
        self.length = len(times) - 1

    def clear(self) -> None:
        """Have nobody running."""
        self.head[0] = NOBODY

    def release(self) -> None:
        """Let go of the memory."""
        self.head.release()
        self.times.release()

    def begin(self, first: int, count: int, now: float) -> None:
        """Say that so many items from `first` on are carried out from now on.

        Nobody runs until all of it is there, or an old item would seem to have begun again.
        """
        self.head[1] = 0
        self.times[0] = now
        self.head[0] = first
        self.head[1] = count

    def column(self, count: int) -> array[float]:
        """Return the times of so many items: one more than there are, each starting at the last."""
        return array("d", self.times[: count + 1].tobytes())

    # Reading.

    def running(self) -> tuple[int, float] | None:
        """Return the item that has begun and not ended, and since when; None without one."""
        first, count, start = self.head[0], self.head[1], self.times[0]
        done = len(self.ended)
        if first == NOBODY or done >= count:
            return None
        found = first + done, self.times[done]
        as_before = (self.head[0], self.head[1], self.times[0]) == (first, count, start)
        return found if as_before else None  # the lane has begun anew, and nothing there is old

    @property
    def ended(self) -> range:
        """Return the items of the row that have ended; of an idle lane, none."""
        first, count = self.head[0], self.head[1]
        if first == NOBODY:
            return range(NOBODY, NOBODY)
        start = self.times[0]
        older = bisect_left(
            range(1, min(count, self.length) + 1), x=True, key=lambda n: self.times[n] < start
        )
        return range(first, first + older)


class Place:
    """Be one item, and since when."""

    WORDS = 2
    __slots__ = ("index", "since")

    def __init__(self, index: memoryview[int], since: memoryview[float]) -> None:
        """Take it as it is."""
        self.index, self.since = index, since

    def release(self) -> None:
        """Let go of the memory."""
        self.index.release()
        self.since.release()

    def take(self, index: int, since: float) -> None:
        """Say that an item is here."""
        self.since[0] = since
        self.index[0] = index

    def leave(self) -> None:
        """Say that nobody is here."""
        self.index[0] = NOBODY

    clear = leave

    def running(self) -> tuple[int, float] | None:
        """Return the item and since when, None without one."""
        index = self.index[0]
        return None if index == NOBODY else (index, self.since[0])


One = TypeVar("One", bound=Row | Place)


class Laid(Generic[One]):
    """The rows of a board that are in use, or its places: by the number of the lane, or all in turn.

    How many there are stands in the memory, so that who reads it elsewhere finds them too.
    """

    __slots__ = ("_count", "_laid", "_lay")

    def __init__(self, count: memoryview[int], lay: Callable[[int], One]) -> None:
        """Have laid out none; `lay` makes the n-th over the memory."""
        self._count = count
        self._lay: Callable[[int], One] = lay
        self._laid: list[One] = []

    def __getitem__(self, number: int) -> One:
        """Return a lane's own, for it to write to. One thread asks for those that are new."""
        laid = self._laid
        while number >= len(laid):
            one = self._lay(len(laid))
            one.clear()
            laid.append(one)
            self._count[0] = len(laid)
        return laid[number]

    def __iter__(self) -> Iterator[One]:
        """Yield those in use, with what somebody elsewhere has begun to use."""
        laid = self._laid
        if missing := range(len(laid), self._count[0]):
            self._laid = laid = [*laid, *(self._lay(n) for n in missing)]
        return iter(laid)

    def release(self) -> None:
        """Let go of the memory."""
        for one in self._laid:
            one.release()
        self._count.release()


class Board:
    """Be the rows and places of one worker, over memory that is given or its own."""

    COUNTS = 2  # words before all others: how many rows are in use, and how many places
    __slots__ = ("_memory", "on_loop", "places", "rows", "shape")

    def __init__(self, shape: Shape, memory: Any = None) -> None:
        """Lay it out over a writable buffer of `shape.size` bytes, all zero at first."""
        self.shape = shape
        whole = memoryview(bytearray(shape.size) if memory is None else memory)
        used = whole[: shape.size]
        words, times = used.cast("q"), used.cast("d")
        self._memory = words, times, used, whole
        after_rows = self.COUNTS + shape.rows * shape.words_of_a_row

        def lay_row(n: int) -> Row:
            at = self.COUNTS + n * shape.words_of_a_row
            body, stop = at + Row.HEAD, at + shape.words_of_a_row
            return Row(words[at:body], times[body:stop])

        def lay_place(n: int) -> Place:
            at = after_rows + n * Place.WORDS
            return Place(words[at : at + 1], times[at + 1 : at + 2])

        self.rows = Laid(words[0:1], lay_row)
        self.places = Laid(words[1:2], lambda n: lay_place(n + 1))
        self.on_loop: Place | None = None  # whoever has the loop now
        if shape.places:
            self.on_loop = lay_place(0)
            self.on_loop.leave()

    def running(self) -> Iterator[tuple[int, float]]:
        """Yield every item that has begun and not ended, and since when."""
        both: tuple[Row | Place, ...] = (*self.rows, *self.places)
        for one in both:
            if (found := one.running()) is not None:
                yield found

    def ended(self) -> Iterator[range]:
        """Yield the items that have ended, as far as the rows still show them."""
        for row in self.rows:
            if ended := row.ended:
                yield ended

    def stepping(self) -> tuple[int, float] | None:
        """Return the item that has the event loop now, and since when; None where there is none."""
        if self.on_loop is None:
            return None
        in_row = next((found for row in self.rows if (found := row.running()) is not None), None)
        return in_row or self.on_loop.running()

    def release(self) -> None:
        """Let go of the memory, so that whoever gave it can close it."""
        self.rows.release()
        self.places.release()
        if self.on_loop is not None:
            self.on_loop.release()
        for view in self._memory:
            view.release()
