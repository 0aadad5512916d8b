"""What has become of the pages so far: counts, and one example of each way to fail. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Cause:
    """One way in which pages failed: how many, and the first of them."""

    kind: str
    status: int | None
    count: int
    url: str
    message: str


@dataclass(slots=True)
class Tally:
    """The counts of what has come. All of it changes while pages come in."""

    fetched: int = 0
    failed: int = 0
    unchanged: int = 0  # since they were fetched before
    duplicates: int = 0
    skipped: int = 0  # finished in an earlier run
    size: int = 0  # bytes of bodies
    causes: dict[tuple[str, int | None], Cause] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """Count the pages that have come to an end in this run."""
        return self.fetched + self.failed + self.unchanged

    def fail(self, kind: str, status: int | None, url: str, message: str) -> None:
        """Count a failure."""
        self.failed += 1
        cause = self.causes.get((kind, status))
        if cause is None:
            self.causes[kind, status] = Cause(kind, status, 1, url, message)
        else:
            cause.count += 1

    def by_kind(self) -> dict[str, int]:
        """Return how many failed of each kind, the most frequent first."""
        kinds: dict[str, int] = {}
        for cause in self.causes.values():
            kinds[cause.kind] = kinds.get(cause.kind, 0) + cause.count
        return dict(sorted(kinds.items(), key=lambda pair: -pair[1]))

    def as_json(self, seconds: float) -> dict[str, Any]:
        """Return all of it, as `fetch --json` writes it."""
        return {
            "schema": "outpace.fetch/1",
            "fetched": self.fetched,
            "failed": self.failed,
            "unchanged": self.unchanged,
            "duplicates": self.duplicates,
            "skipped": self.skipped,
            "bytes": self.size,
            "seconds": seconds,
            "pages_per_s": self.settled / seconds if seconds > 0 else None,
            "failures": [
                {
                    "kind": cause.kind,
                    "status": cause.status,
                    "count": cause.count,
                    "example": {"url": cause.url, "message": cause.message},
                }
                for cause in sorted(self.causes.values(), key=lambda one: -one.count)
            ],
        }
