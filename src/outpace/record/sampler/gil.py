"""How a thread's wait for the GIL is told from one for any other lock: by where the lock lies.

CPython keeps the GIL in a variable of its own, `_PyRuntime`, while locks that a program makes are on its
heap: a wait for a lock (a futex) whose address lies in that variable is one for the GIL. The caller
finds out where in which file the variable is; where that file lies in another process's memory, its
`maps` tells. The helper process imports this file, so it imports little.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

from outpace.record.sampler.proc import by_syscall

EXTENT = 1 << 20  # bytes from the beginning of the interpreter's own variable in which the GIL lies


def is_for_gil(line: bytes) -> bool:
    """Say whether a thread of this process that waits for a lock waits for the GIL."""
    return by_syscall(line, os.getpid(), own_gil()) == "gil"


@functools.cache
def own_gil() -> tuple[int, int]:
    """Return where the GIL's lock lies in this process, twice the same where nobody knows.

    It is in the interpreter's own variable, whose name CPython exports.
    """
    import ctypes  # noqa: PLC0415 - 10 ms, for whoever asks

    try:
        begins = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    except (ValueError, AttributeError):
        return 0, 0
    return begins, begins + EXTENT


def gil_in_file() -> tuple[str, int]:
    """Return which file the GIL's lock comes from, and how far it is from that file's first address.

    So that it is found in other processes too, where the same file lies elsewhere.
    """
    address, _ = own_gil()
    first: dict[str, int] = {}
    file = ""
    for line in _maps("self"):
        span, *rest = line.split(None, 5)
        begins, ends = (int(part, 16) for part in span.split("-"))
        if len(rest) == 5 and rest[4].startswith("/"):
            file = rest[4].rstrip("\n")
            first.setdefault(file, begins)
        if begins <= address < ends:
            return (file, address - first[file]) if file else ("", 0)
    return "", 0


def gil_of(process: int, file: str, offset: int) -> tuple[int, int]:
    """Return the addresses between which the GIL's lock lies in a process, the same twice if unknown."""
    for line in _maps(process):
        if file and line.rstrip("\n").endswith(file):
            base = int(line.partition("-")[0], 16)
            return base + offset, base + offset + EXTENT
    return 0, 0


def _maps(process: int | str) -> Iterator[str]:
    """Yield the lines that say what lies where in a process's memory; none where nobody may know."""
    try:
        with open(f"/proc/{process}/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123
            yield from maps
    except OSError:
        pass
