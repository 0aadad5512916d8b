"""A finished race: who ran, how long it took, whether the results agree, and what to use.

Everything here is data; nothing is computed when it is shown. `as_json` is the versioned format
`outpace.race/1` (docs/race-json.md); a door gives a `Race` the function that shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from outpace.errors import UsageError
from outpace.racing.stats import MedianRange
from outpace.record.timeline import Timeline, Writer
from outpace.record.timeline_json import as_json as timeline_json

RACE_SCHEMA = "outpace.race/1"

Status = Literal["ran", "not-eligible", "stopped", "failed"]
Results = Literal["same", "different", "not-repeatable", "unchecked"]


@dataclass(slots=True)
class Entrant:
    """One model's part in a race.

    Seconds and bytes; medians over the trials. `speedup` is serial's makespan over this one's. Of a
    stopped entrant, `makespan_s` is extrapolated from the `done` items that it got to, unless it was
    stopped inside one that hangs, `hanging_item`.
    """

    model: str
    function: str
    status: Status = "ran"
    reason: str | None = None
    workers: int | None = None
    in_flight: int | None = None
    startup_s: float | None = None
    makespan_s: MedianRange | None = None
    speedup: float | None = None
    throughput: float | None = None
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    results: Results = "unchecked"
    done: int = 0
    hanging_item: int | None = None
    failed: int = 0
    published_s: float | None = None
    timeline: Timeline | None = field(default=None, repr=False)

    @property
    def total_s(self) -> float | None:
        """Return start-up and makespan together: what a user waits for."""
        if self.makespan_s is None:
            return None
        return (self.startup_s or 0.0) + self.makespan_s.median

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON of a race has it."""
        row = {name: getattr(self, name) for name in self.__slots__}
        if self.makespan_s is not None:
            row["makespan_s"] = self.makespan_s.as_json()
        if self.timeline is not None:
            row["timeline"] = timeline_json(self.timeline)
        return row


@dataclass(slots=True, frozen=True)
class Recommendation:
    """The model to use, and why, in sentences."""

    model: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one sentence."""
        first, *more = self.reasons or ("",)
        return f"Use {self.model}: {first}" + "".join(f"; {reason}" for reason in more) + "."


@dataclass(slots=True)
class Race:
    """A finished race. Prints as the table; `save` writes it by its suffix."""

    machine: dict[str, Any]
    job: dict[str, Any]
    entrants: list[Entrant]
    recommendation: Recommendation
    notes: list[str] = field(default_factory=list)
    show: Callable[[Race], str] = field(default=repr, repr=False)
    writer: Writer | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the table, the notes and the recommendation."""
        return self.show(self)

    def __repr__(self) -> str:
        """Say in one line what was raced, and what to use; `print` shows the table."""
        name, items = self.job.get("name", ""), self.job.get("items", 0)
        return (
            f"<outpace.Race {name}: {items} items under {len(self.entrants)} models; "
            f"use {self.recommendation.model}>"
        )

    def entrant(self, model: str) -> Entrant:
        """Return a model's part; raise KeyError when it had none."""
        for entrant in self.entrants:
            if entrant.model == model:
                return entrant
        raise KeyError(model)

    def as_json(self) -> dict[str, Any]:
        """Return everything, as `outpace race --json` writes it."""
        return {
            "schema": RACE_SCHEMA,
            "machine": self.machine,
            "job": self.job,
            "entrants": [entrant.as_json() for entrant in self.entrants],
            "recommendation": {
                "model": self.recommendation.model,
                "reasons": list(self.recommendation.reasons),
            },
            "notes": self.notes,
        }

    def timeline(self, model: str) -> Timeline:
        """Return what ran when under a model, in the trial nearest to its median.

        Raises `UsageError` when it took no part or no item of it ended.
        """
        for entrant in self.entrants:
            if entrant.model == model and entrant.timeline is not None:
                return entrant.timeline
        having = ", ".join(e.model for e in self.entrants if e.timeline is not None) or "none"
        raise UsageError(f"there is no timeline of {model!r} in this race; there is of: {having}")

    def save(self, path: str | Path) -> None:
        """Write the race to a file, by its suffix.

        .json for programs, with all timelines; .md or .txt, the table; .svg, .png, .html, pictures of
        what ran when; .trace.json, for Perfetto. Raises `UsageError` for another suffix.
        """
        if self.writer is None:
            raise UsageError("a race that was put together by hand has no writer to save it with")
        self.writer.save(self, path)

    def _repr_html_(self) -> str | None:
        """Draw itself in a notebook."""
        return None if self.writer is None else self.writer.notebook(self)
