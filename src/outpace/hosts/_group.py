"""What both sides of the starting of workers know: records, process groups, and how one ended.

Apart from `_launch`, so that the template and the workers need not import what only starts processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct

# What a template says: its kind, a process, a wait status, the most bytes it had resident.
RECORD = struct.Struct("<cxxxqiq")
WHERE = getattr(signal, "SIGUSR2", 0)  # asks a worker to write down where it is
CUT_OFF = 87  # the exit code of a worker that cannot use its socket; arbitrary, and nobody else's
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
AT_ONCE = 64  # workers in one message, with two descriptors each; the kernel allows 253 of those


def kill_group(pid: int, how: int = KILL) -> None:
    """Send a signal to a worker's whole process group, if there is anything left of it."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(pid, how)
        else:
            os.kill(pid, how)


def describe_exit(exitcode: int | None) -> str:
    """Say in words how a process ended."""
    if exitcode is None:
        return "vanished"
    if exitcode >= 0:
        return f"ended with exit code {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    return f"was killed by {name}"
