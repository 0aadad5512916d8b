"""Memory that a worker and its caller share: the status board, and behind it room for last words.

It is a file without a name, so nothing can be left of it: the descriptor goes to the worker with its
socket. The board lies at the beginning. What faulthandler has to say of a crash, or of where a stuck
item is, it writes to the same descriptor, whose position stands behind the board; so it is found there
after the worker is gone. Windows has neither: there the board is a named mapping, and last words go to
stderr. Tested by `tests/hosts/test_shared_memory.py`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import sys
import tempfile

from outpace.errors import WorkerStartError
from outpace.flow.board import Board, Shape

LAST_WORDS = 65_536  # bytes of them that are read at most
DESCRIPTORS = (
    5  # of a worker here: two ends of a socket at first, its pidfd, the memory and its map
)
_numbers = itertools.count()


class Shared:
    """The caller's side: a board to read, and last words."""

    def __init__(self, shape: Shape) -> None:
        """Make the memory; nobody is on the board."""
        self.shape = shape
        self.name: str | None = None
        self.fd = -1
        if sys.platform == "win32":  # pragma: no cover - Windows
            self.name = f"outpace-{os.getpid()}-{next(_numbers)}"
            self._memory = mmap.mmap(-1, shape.size, tagname=self.name)
        else:
            self.fd = _nameless()
            try:
                _enlarge(self.fd, shape.size)
                os.lseek(self.fd, 0, os.SEEK_END)
                self._memory = mmap.mmap(self.fd, shape.size)  # with a descriptor of its own
            except BaseException:
                os.close(self.fd)
                raise
        self.board = Board(shape, self._memory)

    def last_words(self) -> str | None:
        """Return what the worker's faulthandler has written, None if nothing."""
        if self.fd < 0:
            return None
        with contextlib.suppress(OSError):
            text = os.pread(self.fd, LAST_WORDS, self.shape.size)
            return text.decode("utf-8", "replace").strip("\0 \n") or None
        return None

    def close(self) -> None:
        """Let go of it."""
        self.board.release()
        self._memory.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def attach(shape: Shape, fd: int, name: str | None) -> Board:
    """Return the board on the worker's side."""
    if sys.platform == "win32":  # pragma: no cover - Windows
        return Board(shape, mmap.mmap(-1, shape.size, tagname=name))
    return Board(shape, mmap.mmap(fd, shape.size))


def _enlarge(fd: int, size: int) -> None:
    """Give a file its size; say in one line that files may not be that large, if so."""
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        msg = (
            f"the memory shared with a worker process takes a file of {size:,} bytes, and files of this "
            "process may not be that large; raise the limit (ulimit -f), or use threads"
        )
        raise WorkerStartError(msg) from error


def _nameless() -> int:
    """Open a file that has no name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("outpace")
    fd, path = tempfile.mkstemp(prefix="outpace-")
    os.unlink(path)  # noqa: PTH108 - pathlib would be the only use of it here
    return fd
