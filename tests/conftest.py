"""What every test gets: the check that nothing is left behind, and ways to meet items that run.

Waiting goes by events. An item that a test wants to hold stands at a `Gate`: it connects to a socket
of the test's, so that the test knows it is there, and goes on when the test says so. That works in
whichever thread or process the item is, and the end of the connection proves the end of a process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import hypothesis
import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]

# A shell that runs us in the background has us ignore Ctrl-C, and so would the programs that we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Seconds that nothing takes, on whatever machine: what has not come by then never comes. A test waits
# no longer for anything that hangs, and pytest's own timeout is longer still.
NEVER = 120.0
hypothesis.settings.register_profile(  # how long an example takes is the machine's doing
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
PATIENCE = 30.0  # seconds that what is ending has to end; usually it has ended already
OURS = f"OUTPACE_TESTED_BY={os.getpid()};"  # in the environment of every process that we start
PROGRAMS = {
    "needs_nginx": ("nginx",),
    "needs_chromium": ("chromedriver",),  # it comes with Chromium (Debian: chromium-driver)
}


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the markers that we add
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = {
        marker: pytest.mark.skip(reason=f"{names[0]} is not on this machine")
        for marker, names in PROGRAMS.items()
        if not any(map(shutil.which, names))
    }
    if any(item.get_closest_marker("needs_fonts") for item in items) and not fonts():
        skip["needs_fonts"] = pytest.mark.skip(reason="there are no fonts on this machine")
    for item in items:
        for marker in skip.keys() & {mark.name for mark in item.iter_markers()}:
            item.add_marker(skip[marker])
        # Of the models with worker processes one stands for all in the fast part.
        if "processes+" in item.name:
            item.add_marker(pytest.mark.slow)
    items.sort(key=begins)


def begins(item: pytest.Item) -> float:
    """Return when a test's turn is: those that may take minutes say so, and begin first.

    At the end one process would be left with them, and the others with nothing to do.
    """
    own = item.get_closest_marker("timeout")
    return -own.args[0] if own else 0


def fonts() -> bool:
    """Say whether a .png has words in it here."""
    with contextlib.suppress(ImportError):
        from outpace.report.png import writes_letters

        return writes_letters()
    return False


# That nothing is left behind.


@pytest.fixture(scope="session", autouse=True)
def private_temp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give us, and whatever we start, a folder for temporary files that nobody else writes to."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv(*OURS.split("="))
        yield folder


@pytest.fixture(autouse=True)
def _nothing_is_left(private_temp: Path) -> Iterator[None]:
    """Fail a test after which a thread, process, descriptor or temporary file is left."""
    before = Left(private_temp)
    yield
    left = before.surplus(private_temp)
    until = time.monotonic() + PATIENCE
    while left and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
        left = before.surplus(private_temp)
    if left:
        pytest.fail("left behind: " + "; ".join(left))


class Left:
    """Be all that a test could leave behind, as it is at one moment."""

    def __init__(self, folder: Path) -> None:
        self.threads = set(threading.enumerate())
        self.descriptors = set(descriptors().items())
        self.files = {str(path) for path in folder.iterdir()}
        self.pids = all_pids()

    def surplus(self, folder: Path) -> list[str]:
        """Say what there is now that there was not then."""
        new = Left(folder)
        return [
            *(f"thread {thread.name}" for thread in new.threads - self.threads),
            *(f"process {pid} ({what})" for pid, what in our_processes(new.pids - self.pids)),
            *(f"descriptor {fd} -> {to}" for fd, to in sorted(new.descriptors - self.descriptors)),
            *(f"file {path}" for path in new.files - self.files),
        ]


def descriptors() -> dict[int, str]:
    """Return our open descriptors and what they lead to, where the system lists them."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return dict.fromkeys(range(psutil.Process().num_fds()), "?")
    found = {}
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            found[int(path.name)] = str(path.readlink())
    return found


def all_pids() -> set[int]:
    """Return the numbers of all processes; without /proc, of our descendants."""
    if Path("/proc/self").exists():
        return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {child.pid for child in psutil.Process().children(recursive=True)}


def our_processes(pids: set[int]) -> Iterator[tuple[int, str]]:
    """Yield those processes that we started, also when their own parent is gone."""
    for pid in pids - {os.getpid()}:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.ppid() == os.getpid() or OURS.encode() in environment(process):
                yield pid, f"{process.status()}: {' '.join(process.cmdline()[-2:])[:80]}"


def environment(process: psutil.Process) -> bytes:
    """Return a process's environment, nothing where it is not for us to read."""
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return b""


# Chance, and how long something takes.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="throw the dice of random tests as that run did")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.seed is None:  # drawn once: xdist hands the options on to its workers
        config.option.seed = random.randrange(10**6)


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers; a test that fails says how they are had again."""
    seed = request.config.option.seed
    request.node.add_report_section("setup", "dice", f"to throw them alike: pytest --seed {seed}")
    return random.Random(f"{seed} {request.node.nodeid}")


Stopwatch: TypeAlias = "Callable[[], Callable[[], float]]"


@pytest.fixture
def stopwatch() -> Stopwatch:
    """Give a function that starts a watch, and returns another that reads it, in seconds.

    The watch stands still while somebody has to wait for a core: how long something takes on a busy
    machine says nothing about us. So an upper bound holds however busy the machine is, and on a quiet
    one it is as sharp as by any clock.
    """

    def start() -> Callable[[], float]:
        began = time.monotonic() - stalled()
        return lambda: time.monotonic() - stalled() - began

    return start


def stalled() -> float:
    """Return for how many seconds somebody has had to wait for a core, where the kernel counts them."""
    with contextlib.suppress(OSError, ValueError):
        some = Path("/proc/pressure/cpu").read_text(encoding="ascii").partition("\n")[0]
        return int(some.partition("total=")[2]) / 1e6
    return 0.0


# Meeting items that run.


class Gate:
    """Be a place where items stop until they are let through, wherever they run."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(NEVER)
        self.address = self._listener.getsockname()
        self.here: list[tuple[str, socket.socket]] = []

    def plain(self) -> Callable[[Any], Any]:
        """Make a plain function whose items stop here; it returns what it is given."""
        address, never = self.address, NEVER

        def stop_at_the_gate(item: Any) -> Any:
            with socket.create_connection(address, timeout=never) as connection:
                connection.sendall(str(item).encode() + b"\n")
                connection.recv(1)
            return item

        return stop_at_the_gate

    def coroutine(self) -> Callable[[Any], Any]:
        """Make a coroutine function whose items stop here."""
        address = self.address

        async def stop_at_the_gate(item: Any) -> Any:
            import asyncio

            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(str(item).encode() + b"\n")
                await reader.read(1)
            finally:
                writer.close()
            return item

        return stop_at_the_gate

    def arrivals(self, count: int) -> list[str]:
        """Wait for that many more items; return them as text."""
        return [self._accept() for _ in range(count)]

    def let_through(self, count: int | None = None) -> None:
        """Let the first items go on: that many, or all that are here."""
        leaving, self.here = self.here[:count], self.here[count:] if count else []
        for _, connection in leaving:
            with contextlib.suppress(OSError), connection:
                connection.sendall(b"!")

    def wait_until_gone(self) -> None:
        """Wait until nobody stands here any more, though nobody was let through."""
        for _, connection in self.here:
            with contextlib.suppress(ConnectionError), connection:
                assert connection.recv(1) == b""
        self.here.clear()

    def close(self) -> None:
        """Let everybody through, now and later."""
        self._listener.close()
        for _, connection in self.here:
            connection.close()

    def _accept(self) -> str:
        connection, _ = self._listener.accept()
        connection.settimeout(NEVER)
        text = b""
        while not text.endswith(b"\n"):
            more = connection.recv(100)
            if not more:
                break
            text += more
        self.here.append((text.decode().strip(), connection))
        return self.here[-1][0]


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Give a place where items stop."""
    made = Gate()
    with contextlib.closing(made):
        yield made


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a function that runs Python source as a program of its own, to its end."""

    def run(
        source: str, *args: str, stdin: bool = False, timeout: float = NEVER, **env: str
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(source, encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-" if stdin else str(script), *args],
            input=source if stdin else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=tmp_path,
            env=program_environment() | env,
        )

    return run


def program_environment() -> dict[str, str]:
    """Return an environment in which a program finds this outpace."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "default"}
