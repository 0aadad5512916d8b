"""How much memory this process may use: as the container's cgroup allows, or as the machine has."""

from __future__ import annotations

import os

from outpace.machine.cgroup import CGROUPS, OWN_GROUPS, own_groups, read_file


def usable_memory() -> int | None:
    """Return how many bytes this process may use: the cgroup's limit, or what the machine has."""
    limit = memory_limit()
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return limit
    return total if limit is None else min(limit, total)


def memory_limit(root: str = CGROUPS, own: str = OWN_GROUPS) -> int | None:
    """Return the cgroup's memory limit in bytes, or None without one."""
    limits = []
    for folder in own_groups("memory", root, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = read_file(f"{folder}/{name}")
            if text.isdigit() and int(text) < 1 << 60:  # v1 says "no limit" with a huge number
                limits.append(int(text))
    return min(limits, default=None)
