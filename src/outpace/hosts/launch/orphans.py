"""What workers leave behind: their process groups, and descendants that have left those.

A program that an item starts usually stays in its worker's process group, and goes with it. One that
makes a session of its own (a daemon) does not. On Linux the template asks to inherit such orphans
(PR_SET_CHILD_SUBREAPER, prctl(2)), so it can end them when their worker has died, and all of them at
the end; they are told apart by a variable in the environment that a worker hands down.

The numbers of our children come from /proc, and are signalled only if it is the /proc of our own PID
namespace: in another's they are strangers'. A child of ours keeps its number until we wait for it, and
nobody else here does. Without such a /proc nothing is known of orphans. Tested by
`tests/hosts/test_orphans.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

BORN_OF = (
    "OUTPACE_WORKER"  # in the environment of what a worker starts: the worker's process number
)
_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PATIENCE = 5.0  # seconds for what was killed to end; what hangs in the kernel is left to its reaper
PROC = "/proc"


def adopt_orphans() -> None:
    """Become the parent of every orphan among our descendants, where the system can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(Exception):  # no libc to be found: then without
            import ctypes  # noqa: PLC0415 - for the one call that the standard library lacks

            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def orphans(workers: set[int]) -> set[int]:
    """Return our children that are no workers."""
    found: set[int] = set()
    if _proc_is_ours():
        pid = os.getpid()
        with contextlib.suppress(OSError, ValueError):
            found = set(map(int, _read(f"{PROC}/{pid}/task/{pid}/children").split()))
    return found - workers


def end_orphans(workers: set[int], of: int | None = None) -> None:
    """Kill orphans, those of one dead worker or all, and theirs, as far as they turn up."""
    for pid in orphans(workers):
        if of is None or _born_of(pid) == of:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    reap_orphans(workers)


def reap_orphans(workers: set[int]) -> None:
    """Wait for orphans that have ended, so that they leave the list of processes."""
    for pid in orphans(workers):
        with contextlib.suppress(OSError):
            os.waitpid(pid, os.WNOHANG)


def end_family() -> None:
    """Kill every child that is left, and what each of them leaves behind, until there is none."""
    until = time.monotonic() + PATIENCE
    while orphans(set()):
        end_orphans(set())
        if time.monotonic() > until:
            return
        time.sleep(0.001)


def _born_of(pid: int) -> int | None:
    """Say which worker a process descends from, as far as its environment tells."""
    with contextlib.suppress(OSError, ValueError):
        for entry in _read(f"{PROC}/{pid}/environ").split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == BORN_OF.encode():
                return int(value)
    return None


def _proc_is_ours() -> bool:
    """Say whether the numbers in /proc are those of our own PID namespace.

    The kernel lists our number in each namespace from that of /proc inwards, so in ours it is one.
    """
    with contextlib.suppress(OSError):
        lines = map(bytes.split, _read(f"{PROC}/self/status").splitlines())
        facts = {line[0]: line[1:] for line in lines if line}
        return facts.get(b"NSpid:", facts.get(b"Pid:")) == [b"%d" % os.getpid()]
    return False


def _read(path: str) -> bytes:
    """Return what a small file holds."""
    with open(path, "rb") as file:  # noqa: PTH123 - see machine.CGROUPS
        return file.read()
