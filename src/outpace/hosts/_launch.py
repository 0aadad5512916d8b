"""How a worker process comes to be: forked from a clean template, or started on its own.

Either way it is an interpreter of ours that never imports the caller's `__main__`. The template
(`_template`) is one single-threaded process with the imports already done, from which a worker is a
fork of a few milliseconds; it watches its workers, reports their deaths, and kills them all when this
process goes away, however it goes. Where forking is not safe (macOS, whose system libraries forbid it,
and Windows) every worker is started as a new interpreter: the `spawn` launcher, which Linux can use
too (OUTPACE_START=spawn) so that it is tested there.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outpace.errors import UsageError, WorkerStartError
from outpace.hosts._group import AT_ONCE, RECORD, kill_group

START_PATIENCE = 60.0  # seconds for a template to import its modules and fork; then it is stuck
HERE = str(Path(__file__).parent)
PACKAGE_ROOT = str(Path(__file__).parents[2])


@dataclass(slots=True)
class Launched:
    """Be a process that was just started, and our end of its socket."""

    pid: int
    sock: socket.socket


class Launcher(Protocol):
    """Be a way to start worker processes, and to hear of their deaths."""

    def launch(self, count: int) -> list[Launched]:
        """Start that many processes."""
        ...

    def watched(self) -> socket.socket | None:
        """Return what becomes readable when a process has died, if anything does."""
        ...

    def deaths(self) -> dict[int, int]:
        """Return the exit codes of processes that have died since the last call."""
        ...

    def wait_death(self, pid: int, timeout: float) -> int | None:
        """Wait for one process to die; return its exit code, None when it has not or nobody knows."""
        ...

    def close(self) -> None:
        """End what is still there and wait for it."""
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


def command(module: str, *args: str) -> list[str]:
    """Return the command line of an interpreter like this one that runs a function of ours."""
    code = (
        f"import sys; sys.path.insert(0, {HERE!r}); "
        f"import _boot; _boot.boot({PACKAGE_ROOT!r}, {module!r})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    return [sys.executable, *flags, "-c", code, *args]


class Template:
    """Fork workers from a clean process of our own."""

    def __init__(self, modules: list[str]) -> None:
        """Start the template; it imports while we go on."""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command("_template", str(theirs.fileno()), *modules),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
        self._gone = False
        self._records = bytearray()
        self._started: list[int] = []
        self._dead: dict[int, int] = {}

    def launch(self, count: int) -> list[Launched]:
        """Have that many workers forked; raise `WorkerStartError` when the template is gone."""
        launched: list[Launched] = []
        while (some := min(AT_ONCE, count - len(launched))) > 0:
            pairs = [socket.socketpair() for _ in range(some)]
            try:
                socket.send_fds(self._control, [bytes([some])], [p[1].fileno() for p in pairs])
                while len(self._started) < some:
                    if not self._hear(START_PATIENCE):
                        raise ConnectionResetError
            except OSError as error:
                for pair in pairs:
                    pair[0].close()
                msg = "the process that starts the workers ended; what it printed says why"
                raise WorkerStartError(msg) from error
            finally:
                for pair in pairs:
                    pair[1].close()
            launched += map(Launched, self._started, (pair[0] for pair in pairs))
            self._started.clear()
        return launched

    def watched(self) -> socket.socket | None:
        """Return the socket on which the template reports deaths, as long as it lives."""
        return None if self._gone else self._control

    def deaths(self) -> dict[int, int]:
        """Return the exit codes of workers that have died since the last call."""
        while self._hear(0.0):
            pass
        dead, self._dead = self._dead, {}
        return dead

    def wait_death(self, pid: int, timeout: float) -> int | None:
        """Wait until the template reports this death."""
        until = time.monotonic() + timeout
        while pid not in self._dead and self._hear(until - time.monotonic()):
            pass
        return self._dead.pop(pid, None)

    def close(self) -> None:
        """Let the template kill what is left, end, and be waited for."""
        self._control.close()
        self._process.wait()

    def _hear(self, timeout: float) -> bool:
        """Wait for news of the template; say whether there was any."""
        if self._gone:
            return False
        self._control.settimeout(max(0.0, timeout))
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
        """Take one record: return a new process, or note a death."""
        kind, pid, status = RECORD.unpack_from(self._records)
        del self._records[: RECORD.size]
        if kind == b"+":
            return int(pid)
        self._dead[pid] = os.waitstatus_to_exitcode(status)
        return None


class Spawn:
    """Start each worker as a new interpreter."""

    def __init__(self) -> None:
        """Have started none."""
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self, count: int) -> list[Launched]:
        """Start that many interpreters."""
        return [self._launch_one() for _ in range(count)]

    def watched(self) -> None:
        """Return None: that a worker's socket is closed is how its death is noticed."""

    def deaths(self) -> dict[int, int]:
        """Return the exit codes of workers that have died since the last call."""
        found = {pid: self.wait_death(pid, 0.0) for pid in list(self._processes)}
        return {pid: code for pid, code in found.items() if code is not None}

    def wait_death(self, pid: int, timeout: float) -> int | None:
        """Wait for one process to die."""
        try:
            exitcode = self._processes[pid].wait(timeout)
        except (subprocess.TimeoutExpired, KeyError):
            return None
        del self._processes[pid]
        kill_group(pid)  # whatever it left behind
        return exitcode

    def close(self) -> None:
        """Kill what is left and wait for it."""
        for pid, process in self._processes.items():
            if process.poll() is None:
                process.kill()
            process.wait()
            kill_group(pid)
        self._processes.clear()

    def _launch_one(self) -> Launched:
        """Start one interpreter with one end of a socket pair."""
        ours, theirs = socket.socketpair()
        with theirs:
            if sys.platform == "win32":
                process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    command("_worker", "share"),
                    stdin=subprocess.PIPE,
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
                )
                assert process.stdin is not None
                with process.stdin as pipe:
                    pipe.write(theirs.share(process.pid))
            else:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    command("_worker", str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                )
        self._processes[process.pid] = process
        return Launched(process.pid, ours)
