"""The pages server keeps what its file promises, over real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from outpace.errors import OutpaceError
from outpace.experiments import server
from outpace.experiments.answers import SIZES, html

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET /page/%d HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 30.0  # seconds before a wait that should not be is called a failure


class Wire:
    """Be one connection to the server, seen byte by byte."""

    def __init__(self, base: str) -> None:
        host, _, port = base.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.received = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.received.close()
        self.socket.close()

    def ask(self, request: bytes) -> None:
        """Send bytes, whatever they are."""
        self.socket.sendall(request)

    def answer(self, *, whole: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, header fields, body (none when not `whole`)."""
        status = int(self.received.readline().split()[1])
        fields = {}
        while (line := self.received.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        return status, fields, self.received.read(int(fields["content-length"]) * whole)

    def has_ended(self) -> bool:
        """Wait for the other side to hang up; False when it says something instead."""
        try:
            return self.received.read(1) == b""
        except ConnectionError:
            return True


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """Run one server without latency for all tests that do not need their own."""
    with server.running(latency=0.0) as url:
        yield url


@pytest.fixture
def wire(base: str) -> Iterator[Wire]:
    """Connect to that server."""
    with Wire(base) as wire:
        yield wire


# What it serves.


def test_pages_alternate_between_two_exact_sizes(wire: Wire) -> None:
    sizes = []
    for n in range(6):
        wire.ask(GET % n)
        status, fields, body = wire.answer()
        assert (status, fields["content-type"]) == (200, "text/html; charset=utf-8")
        sizes.append(len(body))
    assert sizes == [18_547, 32_524] * 3


def test_a_page_is_the_same_at_every_visit(wire: Wire) -> None:
    for n in (0, 2, 160):
        wire.ask(GET % n)
        assert wire.answer()[2] == html(SIZES[0])


def test_head_tells_the_length_and_sends_no_body(wire: Wire) -> None:
    wire.ask(b"HEAD /page/1 HTTP/1.1\r\n\r\n" + GET % 0)
    assert wire.answer(whole=False)[1]["content-length"] == str(SIZES[1])
    assert len(wire.answer()[2]) == SIZES[0]


@pytest.mark.parametrize("path", [b"/", b"/page/", b"/page/x", b"/page/-1", b"/page/1/2", b"*"])
def test_an_unknown_path_is_404_and_the_connection_goes_on(wire: Wire, path: bytes) -> None:
    wire.ask(b"GET %b HTTP/1.1\r\n\r\n" % path + GET % 0)
    assert wire.answer()[0] == 404
    assert wire.answer()[0] == 200


@pytest.mark.parametrize("path", [b"/page/1?again=2", b"http://127.0.0.1:80/page/1"])
def test_a_query_or_an_absolute_form_changes_nothing(wire: Wire, path: bytes) -> None:
    wire.ask(b"GET %b HTTP/1.1\r\n\r\n" % path)
    assert len(wire.answer()[2]) == SIZES[1]


# When it hangs up.


def test_a_connection_is_used_again(wire: Wire) -> None:
    for n in range(50):
        wire.ask(GET % n)
        assert wire.answer()[1]["connection"] == "keep-alive"


@pytest.mark.parametrize("end", [b"1\r\nHost: x\r\nCONNECTION: foo, Close", b"0\r\nHost: x"])
def test_it_hangs_up_when_asked_to(wire: Wire, end: bytes) -> None:
    wire.ask(b"GET /page/0 HTTP/1.%b\r\n\r\n" % end + GET % 1)
    _, fields, body = wire.answer()
    assert (fields["connection"], len(body)) == ("close", SIZES[0])
    assert wire.has_ended()


def test_an_old_client_that_asks_for_it_keeps_its_connection(wire: Wire) -> None:
    wire.ask(b"GET /page/0 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + GET % 1)
    assert wire.answer()[1]["connection"] == "keep-alive"
    assert wire.answer()[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"hello", 400),
        (b"GET /page/0\r\n\r\n", 400),
        (b"GET  /page/0 HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (bytes(range(256)) * 8, 400),
        (b"GET /page/0 HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"POST /page/0 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", 405),
    ],
)
def test_a_bad_request_is_refused_and_the_others_are_served(
    base: str, wire: Wire, request_: bytes, status: int
) -> None:
    with Wire(base) as bad:
        bad.ask(request_)
        refused, fields, _ = bad.answer()
        assert (refused, fields["connection"]) == (status, "close")
        assert bad.has_ended()
    wire.ask(GET % 0)
    assert wire.answer()[0] == 200


def test_a_client_that_has_said_its_last_word_still_gets_its_answers() -> None:
    with server.running(latency=0.05) as base, Wire(base) as wire:
        wire.ask(GET % 0 + GET % 1)
        wire.socket.shutdown(socket.SHUT_WR)
        assert [len(wire.answer()[2]), len(wire.answer()[2])] == [*SIZES]
        assert wire.has_ended()


# Many clients at once.


def test_fifty_clients_of_a_slow_server_do_not_wait_for_each_other(stopwatch) -> None:
    with server.running(latency=0.2) as base, ExitStack() as stack:
        wires = [stack.enter_context(Wire(base)) for _ in range(50)]
        start, seconds = time.monotonic(), stopwatch()
        for wire in wires:
            wire.ask(GET % 0)
        assert {wire.answer()[0] for wire in wires} == {200}
        assert time.monotonic() - start >= 0.2
        assert seconds() < 50 * 0.2 / 2


def test_two_thousand_connections_are_served_at_the_same_time(base: str) -> None:
    resource = pytest.importorskip("resource", reason="no file limit to raise here")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 5_000:  # a file and a socket for each connection
        if hard != resource.RLIM_INFINITY and hard < 5_000:
            pytest.skip(f"this machine allows {hard} open files, 5,000 are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (5_000, hard))
    try:
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(base)) for _ in range(2_000)]
            for n, wire in enumerate(wires):
                wire.ask(GET % n)
            assert [len(wire.answer()[2]) for wire in wires] == [*SIZES] * 1_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pages_come_from_every_address_that_the_machine_has(base: str) -> None:
    urls = server.urls(base, 160)
    assert len(set(urls)) == 160
    hosts = {url.rpartition("/page/")[0] for url in urls}
    assert len(hosts) == len(server.sites())
    for host in hosts:
        with Wire(host) as wire:
            wire.ask(GET % 0)
            assert wire.answer()[0] == 200


# Its life.


def run_python(*arguments: str) -> subprocess.Popen[str]:
    """Run this Python, with what is imported here also importable there."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command, pipe = [sys.executable, *arguments], subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )


def test_by_hand_it_prints_one_line_and_ends_with_its_stdin() -> None:
    with run_python("-m", "outpace.experiments.server", "--latency", "0.01") as process:
        assert process.stdout is not None
        with Wire(process.stdout.readline().strip()) as wire:
            wire.ask(GET % 0)
            assert wire.answer()[0] == 200
            output, errors = process.communicate(timeout=PATIENCE)  # closes its stdin
            assert wire.has_ended()
    assert (output, errors, process.returncode) == ("", "", 0)


def test_nothing_is_left_when_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.delenv("no_proxy", raising=False)
    before = descriptors()
    with suppress(KeyboardInterrupt), server.running(latency=5.0) as base:
        with Wire(base) as wire:
            wire.ask(GET % 0)
        assert descriptors() > before
        raise KeyboardInterrupt
    assert descriptors() == before
    assert [process.returncode is None for process in started] == [False]
    assert "no_proxy" not in os.environ
    with pytest.raises(ConnectionRefusedError):
        Wire(base)


def descriptors() -> int:
    """Count the open files of this process."""
    listing = Path("/dev/fd")
    if not listing.is_dir():
        pytest.skip("this system does not list a process's open files")
    return len(list(listing.iterdir()))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_the_server_goes_when_its_parent_is_killed() -> None:
    code = (
        "from outpace.experiments.server import running\n"
        "with running(latency=0.0) as base: print(base, flush=True); input()"
    )
    with run_python("-c", code) as parent:
        assert parent.stdout is not None
        with Wire(parent.stdout.readline().strip()) as wire:
            wire.ask(GET % 0)
            assert wire.answer()[0] == 200
            parent.kill()
            assert wire.has_ended()


def test_a_server_that_cannot_start_says_why_in_one_line(base: str) -> None:
    taken = base.rpartition(":")[2]
    with run_python("-m", "outpace.experiments.server", "--port", taken) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.startswith(f"cannot listen on port {taken}: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("latency", [-1.0, float("nan"), float("inf")])
def test_a_latency_that_cannot_be_is_an_error(latency: float) -> None:
    before = descriptors()
    with pytest.raises(OutpaceError, match="--latency must be"), server.running(latency):
        pytest.fail("it started")
    assert descriptors() == before
