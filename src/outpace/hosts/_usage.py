"""What a process has used: CPU seconds, and its peak memory, from the system's own accounts."""

from __future__ import annotations

import os
import sys
from typing import Any

from outpace.machine.cpu_time import cpu_s

resource: Any
try:
    import resource
except ImportError:  # pragma: no cover - Windows
    resource = None


def own_usage() -> tuple[float, int]:
    """Return this process's CPU seconds, waited-for children included, and its peak memory in bytes.

    The peak is VmHWM where /proc has it, because `ru_maxrss` of a process that was started by another
    begins at that other's size (Linux carries it over an exec); else `ru_maxrss`; else psutil's.
    The largest waited-for child counts too, since a launcher of programs uses what they use.
    """
    return cpu_s(), peak_bytes()


def peak_bytes() -> int:
    """Return the most memory this process has had resident, in bytes, 0 when nobody can tell."""
    if resource is None:  # pragma: no cover - Windows
        import psutil  # noqa: PLC0415 - a dependency, loaded where it is needed

        return int(psutil.Process().memory_info().peak_wset)  # type: ignore[attr-defined]
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib costs a worker 4 ms
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 + int(children)
    except OSError:
        pass
    return int((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit + children)


PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def resident_bytes() -> int:
    """Return how many bytes this process has resident now, 0 where that is not cheap to know."""
    try:
        with open("/proc/self/statm") as statm:  # noqa: PTH123 - pathlib costs a worker 4 ms
            return int(statm.read().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0
