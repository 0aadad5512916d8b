"""How many times faster than serial: the table's `speedup`, and the gain that advice goes by. Pure.

The table's is serial's median makespan divided by the entrant's: the work alone, since start-up has a
column of its own and does not grow with the items. Of a serial that was stopped, the makespan is what
all items would have taken. Advice goes by the gain: what a person waits for under serial divided by what
they wait for under the other, start-up included. Tested by `tests/racing/test_speedup.py`.
"""

from __future__ import annotations

from outpace.racing.result import Entrant

WORTH = 1.2  # times faster than serial, below which the code had better stay simple
WORTH_S = 0.05  # seconds saved, below which nobody will notice


def speedup(serial: Entrant, entrant: Entrant) -> float | None:
    """Return serial's median makespan divided by an entrant's; None where one of them is not known."""
    if serial.makespan_s is None or entrant.makespan_s is None:
        return None
    return serial.makespan_s.median / entrant.makespan_s.median


def total_s(entrant: Entrant) -> float:
    """Return start-up and makespan together, infinite where the makespan is not known."""
    return entrant.total_s if entrant.total_s is not None else float("inf")


def gain(serial: Entrant, entrant: Entrant) -> float:
    """Return how many times faster than serial an entrant was, start-up included."""
    return total_s(serial) / total_s(entrant)


def is_worth_it(serial: Entrant, entrant: Entrant) -> bool:
    """Say whether the gain over serial is one that a person would want."""
    saved_s = total_s(serial) - total_s(entrant)
    return gain(serial, entrant) >= WORTH and saved_s >= WORTH_S
