"""How a worker process comes to be: forked from a clean template, or started on its own.

Either way it is an interpreter of ours that never imports the caller's `__main__`. The template
(`_template`) is one single-threaded process with the imports already done, from which a worker is a
fork of a few milliseconds; it watches its workers, reports their deaths, and kills them all when this
process goes away, however it goes. Where forking is not safe (macOS, whose system libraries forbid it,
and Windows) every worker is started as a new interpreter: the `spawn` launcher, which Linux can use
too (OUTPACE_START=spawn) so that it is tested there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from outpace.errors import UsageError, WorkerStartError
from outpace.flow.signals import interruptible
from outpace.hosts._group import AT_ONCE, FEWER, RECORD, describe_exit, kill_group, library_first
from outpace.hosts.channel.sockets import pair, pairs
from outpace.machine import reap

START_PATIENCE = 60.0  # seconds for a template to import its modules and fork; then it is stuck
HERE = str(Path(__file__).parent)
PACKAGE_ROOT = str(Path(__file__).parents[2])


@dataclass(slots=True)
class Launched:
    """Be a process that was just started, and our end of its socket."""

    pid: int
    sock: socket.socket


class Death(NamedTuple):
    """Be how a process ended: its exit code, and the most memory it had, as far as anybody knows."""

    exitcode: int | None
    peak_bytes: int | None = None


class Launcher(Protocol):
    """Be a way to start worker processes, and to hear of their deaths."""

    def launch(self, shared: Sequence[int]) -> list[Launched]:
        """Start a process for each descriptor of shared memory, and give it that."""
        ...

    def watched(self) -> socket.socket | None:
        """Return what becomes readable when a process has died, if anything does."""
        ...

    def deaths(self) -> dict[int, Death]:
        """Return how processes have died since the last call."""
        ...

    def wait_death(self, pid: int, timeout: float) -> Death | None:
        """Wait for one process to die; return how, None when it has not or nobody knows."""
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
        f"import _boot; _boot.boot({PACKAGE_ROOT!r}, {module!r})"
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
    """Fork workers from a clean process of our own."""

    def __init__(self, modules: list[str]) -> None:
        """Start the template; it imports while we go on."""
        self._modules = modules
        self._dead: dict[int, Death] = {}
        self._retired: list[socket.socket] = []  # of templates that somebody has killed
        self._begin()

    def _begin(self) -> None:
        """Start a template, the first one or another."""
        self._gone = self._has_forked = False
        self._records = bytearray()
        self._started: list[int] = []
        self._refused = 0  # the error number of a fork that failed
        self._alive: set[int] = set()
        self._control, theirs = pair()
        with theirs:
            args = (str(theirs.fileno()), *self._modules)
            try:
                self._process = start("_template", *args, pass_fds=(theirs.fileno(),))
            except BaseException:
                self._control.close()
                raise

    def launch(self, shared: Sequence[int]) -> list[Launched]:
        """Have a worker forked for each; raise `WorkerStartError` when the template is gone."""
        while self._hear(0.0):
            pass
        if self._gone:  # somebody has killed it; its workers go on, and further ones need another
            self._retire()
            self._begin()
        launched: list[Launched] = []
        try:
            while some := shared[len(launched) : len(launched) + AT_ONCE]:
                try:
                    launched += self._fork(some)
                except WorkerStartError:
                    if not (self._gone and self._has_forked):
                        raise
                    self._retire()  # it was killed just now; if the next one ends too, so be it
                    self._begin()
                    launched += self._fork(some)
        except BaseException:
            for one in launched:
                one.sock.close()
            raise
        return launched

    def _fork(self, shared: Sequence[int]) -> list[Launched]:
        """Have so many workers forked as fit into one message."""
        count, self._refused, self._started = len(shared), 0, []
        made = pairs(count)
        try:
            fds = [
                fd
                for (_, theirs), one in zip(made, shared, strict=True)
                for fd in (theirs.fileno(), one)
            ]
            socket.send_fds(self._control, [bytes([count])], fds)
            while len(self._started) < count and not self._refused and self._hear(START_PATIENCE):
                pass
        except OSError:
            self._gone = True
        finally:
            for _, theirs in made:
                theirs.close()
        ours = [mine for mine, _ in made]
        if len(self._started) < count:
            for sock in ours:
                sock.close()
            if self._refused:
                msg = f"no worker process can be started: {os.strerror(self._refused)}; use {FEWER}"
                raise WorkerStartError(msg)
            self._process.kill()  # it is gone, or stuck
            how = describe_exit(reap(self._process))
            msg = (
                f"the process that starts the workers {how}; what it printed, if anything, says why"
            )
            raise WorkerStartError(msg)
        self._has_forked = True
        return list(map(Launched, self._started, ours))

    def watched(self) -> socket.socket | None:
        """Return the socket on which the template reports deaths, as long as it lives."""
        return None if self._gone else self._control

    def deaths(self) -> dict[int, Death]:
        """Return how workers have died since the last call."""
        while self._hear(0.0):
            pass
        dead, self._dead = self._dead, {}
        return dead

    def wait_death(self, pid: int, timeout: float) -> Death | None:
        """Wait until the template reports this death."""
        until = time.monotonic() + timeout
        while pid in self._alive and self._hear(until - time.monotonic()):
            pass
        return self._dead.pop(pid, None)

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

    def _retire(self) -> None:
        """Put away a template that is gone; its socket may still be listened to."""
        self._process.kill()
        reap(self._process)
        self._retired.append(self._control)

    def _hear(self, timeout: float) -> bool:
        """Wait for news of the template; say whether there was any."""
        if self._gone:
            return False
        if timeout > 0:
            _wait_for(self._control, timeout)
        self._control.settimeout(0.0)
        try:
            data = self._control.recv(4096)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            data = b""
        finally:
            self._control.settimeout(None)
        self._gone = not data
        self._records += data
        while len(self._records) >= RECORD.size:
            if (pid := self._take_record()) is not None:
                self._started.append(pid)
        return bool(data)

    def _take_record(self) -> int | None:
        """Take one record: return a new process, or note a death, or why there is no new one."""
        kind, pid, status, peak = RECORD.unpack_from(self._records)
        del self._records[: RECORD.size]
        if kind == b"+":
            self._alive.add(pid)
            return int(pid)
        if kind == b"!":
            self._refused = status
            return None
        self._alive.discard(pid)
        self._dead[pid] = Death(os.waitstatus_to_exitcode(status), peak)
        return None


@interruptible
def _wait_for(sock: socket.socket, timeout: float) -> None:
    """Wait until there is something to receive. By `poll`, which knows descriptors of any number."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(timeout * 1000)


class Spawn:
    """Start each worker as a new interpreter."""

    def __init__(self) -> None:
        """Have started none."""
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self, shared: Sequence[int]) -> list[Launched]:
        """Start an interpreter for each."""
        launched: list[Launched] = []
        try:
            launched.extend(map(self._launch_one, shared))
        except BaseException:
            for one in launched:
                one.sock.close()
            raise
        return launched

    def watched(self) -> None:
        """Return None: that a worker's socket is closed is how its death is noticed."""

    def deaths(self) -> dict[int, Death]:
        """Return how workers have died since the last call."""
        found = {pid: self.wait_death(pid, 0.0) for pid in list(self._processes)}
        return {pid: death for pid, death in found.items() if death is not None}

    def wait_death(self, pid: int, timeout: float) -> Death | None:
        """Wait for one process to die."""
        try:
            exitcode = reap(self._processes[pid], timeout)
        except (subprocess.TimeoutExpired, KeyError):
            return None
        del self._processes[pid]
        kill_group(pid)  # whatever it left behind
        return Death(exitcode)

    def close(self) -> None:
        """Kill what is left and wait for it."""
        for pid, process in self._processes.items():
            if process.poll() is None:
                process.kill()
            reap(process)
            kill_group(pid)
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
        self._processes[process.pid] = process
        return Launched(process.pid, ours)
