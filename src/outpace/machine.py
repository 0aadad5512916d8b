"""What this process may really use: CPUs, memory and descriptors, as the system and the container allow.

And what it has used, with its children.

`os.cpu_count` is the machine's, not ours: in a container with half a core it says 64, and a pool of 64
processes then fights for that half. So: the affinity mask, cut by the cgroup's CPU quota (v2 and v1),
and the memory limit of the cgroup. Where a platform has none of these, the machine's own numbers.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from outpace.errors import WorkerStartError

if TYPE_CHECKING:
    import subprocess

# Paths are strings in this file: pathlib would be 4 of the milliseconds of `import outpace`.
CGROUPS = "/sys/fs/cgroup"

# Seconds (23 days) that every system can wait for at once: epoll counts milliseconds in 31 bits.
LONGEST_WAIT = 2_000_000.0
# CPU seconds of processes that we have started for ourselves and waited for, without what workers among
# them say that they have done. Only differences are of use: a fork begins with this, and no children.
_ours_s = 0.0


@functools.cache
def usable_cpus() -> int:
    """Count the CPUs that this process may use at once, at least 1."""
    counted = getattr(os, "process_cpu_count", os.cpu_count)() or 1  # 3.13 honours PYTHON_CPU_COUNT
    if hasattr(os, "sched_getaffinity"):
        counted = min(counted, len(os.sched_getaffinity(0)))
    quota = cpu_quota()
    return counted if quota is None else max(1, min(counted, math.ceil(quota)))


def cpu_quota(root: str = CGROUPS, own: str = "/proc/self/cgroup") -> float | None:
    """Return the cgroup's CPU quota in CPUs, or None without one; the tightest on the way up counts."""
    quotas = []
    for folder in _own_groups(root, own, "cpu"):
        fields = _read(f"{folder}/cpu.max").split()
        if len(fields) == 2 and fields[0] != "max":
            quotas.append(int(fields[0]) / int(fields[1]))
        quota, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")
        if quota and period and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: str = CGROUPS, own: str = "/proc/self/cgroup") -> int | None:
    """Return the cgroup's memory limit in bytes, or None without one."""
    limits = []
    for folder in _own_groups(root, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(f"{folder}/{name}")
            if text.isdigit() and int(text) < 1 << 60:  # v1 says "no limit" with a huge number
                limits.append(int(text))
    return min(limits, default=None)


def usable_memory() -> int | None:
    """Return how many bytes this process may use: the cgroup's limit, or what the machine has."""
    limit = memory_limit()
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return limit
    return total if limit is None else min(limit, total)


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


def _waited_for_s() -> float:
    """Return the CPU seconds of all children that were waited for, and of theirs; 0 on Windows."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:  # pragma: no cover - Windows
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def enough_descriptors(what: str, instead: str) -> Iterator[None]:
    """Say in one line, as a `WorkerStartError`, that there are too few file descriptors, if so.

    `what` says who needs about how many, and `instead` what needs fewer.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        allowed = descriptor_limit() if error.errno == errno.EMFILE else None
        most = "there are no more" if allowed is None else f"this process may have {allowed} in all"
        msg = (
            f"{what} file descriptors beside those that are open, and {most}; "
            f"raise the limit (ulimit -n), or use {instead}"
        )
        raise WorkerStartError(msg) from error


def descriptor_limit() -> int | None:
    """Return how many descriptors this process may have open, None where nobody says."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:  # pragma: no cover - Windows
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def more_threads() -> str:
    """Say what to do where no thread can be started: which limit of this process there is to raise."""
    with contextlib.suppress(ImportError):  # not on Windows
        import resource  # noqa: PLC0415 - only then

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            return (
                f"raise the limit on a process's addresses (ulimit -v), now {allowed / 1e6:.0f} MB"
            )
    return "raise the limit on threads (ulimit -u, or the container's)"


def run_delay() -> float:
    """Return the seconds this thread has been ready to run with no CPU free; 0 where none can tell.

    Linux counts it (proc(5), schedstat). Without it a busy machine makes computing look like waiting.
    """
    fields = _read("/proc/thread-self/schedstat").split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


def gil_enabled() -> bool:
    """Say whether the GIL is on in this interpreter now."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _own_groups(root: str, own: str, controller: str) -> list[str]:
    """List the folders of this process's cgroup and all above it, where cgroups are mounted."""
    folders = []
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = f"{root}/{controllers}" if controllers else str(root)
        parts = [part for part in path.split("/") if part]
        folders += ["/".join((base, *parts[:depth])) for depth in range(len(parts), -1, -1)]
    return folders


def _read(path: str) -> str:
    """Return a small file's text without its end of line, or nothing when it cannot be read."""
    try:
        with open(path) as file:  # noqa: PTH123 - see CGROUPS
            return file.read().strip()
    except OSError:
        return ""
