"""A server that does everything to a client that a server can do, one path for each.

An asyncio loop in a thread of the test's; it notes every request, so that a test can count them. Paths
are methods of `Site`; what none is, is a small page.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gzip
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pycurl", reason="fetch needs pycurl")

if TYPE_CHECKING:
    from collections.abc import Iterator

PEM = Path(__file__).with_name("self_signed.pem")
BOMB = gzip.compress(bytes(20_000_000), 9)
RST = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: closing resets


class Site:
    """Answer requests, each path in its own bad way."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.port = 0
        self.tls_port = 0
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.held = threading.Event()  # set: /held and what stalls go on
        self.storm_date = False  # whether they are told a date
        self.storm = 0  # requests of /storm that are still refused
        self.etag = '"one"'
        self.robots = "User-agent: *\nDisallow: /private\n"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        plain = socket.create_server(("0.0.0.0", 0), backlog=512)
        tls = socket.create_server(("127.0.0.1", 0))
        self.port, self.tls_port = plain.getsockname()[1], tls.getsockname()[1]
        loop.set_exception_handler(lambda *_: None)  # the clients of a bad server hang up
        for sock, with_ssl in ((plain, None), (tls, context)):
            made = asyncio.start_server(self._serve, sock=sock, ssl=with_ssl, backlog=512)
            self._servers.append(loop.run_until_complete(made))
        self._ready.set()
        loop.run_forever()
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.readexactly(1)
        if not first.isalpha():  # it is for a secure server
            return await self.page(writer, b"", "400 Bad Request") and False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip().split("\r\n")
        path = line.split(" ")[1].lstrip("/")
        self.asked.append((path, dict(field.split(": ", 1) for field in fields)))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        name = path.partition("?")[0].partition("/")[0].replace("-", "_").replace(".", "_")
        try:
            method = getattr(self, f"do_{name}", None)
            if method is None:
                await self.page(writer, f"<p>{path}</p>".encode())
                return True
            return bool(await method(writer))
        finally:
            self._at_once -= 1

    async def page(
        self, writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", fields: str = ""
    ) -> bool:
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}{fields}\r\n".encode() + body)
        await writer.drain()
        return True

    async def raw(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0)  # `drain` lets nobody else have a turn while the client reads

    async def stay(self) -> None:
        while not self.held.is_set():  # noqa: ASYNC110 - it is set by another thread
            await asyncio.sleep(0.01)

    async def reset(self, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)  # so that what was written is read before the reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)

    # What is wrong with a length.

    async def do_short(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")

    async def do_negative(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n0123456789")

    async def do_bad_chunk(self, writer):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await self.raw(writer, head + b"5\r\nhello\r\nxyz\r\n")
        await self.stay()

    async def do_cut_chunk(self, writer):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await self.raw(writer, head + b"5\r\nhello\r\n50\r\nhello")

    # What stalls.

    async def do_silent(self, writer):
        await self.stay()

    async def do_stall(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
        await self.stay()

    async def do_drip(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.held.is_set():
            await self.raw(writer, b"x")
            await asyncio.sleep(0.01)

    async def do_held(self, writer):
        await self.stay()
        return await self.page(writer, b"at last")

    # What is cut.

    async def do_hang_up(self, writer):
        return False

    async def do_reset_request(self, writer):
        await self.reset(writer)

    async def do_reset_head(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Le")
        await self.reset(writer)

    async def do_reset_body(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
        await self.reset(writer)

    # What has no end.

    async def do_endless_head(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\n")
        while True:
            await self.raw(writer, b"X-More: " + b"x" * 1000 + b"\r\n")

    async def do_endless_body(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await self.raw(writer, b"x" * 65_536)

    async def do_huge(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await self.stay()

    async def do_bomb(self, writer):
        return await self.page(writer, BOMB, fields="Content-Encoding: gzip\r\n")

    async def do_zstd_bomb(self, writer):
        frame = bytes.fromhex("28b52ffd00") + b"\x48"  # a frame of run-length blocks of 128 kB each
        bomb = frame + (bytes.fromhex("020010") + b"\0") * 2000 + bytes.fromhex("010000")
        return await self.page(writer, bomb, fields="Content-Encoding: zstd\r\n")

    async def do_bad_gzip(self, writer):
        return await self.page(writer, b"not gzip at all", fields="Content-Encoding: gzip\r\n")

    async def do_gzipped(self, writer):
        body = gzip.compress(b"<p>it was small</p>" * 100)
        return await self.page(writer, body, fields="Content-Encoding: gzip\r\n")

    async def do_chunked(self, writer):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n"
        await self.raw(writer, head + b"5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n")
        return True

    async def do_large(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            await self.raw(writer, b"0123456789" * 10_000)
        return True

    # What leads elsewhere.

    async def do_loop(self, writer):
        return await self.page(writer, b"", "302 Found", "Location: /loop\r\n")

    async def do_to_file(self, writer):
        return await self.page(writer, b"", "302 Found", "Location: file:///etc/passwd\r\n")

    async def do_to_ftp(self, writer):
        return await self.page(writer, b"", "302 Found", "Location: ftp://127.0.0.1/x\r\n")

    async def do_to_second(self, writer):
        where = f"Location: http://127.0.0.2:{self.port}/secret\r\n"
        return await self.page(writer, b"", "302 Found", where)

    async def do_moved(self, writer):
        return await self.page(writer, b"", "301 Moved Permanently", "Location: /new\r\n")

    # What heads are like.

    async def do_trailers(self, writer):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        await self.raw(writer, head + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
        return True

    async def do_hints(self, writer):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        await self.raw(writer, hints + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        return True

    async def do_bare_lines(self, writer):
        await self.raw(writer, b"HTTP/1.1 200 OK\nContent-Length: 5\nX-Y: z\n\nhello")
        return True

    # What is no text.

    async def do_to_bytes(self, writer):
        where = b"Location: /caf\xe9-\xff?\x01\r\n"
        await self.raw(writer, b"HTTP/1.1 302 Found\r\n" + where + b"Content-Length: 0\r\n\r\n")
        return True

    async def do_to_scheme(self, writer):
        where = b"Location: \xff\xfe://x/\r\n"
        await self.raw(writer, b"HTTP/1.1 302 Found\r\n" + where + b"Content-Length: 0\r\n\r\n")
        return True

    async def do_byte_type(self, writer):
        head = b"HTTP/1.1 200 \xff\xfe\r\nContent-Type: text/\xff\x1b[31m\r\nETag: \xe9\r\n"
        await self.raw(writer, head + b"X-\xff: \xff\r\nContent-Length: 2\r\n\r\nok")
        return True

    # What is no HTTP.

    async def do_not_http(self, writer):
        await self.raw(writer, b"SSH-2.0-OpenSSH_9.2p1\r\n" * 20)

    async def do_http9(self, writer):
        await self.raw(writer, b"<html>an answer without a head</html>")

    # What says no.

    async def do_missing(self, writer):
        return await self.page(writer, b"<p>not here</p>", "404 Not Found")

    async def do_broken(self, writer):
        return await self.page(writer, b"<p>sorry</p>", "500 Internal Server Error")

    async def do_storm(self, writer):
        if self.storm > 0:
            self.storm -= 1
            wait = "Retry-After: 1\r\n"
            if self.storm_date:
                when = email.utils.formatdate(time.time() + 2, usegmt=True)
                wait = f"Retry-After: {when}\r\n"
            return await self.page(writer, b"", "429 Too Many Requests", wait)
        return await self.page(writer, b"calm")

    async def do_far_storm(self, writer):
        wait = "Retry-After: 86400\r\n"
        return await self.page(writer, b"", "503 Service Unavailable", wait)

    # What changes, and what is forbidden.

    async def do_tagged(self, writer):
        if self.asked[-1][1].get("If-None-Match") == self.etag:
            await self.raw(
                writer, f"HTTP/1.1 304 Not Modified\r\nETag: {self.etag}\r\n\r\n".encode()
            )
            return True
        return await self.page(writer, self.etag.encode(), fields=f"ETag: {self.etag}\r\n")

    async def do_robots_txt(self, writer):
        if self.robots == "endless":
            await self.raw(writer, b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /private\n")
            while True:
                await self.raw(writer, b"#" * 1000 + b"\n")
        if not self.robots:
            return await self.page(writer, b"", "404 Not Found")
        return await self.page(writer, self.robots.encode())


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy of this machine stand between a test and its server."""
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    """Run the hostile server for one test."""
    made = Site()
    made.start()
    with contextlib.ExitStack() as stack:
        stack.callback(made.stop)
        yield made
        made.held.set()
