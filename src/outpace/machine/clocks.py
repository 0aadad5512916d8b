"""What every clock of this machine can do: how long a wait may be."""

from __future__ import annotations

# Seconds (23 days) that every system can wait for at once: epoll counts milliseconds in 31 bits.
LONGEST_WAIT = 2_000_000.0
