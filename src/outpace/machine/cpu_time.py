"""What this process and its children have spent on CPUs, and how long a thread had to wait for one."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from outpace.machine.cgroup import read_file

if TYPE_CHECKING:
    import subprocess

# CPU seconds of processes that we have started for ourselves and waited for, without what workers among
# them say that they have done. Only differences are of use: a fork begins with this, and no children.
_ours_s = 0.0


def cpu_s() -> float:
    """Return the CPU seconds of this process, of children that it has waited for, and of workers.

    Not of what starts the workers, or looks at them: that is nobody's job.
    """
    return time.process_time() + children_s()


def children_s() -> float:
    """Return the CPU seconds of children that this process has waited for, and of workers."""
    return _waited_for_s() - _ours_s


def reap(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
    """Wait for a process that was started for ourselves, and do not count what it has used.

    Returns its exit code; raises `subprocess.TimeoutExpired`. What other threads wait for meanwhile
    would not be counted either, so most of the waiting is done before.
    """
    global _ours_s  # noqa: PLW0603 - the system has one such account for the whole process, too
    if timeout is None and process.returncode is None and hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    before = _waited_for_s()
    try:
        return process.wait(timeout)
    finally:
        _ours_s += _waited_for_s() - before


def worked(seconds: float) -> None:
    """Count what a worker process says it has used: it may be the child of another, or none of ours."""
    global _ours_s  # noqa: PLW0603 - as above
    _ours_s -= seconds


def run_delay() -> float:
    """Return the seconds this thread has been ready to run with no CPU free; 0 where none can tell.

    Linux counts it (proc(5), schedstat). Without it a busy machine makes computing look like waiting.
    """
    fields = read_file("/proc/thread-self/schedstat").split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


def _waited_for_s() -> float:
    """Return the CPU seconds of all children that were waited for, and of theirs; 0 on Windows."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:  # pragma: no cover - Windows
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
