"""What both sides of the starting of workers know: records and process groups.

Apart from `_launch`, so that the template and the workers need not import what only starts processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections.abc import Sequence

from outpace.hosts.crash.exits import KILL

# What a template says: its kind, a process, a wait status, the most bytes it had resident.
RECORD = struct.Struct("<cxxxqiq")
WHERE = getattr(signal, "SIGUSR2", 0)  # asks a worker to write down where it is
FEWER = "fewer workers=, or threads"  # instead of more workers than there can be
AT_ONCE = 64  # workers in one message, with two descriptors each; the kernel allows 253 of those


class Process:
    """A worker that somebody else waits for, and so may have ended without our knowing.

    Then its number can be a stranger's by now, who is not to be signalled. A pidfd (Linux) is always of
    the process that it was opened for; where there are none, the number is taken at its word.
    """

    __slots__ = ("_fd", "_is_gone", "pid")

    def __init__(self, pid: int) -> None:
        """Take note of a process that has just been started."""
        self.pid = pid
        self._fd, self._is_gone = -1, False
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._is_gone = True
        except (AttributeError, OSError):  # not Linux, an old kernel, or no descriptor to be had
            return

    @property
    def is_there(self) -> bool:
        """Say whether it has not been waited for yet, so that its number is its own."""
        if self._fd >= 0:
            try:
                signal.pidfd_send_signal(self._fd, 0)
            except ProcessLookupError:
                self._is_gone = True
            except OSError:  # a sandbox that does not know it
                return True
        return not self._is_gone

    def kill_group(self, how: int = KILL) -> None:
        """Send a signal to its whole process group."""
        if self.is_there:
            kill_group(self.pid, how)

    def ask_where(self) -> None:
        """Have it write down where it is, if it can."""
        if WHERE and self.is_there:
            with contextlib.suppress(OSError):
                os.kill(self.pid, WHERE)

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._is_gone = -1, True


def library_first(path: Sequence[str]) -> list[str]:
    """Return a module path with the standard library's folders first.

    So that what we import is that, and not a file of the user's of the same name beside a script, which
    in the caller was found too late to matter.
    """
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib costs a worker 4 ms
    standard = (library, os.path.join(library, "lib-dynload"))  # noqa: PTH118
    return [*(place for place in path if place in standard), *path]


def kill_group(pid: int, how: int = KILL) -> None:
    """Send a signal to a process group, if there is anything left of it.

    For a child that nobody has waited for yet: until then the number is nobody else's. Nor is it while
    anybody is left of the group; for the others' children there is `Process`.
    """
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(pid, how)
        else:
            os.kill(pid, how)
