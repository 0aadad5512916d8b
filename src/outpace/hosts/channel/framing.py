"""How values travel between this process and a worker: frames over one socket pair per worker.

A frame is two pickles and the buffers of the second: `meta`, small and made of plain types, which
always loads; and `payload`, the user's values, which may not. So a value that cannot be read costs
itself, never the account it came with. Large buffers (NumPy arrays, bytearrays; pickle protocol 5)
travel beside the pickle and are received straight into the memory where they stay.

The caller's side never blocks on a write: what the socket does not take at once waits in `Channel`
until it is writable again. That is why two processes that both have megabytes to say never deadlock.

Values go by plain pickle, and by cloudpickle where that cannot do it: lambdas, closures, classes made
in functions, and all that belongs to `__main__`, which a worker never runs. cloudpickle remembers
the classes it has sent, so an instance that comes back is one of the caller's own class.

Only frames of processes that we started ourselves are ever unpickled. An item can write to our socket
all the same, by mistake: what does not begin as a frame does is `Garbled`, and the end of that worker.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from outpace.hosts.channel.source import SourcePickler

HEAD = struct.Struct("<QQQI")  # SIGN, bytes of meta, bytes of payload, number of buffers
SIGN = 0x9E3779B97F4A7C15  # how every frame begins; what an item has written here does not
SIZE = struct.Struct("<Q")
# Buffers from this size travel beside the pickle, and are copied once less. It matters little where:
# bench/chunks.py found items of 4 KiB to 1 MiB alike with any limit from 8 to 256 KiB.
ASIDE = 32_768
NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)  # not on Windows


@dataclass(slots=True)
class Packed:
    """A value, pickled; `plain` says that nothing but Python's own types is in it, so it loads."""

    pickle: bytes | bytearray | memoryview
    buffers: list[Any]
    plain: bool = False

    def load(self) -> Any:
        """Return the value; raise whatever its unpickling raises."""
        return pickle.loads(self.pickle, buffers=self.buffers)  # noqa: S301 - from our own process


NOTHING = Packed(pickle.dumps(None), [])


def pack(value: object, *, by_value: bool = False, whole: bool = False) -> Packed:
    """Pickle a value; raise what the last of the two picklers raised when neither can.

    `whole` keeps its buffers in the pickle, however large they are.
    """
    buffers: list[memoryview] = []

    def aside(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if whole or view.nbytes < ASIDE:
            return True
        buffers.append(view)
        return False

    file = io.BytesIO()
    if not by_value:
        pickler = _Watching(file, 5, buffer_callback=aside)
        with contextlib.suppress(Exception):  # then cloudpickle, whose error is the one to show
            pickler.dump(value)
            plain = file.getvalue()
            if b"__main__" not in plain:
                return Packed(plain, buffers, pickler.plain)
        buffers.clear()
        file = io.BytesIO()
    SourcePickler(file, 5, buffer_callback=aside).dump(value)
    return Packed(file.getvalue(), buffers)


class _Watching(pickle.Pickler):
    """A pickler that notices whatever is not of Python's own types, for which it is never asked."""

    plain = True

    def reducer_override(self, _obj: object) -> Any:
        """Notice it; have it pickled as usual."""
        self.plain = False
        return NotImplemented


@dataclass(slots=True)
class Frame:
    """A frame that has arrived: plain facts, and the user's values still packed."""

    meta: Any
    payload: Packed


class Garbled(EOFError):  # noqa: N818 - an end, of its kind
    """What has arrived is no frame, so nothing more can be heard from there."""


class Channel:
    """Frames over a connected socket, blocking or not as the socket is.

    `send` is for one thread at a time; one that interrupts itself (a signal handler that prints, a
    finalizer that logs) puts its frame behind the one that is under way.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Own the socket from now on."""
        self.sock = sock
        self.moved = 0  # bytes, either way: as long as these grow, both sides are at it
        self._outgoing: deque[memoryview] = deque()
        self._flushing = False
        self._arriving = self._frames()
        self._wanted: memoryview = next(self._arriving)

    def fileno(self) -> int:
        """Return the descriptor, so that a selector can watch it."""
        return self.sock.fileno()

    def send(self, meta: object, payload: Packed = NOTHING) -> bool:
        """Send a frame, or as much of it as fits; say whether all has gone."""
        small = pickle.dumps(meta, 5)
        sizes = b"".join(SIZE.pack(memoryview(b).nbytes) for b in payload.buffers)
        head = HEAD.pack(SIGN, len(small), len(payload.pickle), len(payload.buffers))
        if len(payload.pickle) < ASIDE:
            views = [memoryview(b"".join((head, sizes, small, payload.pickle)))]
        else:
            views = [memoryview(head + sizes + small), memoryview(payload.pickle)]
        views += [memoryview(b).cast("B") for b in payload.buffers]
        self._outgoing.extend(views)
        return self.flush()

    def flush(self) -> bool:
        """Send more of what waits; say whether all has gone."""
        if self._flushing:
            return False
        self._flushing = True
        try:
            while self._outgoing:
                view = self._outgoing[0]
                try:
                    sent = self.sock.send(view)
                except BlockingIOError:
                    return False
                self.moved += sent
                if sent == len(view):
                    self._outgoing.popleft()
                else:
                    self._outgoing[0] = view[sent:]
        finally:
            self._flushing = False
        return True

    def receive(self, *, wait: bool = True) -> Frame | None:
        """Return the next frame; None when there is no whole one yet and it is not to `wait`.

        Nor does it wait where the socket does not block. Raises EOFError when the other side is gone,
        and `Garbled` when it makes no sense.
        """
        flags = 0 if wait else NO_WAIT
        while True:
            try:
                got = self.sock.recv_into(self._wanted, 0, flags)
            except BlockingIOError:
                return None
            except ConnectionError:
                got = 0
            if got == 0:
                raise EOFError
            self.moved += got
            self._wanted = self._wanted[got:]
            while not self._wanted:
                step = next(self._arriving)
                if isinstance(step, Frame):
                    self._wanted = next(self._arriving)
                    return step
                self._wanted = step

    def close(self) -> None:
        """Close the socket and forget what was not sent."""
        self._outgoing.clear()
        self.sock.close()

    def _frames(self) -> Iterator[Any]:
        """Yield, in turn, the pieces of memory to be filled next and the finished frames."""
        while True:
            head = bytearray(HEAD.size)
            yield memoryview(head)
            sign, meta_size, payload_size, count = HEAD.unpack(head)
            if sign != SIGN:
                raise Garbled
            rest = bytearray(count * SIZE.size + meta_size + payload_size)
            yield memoryview(rest)
            view = memoryview(rest)
            sizes = [SIZE.unpack_from(rest, n * SIZE.size)[0] for n in range(count)]
            buffers = [bytearray(size) for size in sizes]
            for buffer in buffers:
                if buffer:
                    yield memoryview(buffer)
            meta_at = count * SIZE.size
            payload_at = meta_at + meta_size
            try:
                meta = pickle.loads(view[meta_at:payload_at])  # noqa: S301 - from our own process
            except Exception as error:  # of a worker that was cut short in the middle of a frame
                raise Garbled from error
            yield Frame(meta, Packed(view[payload_at:], buffers))
