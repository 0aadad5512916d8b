"""Which texts came before, in eight bytes each, on disk: for a hundred million URLs.

Fingerprints of 64 bits in open-addressed tables that lie in unnamed temporary files, so that the system
can put them out of memory. A full table is never copied into a larger one, which would stop everything
for half a minute; a new one, twice as large, stands beside it.

Two texts of a hundred million are taken for the same once in 3,700 such jobs.
"""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from typing import IO

FIRST_PLACES = 1 << 17  # places in the first table: a megabyte
FULL_SHARE = 0.6  # of a table, and then it is: above, a search takes more and more steps


class SeenTexts:
    """A set of texts that can only grow."""

    def __init__(self, first: int = FIRST_PLACES) -> None:
        """Have seen nothing; `first` is a power of two."""
        self._tables: list[tuple[memoryview, int]] = []
        self._open: list[tuple[IO[bytes], mmap.mmap]] = []
        self._places = first // 2
        self._left = 0

    def add(self, text: str) -> bool:
        """Note a text; say whether it is new."""
        mark = hash(text) & 0xFFFFFFFFFFFFFFFF or 1
        place, table = 0, None
        for table, mask in self._tables:
            place = mark & mask
            while there := table[place]:
                if there == mark:
                    return False
                place = (place + 1) & mask
        if not self._left or table is None:
            self._grow()
            table, mask = self._tables[-1]
            place = mark & mask
        table[place] = mark
        self._left -= 1
        return True

    def __contains__(self, text: str) -> bool:
        """Say whether a text was noted."""
        mark = hash(text) & 0xFFFFFFFFFFFFFFFF or 1
        for table, mask in self._tables:
            place = mark & mask
            while there := table[place]:
                if there == mark:
                    return True
                place = (place + 1) & mask
        return False

    def close(self) -> None:
        """Forget everything."""
        for table, _ in self._tables:
            table.release()
        self._tables.clear()
        for file, mapped in self._open:
            mapped.close()
            file.close()
        self._open.clear()

    def _grow(self) -> None:
        """Add a table."""
        self._places *= 2
        with contextlib.ExitStack() as undo:
            file = undo.enter_context(tempfile.TemporaryFile())
            file.truncate(self._places * 8)
            mapped = mmap.mmap(file.fileno(), self._places * 8)
            undo.pop_all()
        self._open.append((file, mapped))
        self._tables.append((memoryview(mapped).cast("Q"), self._places - 1))
        self._left = int(self._places * FULL_SHARE)


class CountedTexts:
    """Texts with how often each came, in the same few bytes: the n-th time is a text of its own."""

    def __init__(self, seen: SeenTexts | None = None) -> None:
        """Have counted nothing."""
        self._seen = seen or SeenTexts()

    def add(self, text: str) -> int:
        """Count a text once more; return how often it came before."""
        before = 0
        while not self._seen.add(_nth(text, before)):
            before += 1
        return before

    def holds(self, text: str, before: int) -> bool:
        """Say whether a text came more often than `before` times."""
        return _nth(text, before) in self._seen

    def close(self) -> None:
        """Forget everything."""
        self._seen.close()


def _nth(text: str, before: int) -> str:
    """Tell the times apart that a text came."""
    return f"{before}\0{text}" if before else text
