"""What a thread waits for, as the system sees it: told by the call that it is in, on Linux.

`/proc/PID/task/TID/syscall` names the call and its arguments, whatever library made it. Where that may
not be read (another process's, without the right to trace it) `wchan`, the place in the kernel, says
less. This file is also what the helper process runs on (`process`), so it imports little.
"""

from __future__ import annotations

import os
from typing import Literal

Wait = Literal["running", "network", "disk", "sleep", "lock", "child", "gil", "unknown"]
WAIT_NAMES: tuple[Wait, ...] = (
    "running", "network", "disk", "sleep", "lock", "child", "gil", "unknown",
)  # fmt: skip

_X86 = {
    "network": (42, 43, 44, 45, 46, 47, 232, 281, 288, 299, 307, 426, 441),
    "sleep": (34, 35, 230),
    "child": (61, 247),
    "disk": (2, 4, 5, 6, 17, 18, 26, 40, *range(73, 79), 82, 87, 217, 257, 262, 263, 295, 296, 326),
    "futex": (202,),
    "by-descriptor": (0, 1, 19, 20),
    "poll": (7, 271),
    "select": (23, 270),
}  # fmt: skip
_ARM = {
    "network": (22, 202, 203, 206, 207, 211, 212, 242, 243, 269, 426, 441),
    "sleep": (101, 115),
    "child": (95, 260),
    "disk": (32, 35, 38, 45, 46, 56, 61, 67, 68, 69, 70, 71, 79, 80, 82, 83, 227, 285),
    "futex": (98,),
    "by-descriptor": (63, 64, 65, 66),
    "poll": (73,),
    "select": (72,),
}
_TABLES = {"x86_64": _X86, "aarch64": _ARM}
KIND_OF_CALL = {
    nr: name
    for name, numbers in _TABLES.get(os.uname().machine if hasattr(os, "uname") else "", {}).items()
    for nr in numbers
}

WAIT_AT_KERNEL_PLACE: tuple[tuple[bytes, Wait], ...] = (
    (b"futex", "lock"), (b"nanosleep", "sleep"), (b"ep_poll", "network"), (b"wait_woken", "network"),
    (b"sk_", "network"), (b"inet_", "network"), (b"tcp_", "network"), (b"unix_", "network"),
    (b"do_wait", "child"), (b"io_schedule", "disk"), (b"folio_wait", "disk"), (b"jbd2", "disk"),
)  # fmt: skip


def by_syscall(  # noqa: PLR0911 - a table, read downwards
    line: bytes, process: int, gil: tuple[int, int] = (0, 0)
) -> Wait:
    """Say what a thread waits for, by its line of `syscall`; `gil` is where the GIL's lock lies."""
    fields = line.split(None, 4)
    if not fields or fields[0] == b"running":
        return "running"
    number = int(fields[0])
    if number < 0 or len(fields) < 3:
        return "disk"  # in no call, and not running: a page that has to be read first
    first, second = int(fields[1], 16), int(fields[2], 16)
    match KIND_OF_CALL.get(number):
        case "network" | "sleep" | "child" | "disk" as known:
            return known
        case "futex":
            return "gil" if gil[0] <= first < gil[1] else "lock"
        case "by-descriptor":
            return by_descriptor(process, first)
        case "poll":
            return by_descriptor(process, _polled(process, first)) if second else "sleep"
        case "select":
            return "network" if first else "sleep"
        case _:
            return "unknown"


def by_place(wchan: bytes) -> Wait:
    """Say what a thread waits for, by the place in the kernel where it does; "0" is nowhere."""
    if wchan in (b"0", b""):
        return "running"
    return next((wait for part, wait in WAIT_AT_KERNEL_PLACE if part in wchan), "unknown")


def spent(process: int | str, thread: int) -> tuple[float, float]:
    """Return a thread's seconds on a CPU, and ready with none free; raise OSError if none can tell."""
    with open(f"/proc/{process}/task/{thread}/schedstat", "rb", buffering=0) as file:  # noqa: PTH123
        cpu, ready, _ = file.read(96).split()
    return int(cpu) / 1e9, int(ready) / 1e9


def by_descriptor(process: int, fd: int) -> Wait:
    """Say what it is that a thread reads or writes."""
    try:
        target = os.readlink(f"/proc/{process}/fd/{fd}")  # noqa: PTH115 - no pathlib here
    except OSError:
        return "network"  # it has been closed since, and only what comes and goes is
    if target.startswith("socket:"):
        return "network"
    return "disk" if target.startswith("/") and not target.startswith("/dev/") else "unknown"


def _polled(process: int, address: int) -> int:
    """Return the first descriptor that a `poll` is about, -1 where that may not be read."""
    try:
        with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:  # noqa: PTH123 - no pathlib here
            memory.seek(address)
            return int.from_bytes(memory.read(4), "little", signed=True)
    except (OSError, ValueError, OverflowError):
        return -1
