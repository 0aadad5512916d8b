"""How a process ended, by its exit code and by what the kernel says of memory."""

from __future__ import annotations

import contextlib
import signal

CUT_OFF = 87  # the exit code of a worker that cannot use its socket; arbitrary, and nobody else's
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


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


class Memory:
    """Whether the kernel has killed for want of memory since a moment ago (Linux)."""

    def __init__(self) -> None:
        """Note how it is now."""
        self._before = self._count()

    def ran_out(self) -> bool:
        """Say whether it has, since the last time this was asked."""
        before, self._before = self._before, self._count()
        return self._before > before

    @staticmethod
    def _count() -> int:
        """Count the kernel's kills, in the whole system: those in our cgroup are among them."""
        with (
            contextlib.suppress(OSError, ValueError),
            open("/proc/vmstat") as file,  # noqa: PTH123 - see machine.CGROUPS
        ):
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0
