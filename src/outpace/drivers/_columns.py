"""The columns of a report while they grow: for a driver whose items end in any order."""

from __future__ import annotations

from array import array
from typing import Any

from outpace.drivers._lane import sequential
from outpace.drivers._pace import Pace
from outpace.flow.data import Failure, Report
from outpace.flow.trace import Trace

# Items that never waited, one after another, are a report of their own from this many: with 1 the
# reports cost more than they save where 1 item in 10 waits; 16 to 256 are alike (bench/chunks.py).
ROW = 64


class Columns:
    """Be the columns of the next reports while they grow."""

    __slots__ = (
        "_owners",
        "_pace",
        "_steps",
        "cpus",
        "ended",
        "failures",
        "indexes",
        "rows",
        "started",
        "values",
    )

    def __init__(self, pace: Pace) -> None:
        """Be empty."""
        self._pace = pace
        self.rows: list[Report] = []
        self.indexes: list[int] = []
        self.values: list[Any] = []
        self.started: list[float] = []
        self.ended: list[float] = []
        self.cpus: list[float] = []
        self.failures: dict[int, Failure] = {}
        self._steps, self._owners = array("d"), array("l")

    def __bool__(self) -> bool:
        """Say whether anything has ended."""
        return bool(self.indexes or self.rows)

    def row(
        self,
        first: int,
        values: list[Any],
        failures: dict[int, Failure],
        edges: array[float],
        trace: Trace,
    ) -> None:
        """Add items that ran one after another: each started when the last one ended."""
        started, ended = edges[:-1], edges[1:]
        if len(values) >= ROW:
            report = sequential(first, values, failures, edges)
            report.trace = trace
            if self._pace.is_full:
                steps = array("d")
                for position, times in enumerate(zip(started, ended, strict=True)):
                    steps.extend((*times, trace.cpu_of(position, started, ended)[0]))
                self._pace.note_steps(trace, steps, array("l", range(len(values))))
            self.rows.append(report)
            return
        for position, value in enumerate(values):
            times = started[position], ended[position]
            cpu, _ = trace.cpu_of(position, started, ended)
            step = array("d", (*times, cpu)) if self._pace.is_full else None
            self.one(first + position, value, failures.get(position), times, (cpu, step))

    def one(
        self,
        index: int,
        value: object,
        failure: Failure | None,
        times: tuple[float, float],
        cost: tuple[float, array[float] | None],
    ) -> None:
        """Add an item: when it started and ended, its CPU seconds, and its steps if they are kept."""
        cpu, steps = cost
        if failure is not None:
            self.failures[len(self.indexes)] = failure
        if steps is not None:
            self._owners.extend([len(self.indexes)] * (len(steps) // 3))
            self._steps.extend(steps)
        self.indexes.append(index)
        self.values.append(value)
        self.started.append(times[0])
        self.ended.append(times[1])
        self.cpus.append(cpu)

    def whole(self) -> Columns:
        """Return those items that are wholly noted: one may be half so, if another thread notes it."""
        other, n = Columns(self._pace), len(self.cpus)
        other.rows = list(self.rows)
        other.indexes, other.values = self.indexes[:n], self.values[:n]
        other.started, other.ended = self.started[:n], self.ended[:n]
        other.cpus = self.cpus[:n]
        other.failures = {p: failure for p, failure in self.failures.items() if p < n}
        return other

    def reports(self, cpu_s: float) -> list[Report]:
        """Make the reports, sharing out the CPU time."""
        if not self:
            return []
        reports = self.rows
        trace = self._pace.trace(self.cpus, self._steps, self._owners)
        if self.indexes:
            times = array("d", self.started), array("d", self.ended)
            reports.append(Report(self.indexes, self.values, *times, self.failures, trace=trace))
        elif trace is not None and reports[-1].trace is not None:
            reports[-1].trace.take_loop(trace)
        each = cpu_s / sum(map(len, reports))
        for report in reports:
            report.cpu_s = each * len(report)
        return reports
