"""How much of the machine's CPUs this process may use at once, as the system and the container allow.

`os.cpu_count` is the machine's, not ours: in a container with half a core it says 64, and a pool of 64
processes then fights for that half. So: the affinity mask, cut by the cgroup's CPU quota (v2 and v1).
Where a platform has neither, the machine's own number.
"""

from __future__ import annotations

import functools
import math
import os
import sys

from outpace.machine.cgroup import CGROUPS, OWN_GROUPS, own_groups, read_file


@functools.cache
def usable_cpus() -> int:
    """Count the CPUs that this process may use at once, at least 1."""
    counted = getattr(os, "process_cpu_count", os.cpu_count)() or 1  # 3.13 honours PYTHON_CPU_COUNT
    if hasattr(os, "sched_getaffinity"):
        counted = min(counted, len(os.sched_getaffinity(0)))
    quota = cpu_quota()
    return counted if quota is None else max(1, min(counted, math.ceil(quota)))


def cpu_quota(root: str = CGROUPS, own: str = OWN_GROUPS) -> float | None:
    """Return the cgroup's CPU quota in CPUs, or None without one; the tightest on the way up counts."""
    quotas = []
    for folder in own_groups("cpu", root, own):
        fields = read_file(f"{folder}/cpu.max").split()
        if len(fields) == 2 and fields[0] != "max":
            quotas.append(int(fields[0]) / int(fields[1]))
        quota, period = (
            read_file(f"{folder}/cpu.cfs_quota_us"),
            read_file(f"{folder}/cpu.cfs_period_us"),
        )
        if quota and period and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def gil_enabled() -> bool:
    """Say whether the GIL is on in this interpreter now."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())
