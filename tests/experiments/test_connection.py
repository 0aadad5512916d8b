"""What the pages server answers, in which order and when: in virtual time, so exactly."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from outpace.experiments import server
from outpace.experiments.answers import BAD_REQUEST, SIZES, html, respond

if TYPE_CHECKING:
    from collections.abc import Callable

GET = b"GET /page/%d HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("size", [*SIZES, 2_000, 2_999, 10_000])
def test_a_page_is_html_of_exactly_its_size(size: int) -> None:
    page = html(size)
    assert len(page) == size
    assert page.startswith(b"<!DOCTYPE html>")
    assert page.endswith(b"</html>\n")
    assert page.count(b"<p>") == page.count(b"</p>")


class Clock:
    """Be the time of a loop that passes only when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> None:
        self.calls.append((when, callback))

    def advance_to(self, now: float) -> None:
        self.now = now
        while due := [call for call in self.calls if call[0] <= now]:
            self.calls.remove(due[0])
            due[0][1]()


class Transport(asyncio.Transport):
    """Be a transport that only remembers what was written."""

    def __init__(self) -> None:
        super().__init__({"socket": socket.socket()})
        self.written = b""
        self.closed = False
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def connected(latency: server.Latency) -> tuple[server.Connection, Transport]:
    """Connect to a server of which only the decisions are real."""
    connection, transport = server.Connection(latency), Transport()
    connection.connection_made(transport)
    transport.get_extra_info("socket").close()
    return connection, transport


def page(n: int) -> bytes:
    """Say what the answer to `GET % n` is."""
    return respond(GET % n)[0]


def test_no_answer_leaves_before_its_latency_has_passed() -> None:
    clock = Clock()
    connection, transport = connected(server.Latency(0.5, clock))
    connection.data_received(GET % 0)
    clock.advance_to(0.25)
    connection.data_received(GET % 1)
    clock.advance_to(0.49)
    assert transport.written == b""
    clock.advance_to(0.5)
    assert transport.written == page(0)
    clock.advance_to(0.75)
    assert transport.written == page(0) + page(1)
    assert not clock.calls


def test_latency_counts_from_the_end_of_the_request() -> None:
    clock = Clock()
    connection, transport = connected(server.Latency(0.5, clock))
    connection.data_received((GET % 0)[:-1])
    clock.advance_to(0.4)
    connection.data_received((GET % 0)[-1:])
    clock.advance_to(0.89)
    assert transport.written == b""
    clock.advance_to(0.9)
    assert transport.written == page(0)


def test_fifty_requests_wait_side_by_side() -> None:
    clock = Clock()
    latency = server.Latency(0.2, clock)
    clients = [connected(latency) for _ in range(50)]
    for n, (connection, _) in enumerate(clients):
        connection.data_received(GET % n)
    assert len(clock.calls) == 1  # one timer for all
    clock.advance_to(0.2)
    assert [transport.written for _, transport in clients] == [page(n) for n in range(50)]


def test_a_client_that_left_is_not_answered_and_the_next_is() -> None:
    clock = Clock()
    latency = server.Latency(0.2, clock)
    (first, left), (second, stayed) = connected(latency), connected(latency)
    first.data_received(GET % 0)
    second.data_received(GET % 1)
    left.close()
    clock.advance_to(0.2)
    assert (left.written, stayed.written) == (b"", page(1))


@pytest.mark.parametrize("latency", [0.0, 0.2])
@pytest.mark.parametrize("piece", [1, 7, 36, 1_000])
def test_pipelined_requests_are_answered_in_order(latency: float, piece: int) -> None:
    clock = Clock()
    connection, transport = connected(server.Latency(latency, clock))
    requests = (
        b"\r\n" + GET % 0 + b"GET /lost HTTP/1.1\r\n\r\n" + GET % 1 + b"what?\r\n\r\n" + GET % 2
    )
    for start in range(0, len(requests), piece):
        connection.data_received(requests[start : start + piece])
    clock.advance_to(latency)
    lost = respond(b"GET /lost HTTP/1.1")[0]
    assert transport.written == page(0) + lost + page(1) + BAD_REQUEST
    assert transport.closed


def test_a_client_that_does_not_read_its_answers_is_not_read_either() -> None:
    connection, transport = connected(server.Latency(0.0, Clock()))
    connection.pause_writing()
    assert not transport.reading
    connection.resume_writing()
    assert transport.reading


def test_small_answers_are_sent_without_delay() -> None:
    async def no_delay() -> int:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[server.Connection] = loop.create_future()

        class Connection(server.Connection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                made.set_result(self)

        listener = socket.create_server(("127.0.0.1", 0))
        served = await loop.create_server(
            lambda: Connection(server.Latency(0.0, loop)), sock=listener
        )
        with socket.create_connection(listener.getsockname()):
            transport = (await made)._transport
            accepted = transport.get_extra_info("socket")
            option = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            transport.close()
            served.close()
            await served.wait_closed()
        return int(option)

    assert asyncio.run(no_delay()) != 0


def test_where_loopback_is_one_address_all_pages_come_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "SITES", ("127.0.0.1", "192.0.2.1"))  # the second is nobody's
    expected = ["http://127.0.0.1:80/page/0", "http://127.0.0.1:80/page/1"]
    assert server.urls("http://127.0.0.1:80", 2) == expected
