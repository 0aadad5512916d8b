"""The columns of a report while they grow: for a driver whose items end in any order."""

from __future__ import annotations

from array import array
from typing import Any

from outpace.drivers._lane import sequential
from outpace.flow.data import Failure, Report

# Items that never waited, one after another, are a report of their own from this many: with 1 the
# reports cost more than they save where 1 item in 10 waits; 16 to 256 are alike (bench/chunks.py).
ROW = 64


class Columns:
    """Be the columns of the next reports while they grow."""

    __slots__ = ("ended", "failures", "indexes", "rows", "started", "values")

    def __init__(self) -> None:
        """Be empty."""
        self.rows: list[Report] = []
        self.indexes: list[int] = []
        self.values: list[Any] = []
        self.started: list[float] = []
        self.ended: list[float] = []
        self.failures: dict[int, Failure] = {}

    def __bool__(self) -> bool:
        """Say whether anything has ended."""
        return bool(self.indexes or self.rows)

    def row(
        self, first: int, values: list[Any], failures: dict[int, Failure], edges: array[float]
    ) -> None:
        """Add items that ran one after another: each started when the last one ended."""
        if len(values) >= ROW:
            self.rows.append(sequential(first, values, failures, edges))
            return
        for position, value in enumerate(values):
            times = edges[position], edges[position + 1]
            self.one(first + position, value, failures.get(position), *times)

    def one(
        self, index: int, value: object, failure: Failure | None, started: float, ended: float
    ) -> None:
        """Add an item."""
        if failure is not None:
            self.failures[len(self.indexes)] = failure
        self.indexes.append(index)
        self.values.append(value)
        self.started.append(started)
        self.ended.append(ended)

    def reports(self, cpu_s: float) -> list[Report]:
        """Make the reports, sharing out the CPU time."""
        reports = self.rows
        if self.indexes:
            times = array("d", self.started), array("d", self.ended)
            reports.append(Report(self.indexes, self.values, *times, self.failures))
        each = cpu_s / max(1, sum(map(len, reports)))
        for report in reports:
            report.cpu_s = each * len(report)
        return reports
