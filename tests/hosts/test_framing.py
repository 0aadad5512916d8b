"""Frames between two processes, over a real socket pair."""

import socket
import threading

import numpy as np
import pytest

from outpace.hosts.channel.framing import ASIDE, HEAD, SIGN, Channel, Garbled, pack


@pytest.fixture
def pair():
    """Give two channels that are connected."""
    a, b = (Channel(sock) for sock in socket.socketpair())
    yield a, b
    a.close()
    b.close()


def test_a_frame_arrives_as_it_was_sent(pair) -> None:
    a, b = pair
    a.send(("report", 3), pack([1, "two", None]))

    message = b.receive()
    assert message.meta == ("report", 3)
    assert message.payload.load() == [1, "two", None]


def test_frames_arrive_in_order_and_apart_however_they_are_cut(pair) -> None:
    a, b = pair
    b.sock.settimeout(0)
    whole = bytearray()
    a.send("one", pack("x" * 1000))
    a.send("two", pack(bytearray(ASIDE + 5)))
    while len(whole) < 1000 + ASIDE:
        whole += b.sock.recv(1 << 20)
    metas = []
    for byte in range(0, len(whole), 7):  # seven bytes at a time
        a.sock.sendall(whole[byte : byte + 7])
        while (message := b.receive()) is not None:
            metas.append((message.meta, len(message.payload.load())))

    assert metas == [("one", 1000), ("two", ASIDE + 5)]


def test_two_sides_with_megabytes_to_say_do_not_block_each_other(pair) -> None:
    a, b = pair
    big = pack([bytearray(5_000_000)])
    a.sock.settimeout(0)

    answered = threading.Thread(target=lambda: (b.send("mine", big), b.receive()))
    assert a.send("yours", big) is False  # the rest waits in the channel
    answered.start()
    message = None
    while message is None or not a.flush():
        message = message or a.receive()
    answered.join()

    assert message.meta == "mine"


def test_arrays_travel_beside_the_pickle_and_stay_writable(pair) -> None:
    a, b = pair
    array = np.arange(100_000, dtype=np.int64)
    packed = pack([array])
    assert len(packed.pickle) < 1000

    sender = threading.Thread(target=a.send, args=("array", packed))
    sender.start()
    (copy,) = b.receive().payload.load()
    sender.join()

    assert (copy == array).all()
    copy[0] = 7


def test_an_empty_buffer_travels(pair) -> None:
    a, b = pair
    a.send("empty", pack([np.array([]), bytearray()]))

    first, second = b.receive().payload.load()
    assert first.shape == (0,)
    assert second == b""


def test_the_end_of_the_other_side_is_an_end_of_file(pair) -> None:
    a, b = pair
    a.sock.close()
    with pytest.raises(EOFError):
        b.receive()


def test_what_plain_pickle_cannot_do_goes_by_value() -> None:
    offset = 3

    class Local:
        def __init__(self, n: int) -> None:
            self.n = n

    assert pack(lambda n: n + offset).load()(4) == 7
    assert pack([Local(5)]).load()[0].n == 5
    assert isinstance(pack([Local(5)]).load()[0], Local)  # the caller's own class comes back


def test_what_nothing_can_pickle_is_an_error_that_says_what() -> None:
    with pytest.raises(TypeError, match="lock"):
        pack([threading.Lock()])


def test_a_frame_whose_facts_are_torn_makes_no_sense(pair) -> None:
    there, here = pair
    torn = b"\x15" * 20
    there.sock.sendall(HEAD.pack(SIGN, len(torn), 0, 0) + torn)
    with pytest.raises(Garbled):
        here.receive()
