"""What a run has taken of CPUs and memory: an observer that adds up what reports and the system say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outpace.flow.data import Settled
from outpace.flow.protocol import Observer, Usage, Workers
from outpace.machine.cpu_time import children_s

if TYPE_CHECKING:
    from outpace.flow.engine import Engine


class Account(Observer):
    """The CPU seconds of one run's items, of the programs that they start, and of workers elsewhere."""

    def __init__(self) -> None:
        """Have nothing to add up yet."""
        self._workers: Workers | None = None
        self._usage = Usage()
        self._items_s = self._children_s = 0.0
        self._children_before: float | None = None  # of the whole process, while this goes on

    def opening(self) -> None:
        """Note what this process's children have taken before."""
        self._children_before = children_s()

    def opened(self, run: Engine) -> None:
        """Know the workers."""
        self._workers = run.workers

    def settled(self, settled: Settled, now: float) -> None:  # noqa: ARG002 - an observer's
        """Add what attempts have taken."""
        self._items_s += settled.report.items_cpu_s

    def closed(self) -> None:
        """Note what is known at the end."""
        self._usage = self.usage
        self._children_s, self._children_before = self.children_s, None
        self._workers = None

    @property
    def usage(self) -> Usage:
        """Return what workers elsewhere have used."""
        return self._usage if self._workers is None else self._workers.usage

    @property
    def peak_bytes(self) -> int:
        """Return the sum of the peaks of workers elsewhere, at the end; 0 where there are none."""
        return self._usage.peak_bytes

    @property
    def children_s(self) -> float:
        """Return the CPU seconds of the workers elsewhere and of other children, in the meantime."""
        before = self._children_before
        return self._children_s if before is None else children_s() - before

    def cpu_s(self, *, measured: bool) -> float | None:
        """Return the CPU seconds of it all, None without any; of workers alone unless `measured`."""
        workers = self.usage.cpu_s
        if not measured:
            return workers or None
        return max(workers, self._items_s) + self.children_s - workers or None
