"""The caller's side of the helper process that looks at threads from outside (`process`).

Where that is not possible (no Linux, no /proc, no second process) nothing is sampled, and a timeline is
made from the items' own clocks. Tested by `tests/record/test_sampler.py`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from outpace.machine.cpu_time import reap
from outpace.record.lane_intervals import Samples
from outpace.record.sampler.gil import gil_in_file
from outpace.record.sampler.process import END

PACKAGE = Path(__file__).parents[2]
PROGRAM = """
import sys, types
package = types.ModuleType("outpace"); package.__path__ = [sys.argv.pop(1)]
sys.modules["outpace"] = package
from outpace.record.sampler.process import main
main(sys.argv[1], int(sys.argv[2]))
"""  # its package without what that imports


class Sampler:
    """The helper process as its caller sees it, from its start to its account."""

    def __init__(self) -> None:
        """Start it, where there is anything to be read; wait until it is ready."""
        self._process: subprocess.Popen[bytes] | None = None
        self._told: set[int] = set()
        if not possible():
            return
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            PROGRAM,
            str(PACKAGE),
            *map(str, gil_in_file()),
        ]
        with contextlib.suppress(OSError, ValueError):
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C is not for it
                bufsize=0,
            )
            assert process.stdout is not None
            if process.stdout.read(6) == b"ready\n":
                self._process = process
            else:
                _end(process)

    def look_at(self, processes: Iterable[int]) -> None:
        """Have it look at further processes."""
        new = set(processes) - self._told
        if new and self._process is not None and self._process.stdin is not None:
            self._told |= new
            with contextlib.suppress(OSError):  # it is gone, and so is what it knew
                self._process.stdin.write(b"".join(b"%d\n" % number for number in new))

    def end(self) -> dict[tuple[int, int], Samples]:
        """End it; return what it has seen, by process and thread."""
        process, self._process = self._process, None
        if process is None:
            return {}
        assert process.stdin is not None
        assert process.stdout is not None
        data = b""
        with contextlib.suppress(OSError):
            process.stdin.write(END + b"\n")
            data = process.stdout.readall()  # type: ignore[attr-defined] # unbuffered, so raw
        _end(process)
        return read(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    """See to it that a process is over."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.kill()
    reap(process)


def read(data: bytes) -> dict[tuple[int, int], Samples]:
    """Read the columns that the helper wrote; nothing where it did not come to that."""
    count = int.from_bytes(data[:8], "little")
    columns: tuple[array[Any], ...] = (
        array("q"),
        array("d"),
        array("d"),
        array("f"),
        array("f"),
        array("b"),
    )
    sizes = [column.itemsize * count * (2 if column.typecode == "q" else 1) for column in columns]
    if len(data) != 8 + sum(sizes):
        return {}
    at = 8
    for column, size in zip(columns, sizes, strict=True):
        column.frombytes(data[at : at + size])
        at += size
    who, began, ended, cpu, ready, wait = columns
    found: dict[tuple[int, int], Samples] = {}
    for n in range(count):
        if ended[n] <= began[n]:
            continue  # it has become part of the one before
        samples = found.setdefault((int(who[2 * n]), int(who[2 * n + 1])), Samples())
        samples.began.append(began[n])
        samples.ended.append(ended[n])
        samples.cpu_s.append(cpu[n])
        samples.ready_s.append(ready[n])
        samples.wait.append(int(wait[n]))
    return found


def possible() -> bool:
    """Say whether threads can be looked at from outside here."""
    return sys.platform == "linux" and Path(f"/proc/self/task/{os.getpid()}/schedstat").exists()
