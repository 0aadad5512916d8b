"""How a process ended, by its exit code."""

from __future__ import annotations

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
