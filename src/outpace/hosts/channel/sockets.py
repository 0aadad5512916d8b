"""Sockets between our processes, which wait for as long as it takes.

A program that has called `socket.setdefaulttimeout` gets a timeout on every socket that is made in it
from then on, ours included, and on every descriptor that it makes a socket of. Such a socket does not
block, for whoever has the same end; so the worker that is given one reads nothing and dies. Tested by
`tests/hosts/test_default_timeout.py`.
"""

from __future__ import annotations

import socket
from itertools import chain


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that block."""
    one, other = socket.socketpair()
    return blocking(one), blocking(other)


def pairs(count: int) -> list[tuple[socket.socket, socket.socket]]:
    """Return so many pairs, or raise and leave none open."""
    made: list[tuple[socket.socket, socket.socket]] = []
    try:
        made.extend(pair() for _ in range(count))
    except BaseException:
        for sock in chain.from_iterable(made):
            sock.close()
        raise
    return made


def taken(fd: int) -> socket.socket:
    """Make a socket that blocks of a descriptor that somebody has handed to us."""
    return blocking(socket.socket(fileno=fd))


def blocking(sock: socket.socket) -> socket.socket:
    """Have a socket block; return it."""
    sock.setblocking(True)  # noqa: FBT003 - its only form
    return sock
