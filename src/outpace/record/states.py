"""What a lane can be doing: a closed set, with the words that pictures use for each.

The order is that of the JSON (docs/timeline-json.md): a state is stored as its position here, so a new
one goes to the end. Pure.
"""

from __future__ import annotations

from typing import NamedTuple


class State(NamedTuple):
    """One thing that a lane can be doing."""

    name: str
    words: str  # for a legend
    glyph: str  # for a terminal; readable without colour
    on_cpu: bool = False


STATES = (
    State("running", "on CPU", "█", on_cpu=True),
    State("ready", "ready, no core free", "▒"),
    State("waiting-network", "waiting for the network", "."),
    State("waiting-disk", "waiting for the disk", "d"),
    State("waiting-sleep", "sleeping", "-"),
    State("waiting-lock", "waiting for a lock", "l"),
    State("waiting-child", "waiting for a child process", "c"),
    State("waiting", "waiting (for what is not known)", ":"),
    State("waiting-gil", "waiting for the GIL", "x"),
    State("blocking-computing", "blocks the loop by computing", "B", on_cpu=True),
    State("blocking-waiting", "blocks the loop by waiting", "b"),
    State("idle", "idle", " "),
)
RUNNING, READY, NETWORK, DISK, SLEEP, LOCK, CHILD, WAITING, GIL, BLOCKING, BLOCKED, IDLE = range(
    len(STATES)
)
NAMES = tuple(state.name for state in STATES)
ON_CPU = tuple(n for n, state in enumerate(STATES) if state.on_cpu)


def number(name: str) -> int:
    """Return the position of a state; raise ValueError for a name that is none."""
    return NAMES.index(name)
