"""Messages are the same on both sides of a socket, whatever is in them."""

from __future__ import annotations

import socket
import threading
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from outpace.errors import TransferError
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.signals import Recalled
from outpace.hosts.channel.codec import KINDS, decode, encode, unreadable
from outpace.hosts.channel.framing import Channel, Frame, Packed
from outpace.hosts.channel.messages import (
    Bye,
    Cancel,
    Done,
    Failed,
    Hello,
    Locate,
    Logged,
    Over,
    Ping,
    Pong,
    Printed,
    Ready,
    Recall,
    Surroundings,
    Unreadable,
    Unsendable,
    Warned,
    Work,
)
from outpace.hosts.worker.caller import SocketCaller

if TYPE_CHECKING:
    from collections.abc import Iterator

SURROUNDINGS = Surroundings(3, ["a"], ["/b"], ["/c"], ["d"], None, b"e", {}, 1, 2, None, weigh=True)
REPORT = Report(range(4, 6), ["x", None], array("d", [1.0, 2.0]), array("d", [2.0, 3.0]))
MESSAGES = [
    Work(Chunk(7, [1, "two"], attempt=3, divisible=True)),
    Done(REPORT, 12),
    Returned(range(3, 5)),
    *(Ping(), Pong(), Cancel(7), Locate(), Recall(), Over()),
    Ready(1.5, 7),
    Hello(SURROUNDINGS, Packed(b"job", [])),
    Bye(1.0, 5),
    Printed("stderr", "text"),
    Logged("name", {"msg": "text"}),
    Warned("text", ("builtins", "UserWarning"), "file.py", 3),
]


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_it_arrives_as_it_was_sent(message: Any, pair: tuple[Channel, Channel]) -> None:
    pair[0].send(*encode(message))
    frame = pair[1].receive()
    assert frame is not None
    if isinstance(message, Hello):  # its job stays packed
        assert decode(frame).surroundings == message.surroundings  # type: ignore[union-attr]
    else:
        assert decode(frame) == message


def test_every_kind_of_message_is_among_these_but_those_that_hold_an_exception() -> None:
    assert {*map(type, MESSAGES), Unreadable, Failed} == set(KINDS)


def there_and_back(message: Any) -> Any:
    meta, payload = encode(message)
    return decode(Frame(meta, payload))


def test_exceptions_come_along() -> None:
    found = there_and_back(Unreadable(3, KeyError("x"), "trace"))
    assert (found.first, found.error.args, found.text) == (3, ("x",), "trace")
    found = there_and_back(Failed(ValueError("y"), "text", "trace", in_setup=True))
    assert (found.error.args, found.text, found.trace, found.in_setup) == (
        *(("y",), "text", "trace", True),
    )
    assert there_and_back(Bye(1.0, 2, OSError("z"))).error.args == ("z",)


def test_items_that_cannot_travel_are_unsendable_and_say_why() -> None:
    with pytest.raises(Unsendable) as raised:
        encode(Work(Chunk(0, [threading.Lock()])))
    assert isinstance(raised.value.why, TypeError)


class Stubborn:
    """Be a value that can be sent and not read."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


def test_items_that_cannot_be_read_raise_and_are_named() -> None:
    frame = Frame(*encode(Work(Chunk(5, [Stubborn()]))))
    with pytest.raises(ValueError, match="not a number") as raised:
        decode(frame)
    assert unreadable(frame, raised.value).first == 5


def test_a_value_that_cannot_travel_costs_itself() -> None:
    times = array("d", [0.0, 0.0, 0.0])
    values = [1, threading.Lock(), Stubborn()]
    failed = {0: Failure(ValueError("was before"))}
    found = there_and_back(Done(Report(range(3), values, times, times, failed))).report
    assert found.values == [1, None, None]
    assert [type(found.failures[n].error) for n in range(3)] == [
        *(ValueError, TransferError, TransferError),
    ]


class Recalls:
    """A value that is being read when the caller ends the worker."""

    def __reduce__(self) -> Any:
        return _recall, ()


def _recall() -> None:
    raise Recalled


def test_a_worker_that_is_ended_while_it_reads_says_nothing_of_what_it_read(
    pair: tuple[Channel, Channel],
) -> None:
    caller = SocketCaller(pair[1])
    with pytest.raises(Recalled):
        caller.unpack(Frame(*encode(Work(Chunk(5, [Recalls()])))))
    caller.send(Pong())
    frame = pair[0].receive()
    assert frame is not None
    assert decode(frame) == Pong()
