"""Serve two HTML pages over HTTP/1.1 on loopback, after a settable latency: the far end of `pages`.

It stands for many distant sites, yet it shares its processors with the clients that are measured:
so it does little, about 40 µs of CPU a page where an aiohttp client takes 200 and requests 400.
What it promises, each with its test in test_server.py or test_connection.py:

* pages of 18,547 and 32,524 bytes alternate (`test_pages_alternate_between_two_exact_sizes`);
* no answer leaves earlier than `latency` seconds after its request was read, nor before that of an
  earlier request (`test_no_answer_leaves_before_its_latency_has_passed`,
  `test_pipelined_requests_are_answered_in_order`);
* it never outlives the process that started it (`test_the_server_goes_when_its_parent_is_killed`).

It refuses to listen on anything but loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NoReturn, Protocol, cast

from outpace.errors import OutpaceError
from outpace.experiments.answers import BAD_REQUEST, refuse, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SITES: Final = tuple(f"127.0.0.{n}" for n in range(1, 9))  # as many of them as `sites` finds
BACKLOG: Final = 4_096  # connections waiting to be accepted; also Linux's own upper bound
OPEN_FILES: Final = (65_536, 10_240)  # open files to ask for, the second being macOS's upper bound
START_SECONDS: Final = 20.0  # a server starts in about 0.2; this only ends a wait for nothing


class Clock(Protocol):
    """The part of an event loop that a latency needs; tests have one in virtual time."""

    def time(self) -> float:
        """Tell the time in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        """Call `callback` at the time `when`."""
        ...


class Latency:
    """The queue of answers, each of which is sent `latency` seconds after its request.

    One latency for all means that answers fall due in the order in which requests were read: a
    queue and one timer do, where a timer for each request would cost more and may change the order.
    """

    def __init__(self, latency: float, clock: Clock) -> None:
        """Start with nothing held back."""
        self._latency = latency
        self._clock = clock
        self._held: deque[tuple[float, Connection, bytes, bool]] = deque()  # the earliest first

    def send(self, connection: Connection, response: bytes, *, last: bool) -> None:
        """Send `response` to `connection` when its time has come."""
        if not self._latency:
            connection.send(response, last=last)
            return
        due = self._clock.time() + self._latency
        self._held.append((due, connection, response, last))
        if len(self._held) == 1:
            self._clock.call_at(due, self._release)

    def _release(self) -> None:
        now = self._clock.time()
        while self._held and self._held[0][0] <= now:
            _, connection, response, last = self._held.popleft()
            connection.send(response, last=last)
        if self._held:
            self._clock.call_at(self._held[0][0], self._release)


class Connection(asyncio.Protocol):
    """One client: its requests are read, and the answers sent to it in the same order."""

    _transport: asyncio.Transport

    def __init__(self, latency: Latency) -> None:
        """Start with nothing read; `latency` is shared by all connections."""
        self._latency = latency
        self._unread = b""
        self._unanswered = 0
        self._last_read = False  # after its last request, whatever a client sends is dropped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send small answers at once: asyncio does it only for the sockets it made itself."""
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is now complete; keep the rest for the next call."""
        unread = self._unread + data
        start = 0
        while not self._last_read and (end := unread.find(b"\r\n\r\n", start)) >= 0:
            response, last = respond(unread[start:end])
            self._answer(response, last=last)
            start = end + 4
        self._unread = unread[start:]
        if self._unread and not self._last_read and (refusal := refuse(self._unread)):
            self._answer(refusal, last=True)
        if self._last_read:
            self._unread = b""

    def eof_received(self) -> bool:
        """Send what is still owed to a client that has said its last word, then hang up."""
        if self._unread:
            self._answer(BAD_REQUEST, last=True)
        self._last_read = True
        return self._unanswered > 0

    def pause_writing(self) -> None:
        """Read no more requests from a client that does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def send(self, response: bytes, *, last: bool) -> None:
        """Send one answer now, and hang up after the last; `Latency` calls this."""
        self._unanswered -= 1
        if self._transport.is_closing():
            return
        self._transport.write(response)
        if last or (self._last_read and not self._unanswered):
            self._transport.close()

    def _answer(self, response: bytes, *, last: bool) -> None:
        self._last_read = last
        self._unanswered += 1
        self._latency.send(self, response, last=last)


def sites() -> list[str]:
    """List the loopback addresses that this machine has: several on Linux, one on macOS."""
    return [site for site in SITES if _is_ours(site)]


def urls(base: str, pages: int) -> list[str]:
    """List the URLs of `pages` pages of the server at `base`, spread over all its addresses."""
    port = base.rpartition(":")[2]
    hosts = sites()
    return [f"http://{hosts[n % len(hosts)]}:{port}/page/{n}" for n in range(pages)]


@contextmanager
def running(latency: float) -> Iterator[str]:
    """Run a server in a process of its own; yield its base URL, like `http://127.0.0.1:43210`.

    `latency` in seconds. Inside the block proxies are not used for loopback. At its end, neither a
    process nor a descriptor is left. Raises `OutpaceError` when the server cannot start.
    """
    command = [sys.executable, "-P", "-m", "outpace.experiments.server", f"--latency={latency}"]
    with ExitStack() as stack:
        stderr = stack.enter_context(tempfile.TemporaryFile())
        server = stack.enter_context(
            subprocess.Popen(  # noqa: S603 - every word of the command is ours
                command,
                stdin=subprocess.PIPE,  # never written: it is there to end when we do
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | {"PYTHONPATH": _python_path()},
                start_new_session=True,  # Ctrl-C is for us: we end it when we are done
            )
        )
        stack.callback(server.kill)
        stack.enter_context(_no_proxy())
        yield _base_url(server) or _raise_why(stderr)


def main() -> None:
    """Serve until stdin ends; print the base URL on a line of its own when ready."""
    parser = argparse.ArgumentParser(prog="outpace.experiments.server", description=main.__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any that is free")
    options = parser.parse_args()
    if not 0 <= options.latency < float("inf"):
        parser.error(f"--latency must be a number of seconds, 0 or more, not {options.latency}")
    _allow_many_files()
    try:
        listeners = _listen(options.port)
    except (OSError, OverflowError) as error:
        raise SystemExit(f"cannot listen on port {options.port}: {error}") from None
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(listeners, options.latency), debug=False)


async def _serve(listeners: list[socket.socket], latency: float) -> None:
    loop = asyncio.get_running_loop()
    held = Latency(latency, loop)
    for listener in listeners:
        await loop.create_server(lambda: Connection(held), sock=listener, backlog=BACKLOG)
    host, port = listeners[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await loop.create_future()  # for ever: the end of stdin is the end of the process


def _listen(port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    for site in sites():
        listeners.append(socket.create_server((site, port), backlog=BACKLOG))
        port = listeners[0].getsockname()[1]  # chosen for the first, the same for all
    return listeners


def _is_ours(site: str) -> bool:
    # By binding: a connection to an address that macOS does not have would wait for its timeout.
    with socket.socket() as probe:
        try:
            probe.bind((site, 0))
        except OSError:
            return False
        return True


def _allow_many_files() -> None:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:  # where there is no such limit either
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in OPEN_FILES:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
            return


def _exit_with_stdin() -> None:
    with suppress(OSError):
        while os.read(0, 1_024):
            pass
    os._exit(0)  # at once: nothing of a server's is worth finishing


def _base_url(server: subprocess.Popen[bytes]) -> str:
    timer = threading.Timer(START_SECONDS, server.kill)
    timer.start()
    try:
        return cast("IO[bytes]", server.stdout).readline().decode().strip()
    finally:
        timer.cancel()
        timer.join()


def _raise_why(stderr: IO[bytes]) -> NoReturn:
    stderr.seek(0)
    said = stderr.read().decode(errors="replace").strip().splitlines()
    why = said[-1] if said else f"it said nothing, and had {START_SECONDS:.0f} s"
    raise OutpaceError(f"the pages server did not start on loopback: {why}")


def _python_path() -> str:
    root = str(Path(__file__).parents[2])  # also where outpace is run from its source tree
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))


@contextmanager
def _no_proxy() -> Iterator[None]:
    # `requests` obeys http_proxy even for loopback; aiohttp only when it is asked to.
    before = os.environ.get("no_proxy")
    others = before or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, (others, "127.0.0.0/8")))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("no_proxy", None)
        else:
            os.environ["no_proxy"] = before


if __name__ == "__main__":
    main()
