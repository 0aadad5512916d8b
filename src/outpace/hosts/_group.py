"""What both sides of the starting of workers know: the records they exchange, and process groups.

Apart from `_launch`, so that the template and the workers need not import what only starts processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct

RECORD = struct.Struct("<cxxxqi")  # what a template says: its kind, a process, a wait status
AT_ONCE = 64  # descriptors in one message; the kernel allows 253


def kill_group(pid: int, how: int = getattr(signal, "SIGKILL", signal.SIGTERM)) -> None:
    """Send a signal to a worker's whole process group, if there is anything left of it."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(pid, how)
        else:
            os.kill(pid, how)
