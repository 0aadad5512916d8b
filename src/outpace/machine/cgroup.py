"""The control groups of this process (cgroups, v2 and v1): where their files are, and what these say.

Paths are strings here: pathlib would be 4 of the milliseconds of `import outpace`.
"""

from __future__ import annotations

CGROUPS = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"


def own_groups(controller: str, root: str = CGROUPS, own: str = OWN_GROUPS) -> list[str]:
    """List the folders of this process's cgroup and all above it, where cgroups are mounted."""
    folders = []
    for line in read_file(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = f"{root}/{controllers}" if controllers else str(root)
        parts = [part for part in path.split("/") if part]
        folders += ["/".join((base, *parts[:depth])) for depth in range(len(parts), -1, -1)]
    return folders


def read_file(path: str) -> str:
    """Return a small file's text without its end of line, or nothing when it cannot be read."""
    try:
        with open(path) as file:  # noqa: PTH123 - see the top
            return file.read().strip()
    except OSError:
        return ""
