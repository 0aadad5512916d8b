"""A finished race: who ran, how long it took, whether the results agree, and what to use.

Everything here is data; nothing is computed when it is shown. `as_json` is the versioned format
`outpace.race/1` (docs/race-json.md); a door gives a `Race` the function that shows it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from outpace.errors import UsageError
from outpace.racing.stats import Spread

SCHEMA = "outpace.race/1"

Status = Literal["ran", "not-eligible", "stopped", "failed"]
Results = Literal["same", "different", "not-repeatable", "unchecked"]


@dataclass(slots=True)
class Entrant:
    """Be one model's part in a race.

    Seconds and bytes; medians over the trials. `speedup` is serial's makespan over this one's. Of a
    stopped entrant, `makespan_s` is extrapolated from the `done` items that it got to.
    """

    model: str
    function: str
    status: Status = "ran"
    reason: str | None = None
    workers: int | None = None
    in_flight: int | None = None
    startup_s: float | None = None
    makespan_s: Spread | None = None
    speedup: float | None = None
    throughput: float | None = None
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    results: Results = "unchecked"
    done: int = 0
    failed: int = 0
    published_s: float | None = None

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
        return row


@dataclass(slots=True, frozen=True)
class Recommendation:
    """Be the model to use, and why, in sentences."""

    model: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one sentence."""
        first, *more = self.reasons or ("",)
        return f"Use {self.model}: {first}" + "".join(f"; {reason}" for reason in more) + "."


@dataclass(slots=True)
class Race:
    """Be a finished race. Prints as the table; `save` writes it by its suffix."""

    machine: dict[str, Any]
    job: dict[str, Any]
    entrants: list[Entrant]
    recommendation: Recommendation
    notes: list[str] = field(default_factory=list)
    show: Callable[[Race], str] = field(default=repr, repr=False)

    def __str__(self) -> str:
        """Return the table, the notes and the recommendation."""
        return self.show(self)

    def entrant(self, model: str) -> Entrant:
        """Return a model's part; raise KeyError when it had none."""
        for entrant in self.entrants:
            if entrant.model == model:
                return entrant
        raise KeyError(model)

    def as_json(self) -> dict[str, Any]:
        """Return everything, as `outpace race --json` writes it."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "job": self.job,
            "entrants": [entrant.as_json() for entrant in self.entrants],
            "recommendation": {
                "model": self.recommendation.model,
                "reasons": list(self.recommendation.reasons),
            },
            "notes": self.notes,
        }

    def save(self, path: str | Path) -> None:
        """Write the race to a file: .json for programs, .md or .txt for people.

        Raises `UsageError` for another suffix.
        """
        path = check_save_path(path)
        text = (
            json.dumps(self.as_json(), indent=2, ensure_ascii=False)
            if path.suffix == ".json"
            else f"```\n{self}\n```"
            if path.suffix == ".md"
            else str(self)
        )
        path.write_text(text + "\n", encoding="utf-8")


def check_save_path(path: str | Path) -> Path:
    """Return the path if a race can be saved there; raise `UsageError` before any work if not."""
    path = Path(path)
    if path.suffix not in (".json", ".md", ".txt"):
        msg = f"a race is saved as .json, .md or .txt, and {str(path)!r} is none of these"
        raise UsageError(msg)
    if not path.absolute().parent.is_dir():
        msg = f"the folder of {str(path)!r} does not exist"
        raise UsageError(msg)
    return path
