"""What is recorded beside the times of items: CPU seconds, steps on a loop, what blocked it.

A `Trace` travels with a report, as columns. What is always recorded costs an item nothing that could
be measured: the thread's CPU clock, ten times as dear as the wall clock, is read once a millisecond at
most, so items of that length and more have a reading each and shorter ones share one. `record="full"`
adds the steps of each item on its loop, and which thread it was (for whoever looks from outside).

Pure. Tested by `tests/flow/test_trace.py`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

How = Literal["computing", "waiting"]

LONG = 0.05  # seconds without a break that count as blocking a loop
BUSY = 0.8  # share of its time from which a loop that nothing blocked is saturated
ENOUGH = 0.1  # seconds of a loop's work from which something can be said of it
STEP = 0.0002  # seconds of a mean step below which a full loop is busy with us more than with items


class Sighting(NamedTuple):
    """Be one time that a line of code blocked a loop, and the item that was on it (-1: not known)."""

    file: str
    line: int
    source: str
    item: int
    began: float
    seconds: float
    how: How
    advice: str


class Load(NamedTuple):
    """Be what a loop had to do: seconds in items, in how many steps, of how many that it could run."""

    busy_s: float = 0.0
    steps: int = 0
    open_s: float = 0.0


@dataclass(slots=True)
class Trace:
    """Be what was recorded of the items of one report.

    `cpus` are CPU seconds of groups of items one after another, `stops` the position after the last of
    each; without stops, every item is a group. `is_shared` says of groups of one that they are parts of
    a larger reading. `steps` are threes: when a step of an item on the loop began, when it ended, and
    its CPU seconds; `owners` has the item's position for each. `thread` is the system's number of the
    thread that all of it ran in.
    """

    cpus: array[float] = field(default_factory=lambda: array("d"))
    stops: array[int] | None = None
    is_shared: bool = False
    steps: array[float] | None = None
    owners: array[int] | None = None
    thread: int = 0
    process: int = 0
    load: Load | None = None
    sightings: Sequence[Sighting] = ()

    def cpu_of(
        self, position: int, started: Sequence[float], ended: Sequence[float]
    ) -> tuple[float, bool]:
        """Return an item's CPU seconds, and whether they are its share of a group's, by its length."""
        if self.stops is None:
            return self.cpus[position], self.is_shared
        group = bisect_right(self.stops, position)
        first, stop = self.stops[group - 1] if group else 0, self.stops[group]
        if stop - first == 1:
            return self.cpus[group], self.is_shared
        whole = ended[stop - 1] - started[first]
        part = (ended[position] - started[position]) / whole if whole > 0 else 1 / (stop - first)
        return self.cpus[group] * part, True

    def cpu_between(
        self, first: int, stop: int, started: Sequence[float], ended: Sequence[float]
    ) -> float:
        """Return the CPU seconds of the items from one position to another."""
        if self.stops is None:
            return sum(self.cpus[first:stop])
        group, cpu_s = bisect_right(self.stops, first), 0.0
        while first < stop:
            begins, ends = self.stops[group - 1] if group else 0, self.stops[group]
            to = min(stop, ends)
            whole, part = ended[ends - 1] - started[begins], ended[to - 1] - started[first]
            share = part / whole if whole > 0 else (to - first) / (ends - begins)
            cpu_s += self.cpus[group] * share
            group, first = group + 1, to
        return cpu_s

    def only(
        self, positions: Sequence[int], started: Sequence[float], ended: Sequence[float]
    ) -> Trace:
        """Return what is about the items at those positions."""
        found = [self.cpu_of(position, started, ended) for position in positions]
        part = Trace(
            array("d", (cpu for cpu, _ in found)),
            is_shared=any(shared for _, shared in found),
            thread=self.thread,
            process=self.process,
        )
        if self.steps is not None and self.owners is not None:
            part.steps, part.owners = array("d"), array("l")
            at = {position: n for n, position in enumerate(positions)}
            for n, owner in enumerate(self.owners):
                if owner in at:
                    part.owners.append(at[owner])
                    part.steps.extend(self.steps[3 * n : 3 * n + 3])
        return part

    def take_loop(self, other: Trace) -> None:
        """Take over what another says of the loop and its thread."""
        self.load, self.sightings = other.load, other.sightings

    def moved(self, by: float) -> None:
        """Set its moments to another clock."""
        if by and self.steps is not None:
            for n in range(0, len(self.steps), 3):
                self.steps[n] += by
                self.steps[n + 1] += by
        if by:
            self.sightings = [s._replace(began=s.began + by) for s in self.sightings]


@dataclass(slots=True, frozen=True)
class Blocked:
    """Be a line of code that blocked an event loop: how long in all, how, and what to do instead."""

    file: str
    line: int
    source: str
    label: str  # of an item that did it
    seconds: float
    count: int
    how: How
    advice: str

    def __str__(self) -> str:
        """Say it in one line."""
        times = f" ({self.count} times)" if self.count > 1 else ""
        name = self.file.replace("\\", "/").rpartition("/")[2]
        return (
            f"{name}:{self.line} `{self.source}` blocked the event loop for "
            f"{self.seconds:.3g} s{times} by {self.how}, in {self.label}: {self.advice}"
        )
