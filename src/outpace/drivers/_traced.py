"""The columns of a report of an event loop, with what its items have cost the loop."""

from __future__ import annotations

from array import array
from typing import Any

from outpace.drivers._columns import ROW, Columns
from outpace.drivers._lane import sequential
from outpace.drivers._pace import Pace
from outpace.flow.data import Failure, Report
from outpace.flow.trace import Trace


class Traced(Columns):
    """Be the columns of the next reports of a loop while they grow."""

    __slots__ = ("_owners", "_pace", "_steps", "cpus")

    def __init__(self, pace: Pace) -> None:
        """Be empty."""
        super().__init__()
        self._pace = pace
        self.cpus: list[float] = []
        self._steps, self._owners = array("d"), array("l")

    def add_row(
        self,
        first: int,
        values: list[Any],
        failures: dict[int, Failure],
        edges: array[float],
        trace: Trace,
    ) -> None:
        """Add items that ran one after another: each started when the last one ended."""
        started, ended = edges[:-1], edges[1:]
        if len(values) < ROW:
            for position, value in enumerate(values):
                times = started[position], ended[position]
                cpu, _ = trace.cpu_of(position, started, ended)
                step = array("d", (*times, cpu)) if self._pace.is_full else None
                self.add(first + position, value, failures.get(position), times, (cpu, step))
            return
        report = sequential(first, values, failures, edges)
        report.trace = trace
        if self._pace.is_full:
            steps = array("d")
            for position, times in enumerate(zip(started, ended, strict=True)):
                steps.extend((*times, trace.cpu_of(position, started, ended)[0]))
            self._pace.note_steps(trace, steps, array("l", range(len(values))))
        self.rows.append(report)

    def add(
        self,
        index: int,
        value: object,
        failure: Failure | None,
        times: tuple[float, float],
        cost: tuple[float, array[float] | None],
    ) -> None:
        """Add an item: when it started and ended, its CPU seconds, and its steps if they are kept."""
        cpu, steps = cost
        if steps is not None:
            self._owners.extend([len(self.indexes)] * (len(steps) // 3))
            self._steps.extend(steps)
        self.one(index, value, failure, *times)
        self.cpus.append(cpu)

    def reports(self, cpu_s: float) -> list[Report]:
        """Make the reports, sharing out the CPU time."""
        reports = super().reports(cpu_s)
        if not reports:
            return reports
        count = sum(map(len, reports))
        trace = self._pace.trace(count, self.cpus, self._steps, self._owners)
        if trace is not None and self.indexes:
            reports[-1].trace = trace
        elif trace is not None and reports[-1].trace is not None:
            reports[-1].trace.take_loop(trace)
        return reports
