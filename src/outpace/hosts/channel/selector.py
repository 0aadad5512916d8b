"""What is listened to here: the sockets of workers, the launcher's, and anybody who says `wake`."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Any, Protocol

from outpace.flow.signals import interruptible


class HasFileno(Protocol):
    """Something that can be listened to."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...


class Ear:
    """Sockets, of which whichever speaks first is heard. All but `wake` is for one thread."""

    def __init__(self) -> None:
        """Listen to `wake` only."""
        self._waking, self._wake = socket.socketpair()  # not a pipe: Windows cannot wait on one
        try:
            self._selector = selectors.DefaultSelector()
        except OSError:
            self._waking.close()
            self._wake.close()
            raise
        self._waking.setblocking(False)  # noqa: FBT003 - its only form
        self._wake.setblocking(False)  # noqa: FBT003
        # `wake` may come at any time, and after `close` its descriptor may be somebody else's.
        self._lock = threading.RLock()
        self._closed = False
        self._watched: HasFileno | None = None
        self._selector.register(self._waking, selectors.EVENT_READ)

    def add(self, what: HasFileno, whose: object = None) -> None:
        """Listen to one more; `whose` comes with what it says."""
        self._selector.register(what, selectors.EVENT_READ, whose)

    def remove(self, what: HasFileno) -> None:
        """Listen to it no longer."""
        self._selector.unregister(what)

    def watch(self, what: HasFileno | None) -> None:
        """Listen, nobody's in particular, to this one and no longer to the last such."""
        if what is not self._watched:
            if self._watched is not None:
                self.remove(self._watched)
            if what is not None:
                self.add(what)
            self._watched = what

    def expect_room(self, what: HasFileno, whose: object, *, expected: bool) -> None:
        """Hear also when it can be written to; or no longer."""
        room = selectors.EVENT_WRITE if expected else 0
        self._selector.modify(what, selectors.EVENT_READ | room, whose)

    @interruptible
    def listen(self, timeout: float | None) -> list[tuple[Any, bool, bool]]:
        """Wait until somebody speaks; return whose it is, whether to read, whether there is room."""
        heard = []
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._waking:
                with contextlib.suppress(BlockingIOError):
                    self._waking.recv(4096)
            else:
                reading, room = selectors.EVENT_READ & events, selectors.EVENT_WRITE & events
                heard.append((key.data, bool(reading), bool(room)))
        return heard

    def wake(self) -> None:
        """End the current wait, or the next one. Any thread may call this, at any time."""
        with self._lock, contextlib.suppress(BlockingIOError):  # then it is as awake as can be
            if not self._closed:
                self._wake.send(b"w")

    def disown(self) -> None:
        """Stop listening, in a fork, whose parent may have been just about to wake this one."""
        self._lock = threading.RLock()
        self.close()

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            self._closed = True
            self._selector.close()
            self._waking.close()
            self._wake.close()
