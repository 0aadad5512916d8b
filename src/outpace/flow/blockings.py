"""What blocked the event loops of a run: an observer that adds it up, and says it."""

from __future__ import annotations

from outpace.flow.data import Settled
from outpace.flow.ending import say
from outpace.flow.protocol import Observer
from outpace.flow.trace import BUSY, ENOUGH, LONG, STEP, Blocked, Load, Trace


class Blockings(Observer):
    """What blocked the loops of a run, and how busy they were.

    Each place is said on stderr when it is first seen, unless that is to be `quiet`.
    """

    def __init__(self, *, quiet: bool = True) -> None:
        """Know of nothing."""
        self._quiet = quiet
        self._places: dict[tuple[str, int], Blocked] = {}
        self._load = Load()

    def settled(self, settled: Settled, now: float) -> None:  # noqa: ARG002 - an observer's
        """Take in what a report says."""
        trace = settled.report.trace
        if trace is not None and (trace.sightings or trace.load is not None):
            for one in self.add(trace):
                if not self._quiet:
                    say(str(one))

    def add(self, trace: Trace) -> list[Blocked]:
        """Take in what a report says; return the places that were not known before."""
        if trace.load is not None:
            self._load = Load(*map(sum, zip(self._load, trace.load, strict=True)))  # type: ignore[arg-type]
        new = []
        for seen in trace.sightings:
            place = seen.file, seen.line
            before = self._places.get(place)
            label = f"item {seen.item}" if seen.item >= 0 else "a task that an item started"
            one = Blocked(
                *seen[:3],
                label if before is None else before.label,
                seen.seconds + (before.seconds if before else 0.0),
                1 + (before.count if before else 0),
                *seen[6:],
            )
            self._places[place] = one
            if before is None:
                new.append(one)
        return new

    @property
    def places(self) -> tuple[Blocked, ...]:
        """Return what blocked, the worst first."""
        return tuple(sorted(self._places.values(), key=lambda one: -one.seconds))

    @property
    def saturation(self) -> str | None:
        """Say that a loop had more to do than it could, in many steps none of which blocked it."""
        load = self._load
        blocked = sum(one.seconds for one in self._places.values())
        short = load.busy_s - blocked
        enough = max(ENOUGH, BUSY * load.open_s, load.busy_s / 2)
        if short < enough or not STEP <= short / max(1, load.steps) < LONG:
            return None
        share = min(1.0, load.busy_s / load.open_s) if load.open_s > 0 else 1.0
        return (
            f"the event loop was busy {share:.0%} of {load.open_s:.3g} s, with {load.steps} steps of "
            f"{short / load.steps * 1e3:.3g} ms on average: no single call blocked it, it has too much "
            "to do; processes+asyncio shares that among the cores"
        )
