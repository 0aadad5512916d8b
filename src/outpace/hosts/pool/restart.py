"""Whether a worker that has died is replaced, and when that is given up: counting, nothing else.

Pure. Tested by `tests/hosts/test_restart.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from outpace.errors import WorkerStartError
from outpace.hosts.crash.exits import describe_exit

# Both arbitrary. IN_A_ROW: more than a bad stretch of items, and a second or so of dying in all.
IN_A_ROW = 20  # deaths with not one item done in between, when nobody has said how many
STARTS = 3  # deaths in a row before a worker was ready: the next would die as well


@dataclass(slots=True)
class RestartPolicy:
    """How often the worker of each place has died; `most` is how often it may."""

    most: int | None
    deaths: Counter[int] = field(default_factory=Counter)
    in_a_row: int = 0
    stillborn: int = 0

    def something_ended_well(self) -> None:
        """Learn that items succeed, so that the deaths are the items' and not everybody's."""
        self.in_a_row = 0

    def somebody_is_ready(self) -> None:
        """Learn that workers do start."""
        self.stillborn = 0

    def died(self, number: int, exitcode: int | None, *, ready: bool) -> bool:
        """Say whether the place is filled again; raise `WorkerStartError` when none ever will be."""
        how = describe_exit(exitcode)
        if not ready:
            self.stillborn += 1
            if self.stillborn >= STARTS:
                msg = (
                    f"the worker processes do not start: {self.stillborn} in a row {how} before they "
                    "were ready, while the function was imported or setup opened; what they printed, "
                    "if anything, says why"
                )
                raise WorkerStartError(msg)
            return True
        self.deaths[number] += 1
        self.in_a_row += 1
        if self.most is not None:
            return self.deaths[number] <= self.most
        if self.in_a_row >= IN_A_ROW:
            msg = (
                f"the worker processes keep dying: {self.in_a_row} in a row, with not one item done in "
                f"between; the last one {how}. max_crashes= says how many deaths to make good"
            )
            raise WorkerStartError(msg)
        return True
