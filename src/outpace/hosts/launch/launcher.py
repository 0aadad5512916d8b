"""How a worker process comes to be: forked from a clean template, or started on its own.

Either way it is an interpreter of ours that never imports the caller's `__main__`. The template
(`forkserver`) is one single-threaded process with the imports already done, from which a worker is a
fork of a few milliseconds; it watches its workers, reports their deaths, and kills them all when this
process goes away, however it goes. Where forking is not safe (macOS, whose system libraries forbid it,
and Windows) every worker is started as a new interpreter: the `spawn` launcher, which Linux can use
too (OUTPACE_START=spawn) so that it is tested there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from outpace.errors import UsageError, WorkerStartError
from outpace.hosts.channel.messages import Died, Refused
from outpace.hosts.channel.sockets import pair, pairs
from outpace.hosts.crash.exits import describe_exit
from outpace.hosts.launch.process_group import (
    AT_ONCE,
    FEWER,
    RECORD,
    kill_group,
    library_first,
)
from outpace.machine.cpu_time import reap

START_PATIENCE = 60.0  # seconds for a template to import its modules and fork; then it is stuck
HERE = str(Path(__file__).parent)
PACKAGE_ROOT = str(Path(__file__).parents[3])


@dataclass(slots=True, eq=False)
class Launched:
    """A process that was started, or is about to be, and our end of its socket."""

    sock: socket.socket
    pid: int | None = None
    batch: int = 0  # of those that were asked for together


class Began(NamedTuple):
    """A process is there: the launched one's number is known."""


News = tuple[Launched, Began | Died | Refused]


class Launcher(Protocol):
    """A way to start worker processes, and to hear of their starts and deaths."""

    def launch(self, shared: Sequence[int]) -> list[Launched]:
        """Begin to start a process for each descriptor of shared memory, and give it that."""
        ...

    def watched(self) -> socket.socket | None:
        """Return what becomes readable when there is news, if anything does."""
        ...

    def news(self) -> list[News]:
        """Return what has become of processes since the last call."""
        ...

    @property
    def has_news(self) -> bool:
        """Say whether there is news that has been heard already."""
        ...

    @property
    def is_starting(self) -> bool:
        """Say whether something that was asked for has not come to be yet."""
        ...

    def hears_of(self, launched: Launched) -> bool:
        """Say whether this one's death will be among the news."""
        ...

    def close(self) -> None:
        """End what is still there and wait for it."""
        ...

    def disown(self) -> None:
        """Let go of everything and end nothing: a fork of the caller has it too, and it is not its."""
        ...


def launcher(modules: list[str]) -> Launcher:
    """Choose the way that is safe here; `modules` are imported before the first fork."""
    forks = hasattr(os, "fork") and sys.platform != "darwin"
    chosen = os.environ.get("OUTPACE_START") or ("template" if forks else "spawn")
    if chosen == "spawn":
        return Spawn()
    if chosen == "template" and forks:
        return Template(modules)
    msg = f"OUTPACE_START is 'spawn', or 'template' where processes can fork; not {chosen!r}"
    raise UsageError(msg)


def start(module: str, *args: str, **how: Any) -> subprocess.Popen[bytes]:
    """Start an interpreter like this one that runs a module of ours, in a process group of its own."""
    ours = [place for place in sys.path if type(place) is str]  # no more and no less
    path = [HERE, *library_first(ours)]
    code = (
        f"import sys; sys.path[:] = {path!r}; "
        f"import bootstrap; bootstrap.boot({PACKAGE_ROOT!r}, {module!r})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    if sys.platform == "win32":
        how["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        how["process_group"] = 0
    how.setdefault("stdin", subprocess.DEVNULL)
    command = [sys.executable, *flags, "-c", code, *args]
    try:
        return subprocess.Popen(command, **how)  # noqa: S603 - our own interpreter
    except (OSError, TypeError, ValueError) as error:  # an embedded Python may not know its program
        if getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE}:
            raise  # it has words of its own (`machine.enough_descriptors`)
        msg = f"no process can be started with {sys.executable!r}: {error}; use threads or asyncio"
        raise WorkerStartError(msg) from error


class Template:
    """Workers that are forks of a clean process of our own."""

    def __init__(self, modules: list[str]) -> None:
        """Start the template; it imports while we go on."""
        self._modules = modules
        self._news: list[News] = []
        self._retired: list[socket.socket] = []  # of templates that somebody has killed
        self._batches = 0
        self._begin()

    def _begin(self) -> None:
        """Start a template, the first one or another."""
        self._gone = self._has_forked = False
        self._records = bytearray()
        self._pending: deque[Launched] = deque()  # asked for, in that order, and not there yet
        self._asked = 0.0  # when the last of these was
        self._alive: dict[int, Launched] = {}
        self._control, theirs = pair()
        with theirs:
            args = (str(theirs.fileno()), *self._modules)
            try:
                self._process = start("launch.forkserver", *args, pass_fds=(theirs.fileno(),))
            except BaseException:
                self._control.close()
                raise

    def launch(self, shared: Sequence[int]) -> list[Launched]:
        """Ask for a worker to be forked for each; from another template, if somebody has killed this."""
        self._hear()
        if self._gone:
            self._process.kill()
            reap(self._process)
            self._retired.append(self._control)  # which may still be listened to
            self._begin()
        launched: list[Launched] = []
        try:
            while some := shared[len(launched) : len(launched) + AT_ONCE]:
                launched += self._ask_for(some)
        except BaseException:
            for one in launched:
                one.sock.close()
            raise
        return launched

    def _ask_for(self, shared: Sequence[int]) -> list[Launched]:
        """Ask for so many workers as fit into one message."""
        made = pairs(len(shared))
        try:
            fds = [
                fd
                for (_, theirs), one in zip(made, shared, strict=True)
                for fd in (theirs.fileno(), one)
            ]
            socket.send_fds(self._control, [bytes([len(shared)])], fds)
        except OSError:
            pass  # it is gone; we shall hear of it
        finally:
            for _, theirs in made:
                theirs.close()
        self._batches += 1
        self._asked = time.monotonic()
        launched = [Launched(ours, batch=self._batches) for ours, _ in made]
        self._pending += launched
        return launched

    def watched(self) -> socket.socket | None:
        """Return the socket on which the template reports, as long as it lives."""
        return None if self._gone else self._control

    def news(self) -> list[News]:
        """Return what the template has reported since the last call."""
        self._hear()
        if self._pending and not self._gone and time.monotonic() - self._asked > START_PATIENCE:
            self._has_ended()  # it is stuck
        news, self._news = self._news, []
        return news

    @property
    def has_news(self) -> bool:
        """Say whether there is news that has been heard already."""
        return bool(self._news)

    @property
    def is_starting(self) -> bool:
        """Say whether a fork is still to come."""
        return bool(self._pending)

    def hears_of(self, launched: Launched) -> bool:
        """Say whether it is a fork of this template, and that is there to report."""
        return not self._gone and launched.pid in self._alive

    def close(self) -> None:
        """Let the template kill what is left, end, and be waited for."""
        with contextlib.suppress(OSError):  # it is gone
            # First this: gevent closes a socket when it gets round to it.
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        reap(self._process)
        for control in self._retired:
            control.close()

    def disown(self) -> None:
        """Let go of the template and end nothing."""
        self._control.close()
        self._process.returncode = 0  # it is nobody's here to wait for
        for control in self._retired:
            control.close()

    def _hear(self) -> None:
        """Take in all records that are there."""
        while not self._gone:
            self._control.settimeout(0.0)
            try:
                data = self._control.recv(4096)
            except (BlockingIOError, TimeoutError):
                return
            except OSError:
                data = b""
            finally:
                self._control.settimeout(None)
            self._records += data
            while len(self._records) >= RECORD.size:
                self._take_record()
            if not data:
                self._has_ended()

    def _take_record(self) -> None:
        """Take one record: a new process, a death, or why there is no new one."""
        kind, pid, status, peak = RECORD.unpack_from(self._records)
        del self._records[: RECORD.size]
        if kind == b"+":
            launched = self._pending.popleft()
            launched.pid = pid
            self._alive[pid] = launched
            self._has_forked = True
            self._news.append((launched, Began()))
        elif kind == b"-":
            death = Died(os.waitstatus_to_exitcode(status), peak)
            self._news.append((self._alive.pop(pid), death))
        else:
            msg = f"no worker process can be started: {os.strerror(status)}; use {FEWER}"
            batch = self._pending[0].batch
            while self._pending and self._pending[0].batch == batch:
                self._news.append((self._pending.popleft(), Refused(WorkerStartError(msg))))

    def _has_ended(self) -> None:
        """Take in that the template is gone, or stuck: what was asked of it will not come.

        One that has forked before was killed by somebody, and those it has not forked have died, in a
        way; whoever asks again gets them from another. Where even the first did not come, none will.
        """
        self._gone = True
        if not self._pending:
            return
        self._process.kill()
        how = describe_exit(reap(self._process))
        msg = f"the process that starts the workers {how}; what it printed, if anything, says why"
        while self._pending:
            end = Died() if self._has_forked else Refused(WorkerStartError(msg))
            self._news.append((self._pending.popleft(), end))


class Spawn:
    """Workers that are new interpreters."""

    def __init__(self) -> None:
        """Have started none."""
        self._processes: dict[Launched, subprocess.Popen[bytes]] = {}
        self._began: list[News] = []

    def launch(self, shared: Sequence[int]) -> list[Launched]:
        """Start an interpreter for each."""
        launched: list[Launched] = []
        try:
            launched.extend(map(self._launch_one, shared))
        except BaseException:
            for one in launched:
                one.sock.close()
            raise
        self._began += [(one, Began()) for one in launched]
        return launched

    def watched(self) -> None:
        """Return None: that a worker's socket is closed is how its death is noticed."""

    def news(self) -> list[News]:
        """Return which have been started, and how some have died, since the last call."""
        news, self._began = self._began, []
        for launched, process in list(self._processes.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                news.append((launched, Died(reap(process, 0.0))))
                del self._processes[launched]
                kill_group(process.pid)  # whatever it left behind
        return news

    @property
    def has_news(self) -> bool:
        """Say whether some have been started that nobody has asked about."""
        return bool(self._began)

    @property
    def is_starting(self) -> bool:
        """Return False: what is started is there."""
        return False

    def hears_of(self, launched: Launched) -> bool:
        """Say whether it is one of those that we wait for."""
        return launched in self._processes

    def close(self) -> None:
        """Kill what is left and wait for it."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            reap(process)
            kill_group(process.pid)
        self._processes.clear()

    def disown(self) -> None:
        """Let go of the workers and end nothing."""
        for process in self._processes.values():
            process.returncode = 0  # it is nobody's here to wait for
        self._processes.clear()

    def _launch_one(self, shared: int) -> Launched:
        """Start one interpreter with one end of a socket pair, and the shared memory."""
        ours, theirs = pair()
        with theirs:
            try:
                if sys.platform == "win32":
                    process = start("worker.process", "share", stdin=subprocess.PIPE)
                    assert process.stdin is not None
                    with process.stdin as pipe:
                        pipe.write(theirs.share(process.pid))
                else:
                    fds = (theirs.fileno(), shared)
                    process = start("worker.process", *map(str, fds), pass_fds=fds)
            except BaseException:
                ours.close()
                raise
        launched = Launched(ours, process.pid)
        self._processes[launched] = process
        return launched
