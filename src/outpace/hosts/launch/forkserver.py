"""The template: a clean process that forks workers, watches them, and outlives nobody.

One thread, no user code, nothing of the caller's but its environment. It is told to fork by a byte and
as many pairs of descriptors (a socket, and what is shared: `shared_memory`); it answers with records
(`process_group.RECORD`): `+` a process, `-` a process and how it ended, `!` why none can be forked. When
the caller is gone, for whatever reason, the control socket ends, and so does everything here: every
worker's process group is killed, and what has left those (`orphans`). Tested by
`tests/hosts/test_processes.py`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import signal
import socket
import sys

from outpace.hosts.channel.sockets import taken
from outpace.hosts.launch.orphans import adopt_orphans, end_family, end_orphans, reap_orphans
from outpace.hosts.launch.process_group import AT_ONCE, RECORD, kill_group


def main(fd: str, *modules: str) -> None:
    """Serve until the caller is gone; in a forked child, be a worker instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    importlib.import_module("outpace.hosts.worker.process")
    for name in modules:
        with contextlib.suppress(ImportError):  # a driver that only the caller's sys.path has
            importlib.import_module(name)
    with taken(int(fd)) as control:
        mine = _serve(control)
    if mine is not None:
        sys.modules["outpace.hosts.worker.process"].serve_on(*mine)


Pair = tuple[socket.socket, int]  # a worker's socket, and the descriptor of what it shares


def _serve(control: socket.socket) -> Pair | None:
    """Fork and watch. Returns a worker's descriptors in a child, None at the end in the template."""
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    alive: set[int] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake_r, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if wake_r in ready:
                os.read(wake_r, 4096)
                _report_deaths(control, alive)
            if control.fileno() in ready:
                pairs = _receive(control)
                if not pairs:
                    break
                if (mine := _fork_each(control, pairs, alive)) is not None:
                    _become_worker(control, selector, (wake_r, wake_w))
                    return mine
    for pid in alive:
        kill_group(pid)
    for pid in alive:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    end_family()
    for fd in (wake_r, wake_w):
        os.close(fd)
    return None


def _fork_each(control: socket.socket, pairs: list[Pair], alive: set[int]) -> Pair | None:
    """Fork a worker for each pair. Returns the worker's own in a child, None in the template."""
    for mine in pairs:
        try:
            pid = os.fork()
        except OSError as error:  # as many as may be, or no memory
            _tell(control, b"!", 0, error.errno or 0)
            break
        if pid == 0:
            for other in pairs:
                if other is not mine:
                    _put_away(other)
            return mine
        with contextlib.suppress(OSError):  # the child does it too; who is first?
            os.setpgid(pid, pid)
        alive.add(pid)
        _tell(control, b"+", pid)
    for pair in pairs:
        _put_away(pair)
    return None


def _put_away(pair: Pair) -> None:
    """Close the descriptors of a worker that is somebody else."""
    pair[0].close()
    os.close(pair[1])


def _receive(control: socket.socket) -> list[Pair]:
    """Return the descriptors of the workers to fork; none when the caller is gone."""
    try:
        message, fds, _, _ = socket.recv_fds(control, 1, 2 * AT_ONCE)
    except OSError:
        return []
    if not message:
        return []
    return [(taken(fd), shared) for fd, shared in zip(fds[::2], fds[1::2], strict=True)]


def _become_worker(
    control: socket.socket, selector: selectors.BaseSelector, pipe: tuple[int, int]
) -> None:
    """Put away, in a forked child, everything that belongs to the template."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    selector.close()
    control.close()
    for fd in pipe:
        os.close(fd)


def _report_deaths(control: socket.socket, alive: set[int]) -> None:
    """Report every worker that has ended, after killing what it left behind."""
    for pid in list(alive):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            continue
        kill_group(pid)  # before it is reaped: until then nobody else can have its number
        end_orphans(alive, of=pid)
        _, status, used = os.wait4(pid, 0)
        alive.discard(pid)
        _tell(control, b"-", pid, status, used.ru_maxrss * 1024)
    reap_orphans(alive)


def _tell(
    control: socket.socket, kind: bytes, pid: int, status: int = 0, peak_bytes: int = 0
) -> None:
    """Send one record; a caller that is gone does not want it."""
    with contextlib.suppress(OSError):
        control.sendall(RECORD.pack(kind, pid, status, peak_bytes))
