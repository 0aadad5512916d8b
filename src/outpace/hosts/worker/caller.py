"""A worker process's end of its socket."""

from __future__ import annotations

import threading

from outpace.flow.forks import free_in_forks
from outpace.flow.signals import Terminated
from outpace.hosts.channel.codec import decode, encode, unreadable
from outpace.hosts.channel.framing import Channel, Frame
from outpace.hosts.channel.messages import FromWorker, ToWorker


class SocketCaller:
    """The caller, at the other end of a socket."""

    def __init__(self, channel: Channel) -> None:
        """Talk through a channel whose socket blocks."""
        self.channel = channel
        self._speaking = free_in_forks(threading.RLock())  # one thread at a time sends

    def fileno(self) -> int:
        """Return the descriptor that messages come from."""
        return self.channel.fileno()

    def receive(self, *, wait: bool = True) -> Frame | None:
        """Return the next frame; None if there is none and it is not to wait; EOFError at the end."""
        return self.channel.receive(wait=wait)

    def unpack(self, parcel: Frame) -> ToWorker | None:
        """Return the message; None for a chunk that cannot be read, once the caller has been told."""
        try:
            return decode(parcel)  # type: ignore[return-value]
        except Terminated:
            raise  # the caller ends it, and wants to hear nothing more
        except BaseException as error:  # noqa: BLE001 - unpickling runs the user's code
            self.send(unreadable(parcel, error))
            return None

    def send(self, message: FromWorker) -> None:
        """Send a message, whichever thread has it."""
        frame = encode(message)  # this runs the user's code, which may print
        with self._speaking:
            self.channel.send(*frame)
