"""Coroutines that block their loop in seven ways, and two that do not. The marked lines are found."""

# ruff: noqa: ASYNC210, ASYNC221, ASYNC251, E701, PLW1510 - that is what they are for
# fmt: off

import asyncio
import ctypes
import functools
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MILLISECONDS = 150
SECONDS = MILLISECONDS / 1000
LOCK = threading.Lock()


def line_of(name: str) -> int:
    """Return the line that ends with a mark."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# here: {name}"))


class Slow(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        time.sleep(SECONDS)
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")


@contextmanager
def slow_server() -> Iterator[str]:
    """Serve a page that takes its time, and give its address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@functools.cache
def keeping_gil() -> ctypes.PyDLL:
    return ctypes.PyDLL(None)


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(500))


async def sleeps(_: str) -> None:
    await asyncio.sleep(0.01)
    time.sleep(SECONDS)  # here: sleeps


async def sleeps_long(_: str) -> None:
    time.sleep(1.0)  # here: sleeps_long


async def downloads(url: str) -> None:
    await asyncio.sleep(0.01)
    urllib.request.urlopen(url).read()  # here: downloads


async def computes(_: str) -> None:
    await asyncio.sleep(0.01)
    until = time.thread_time() + SECONDS
    while time.thread_time() < until: sum(range(500))  # here: computes


async def keeps_gil(_: str) -> None:
    await asyncio.sleep(0.01)
    keeping_gil().usleep(MILLISECONDS * 1000)  # here: keeps_gil


async def sorts(_: str) -> None:
    await asyncio.sleep(0.01)
    sorted(range(3_000_000), key=int.__neg__)  # here: sorts


async def runs_program(_: str) -> None:
    await asyncio.sleep(0.01)
    subprocess.run([sys.executable, "-Sc", f"import time; time.sleep({SECONDS})"])  # here: runs_program


async def locks(_: str) -> None:
    await asyncio.sleep(0.01)
    LOCK.acquire()
    threading.Timer(SECONDS, LOCK.release).start()
    with LOCK: pass  # here: locks


async def is_fine(_: str) -> None:
    for _ in range(30):
        await asyncio.sleep(0.005)


async def is_busy(_: str) -> None:
    for _ in range(150):
        spin(0.001)
        await asyncio.sleep(0)


async def has_a_task_that_blocks(url: str) -> None:
    await asyncio.gather(sleeps(url), is_fine(url))
