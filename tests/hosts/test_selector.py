"""Waiting for many at once, and being woken."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from outpace.hosts.channel.selector import Ear

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ear() -> Iterator[Ear]:
    with contextlib.closing(Ear()) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_it_hears_who_speaks(ear: Ear, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ear.add(ours, "Ada")
    assert ear.listen(0) == []
    theirs.send(b"hello")
    assert ear.listen(None) == [("Ada", True, False)]
    ear.remove(ours)
    assert ear.listen(0) == []


def test_it_hears_of_room_only_when_room_is_expected(
    ear: Ear, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, _ = pair
    ear.add(ours, "Ada")
    ear.expect_room(ours, "Ada", expected=True)
    assert ear.listen(0) == [("Ada", False, True)]
    ear.expect_room(ours, "Ada", expected=False)
    assert ear.listen(0) == []


def test_any_thread_can_end_a_wait(ear: Ear) -> None:
    threading.Thread(target=ear.wake).start()
    assert ear.listen(20) == []


def test_a_wake_that_comes_early_ends_the_next_wait_and_only_that(ear: Ear) -> None:
    for _ in range(100_000):
        ear.wake()  # more than a socket holds
    assert ear.listen(20) == []
    while ear.listen(0):
        pass


def test_a_wake_after_the_close_reaches_nobody_else(ear: Ear) -> None:
    ear.close()
    pipes = [os.pipe() for _ in range(8)]  # they get the numbers that have become free
    ear.wake()
    for read, write in pipes:
        os.set_blocking(read, False)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        os.close(read)
        os.close(write)
    ear.close()
