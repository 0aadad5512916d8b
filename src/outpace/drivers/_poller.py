"""Wait for sockets in libcurl's terms: what it wants to know of each, and what happened.

`epoll` where the system has it, else whatever `selectors` finds best; `select.select` ends at 1,024
descriptors and libcurl's own waiting (`multi.perform`) looks at every transfer each time.
"""

from __future__ import annotations

import select
import selectors
import socket
from typing import Protocol

from outpace.flow.signals import interruptible

IN, OUT, ERR = 1, 2, 4  # CURL_CSELECT_IN, _OUT, _ERR
_EDGE = 0.001  # seconds; epoll counts whole milliseconds


class Poller(Protocol):
    """Be what waits for sockets."""

    def watch(self, what: int, fd: int) -> None:
        """Watch a socket for IN, OUT or both; not at all for anything else."""
        ...

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait for the first event or until time is up; return (descriptor, what happened)."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


class Epoll:
    """Wait with epoll.

    A socket that libcurl is done with is left in for the moment: in nearly every case it carries the
    next page, and a system call is saved. If it was closed instead, and its number given to another,
    the kernel has forgotten it, and says so when it is watched again.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._epoll = select.epoll()
        self._wanted: dict[int, int] = {}  # every descriptor that epoll may know; 0: nothing

    def watch(self, what: int, fd: int) -> None:
        """Watch a socket, or leave it be."""
        wanted = self._wanted
        if what not in (1, 2, 3):
            if fd in wanted:
                wanted[fd] = 0
            return
        mask = _MASKS[what]
        if fd in wanted:
            try:
                self._epoll.modify(fd, mask)
            except FileNotFoundError:
                self._epoll.register(fd, mask)
        else:
            self._epoll.register(fd, mask)
        wanted[fd] = what

    @interruptible
    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait with epoll."""
        events = []
        for fd, mask in self._epoll.poll(-1 if timeout is None else timeout):
            if self._wanted[fd]:
                events.append((fd, mask & 1 | (mask & 4) >> 1 | (4 if mask & ~5 else 0)))
            else:
                del self._wanted[fd]
                self._epoll.unregister(fd)
        return events

    def close(self) -> None:
        """Close epoll's own descriptor."""
        self._epoll.close()


_MASKS = (0, 1, 4, 5)  # EPOLLIN is 1 and EPOLLOUT 4


class Selector:
    """Wait with the best that `selectors` finds: kqueue on macOS."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._selector = selectors.DefaultSelector()

    def watch(self, what: int, fd: int) -> None:
        """Watch a socket anew, or no more."""
        known = fd in self._selector.get_map()
        if what not in (1, 2, 3):
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, what)
        else:
            self._selector.register(fd, what)

    @interruptible
    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait with the selector, whose two events have libcurl's numbers."""
        return [(key.fd, mask) for key, mask in self._selector.select(timeout)]

    def close(self) -> None:
        """Close the selector's own descriptor."""
        self._selector.close()


def poller() -> Poller:
    """Return the best there is here."""
    return Epoll() if hasattr(select, "epoll") else Selector()


class Waker:
    """Be a pair of sockets: what one thread writes ends the wait of another."""

    def __init__(self) -> None:
        """Open both ends."""
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)  # noqa: FBT003 - its only form
        self._writer.setblocking(False)  # noqa: FBT003 - its only form
        self.fd = self._reader.fileno()

    def wake(self) -> None:
        """End the wait, now or the next one. For any thread."""
        try:
            self._writer.send(b"!")
        except OSError:  # it is full, so the wait will end; or closed, so there is none
            return

    def clear(self) -> None:
        """Take in what woke us."""
        try:
            self._reader.recv(4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()
