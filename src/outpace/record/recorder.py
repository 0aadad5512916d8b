"""The recorder of one run: takes what settles, and makes the timeline of it when somebody asks.

With `record="full"` a helper process looks at the run's threads from outside while it lasts, where that
is possible (`sampler`); the loops of asyncio say themselves what they do. Tested by
`tests/record/test_recorder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from outpace.flow.data import Record, Settled
from outpace.flow.engine import Engine
from outpace.flow.protocol import Recorder as Base
from outpace.machine.cpus import usable_cpus
from outpace.record.collect import Collector, labelled
from outpace.record.intervals import SamplesOf, add_intervals
from outpace.record.timeline import Timeline, Writer

if TYPE_CHECKING:
    from outpace.record.sampler.client import Sampler


class Recorder(Base):
    """The recorder of one run. `writer` gives what draws and saves, when it is needed."""

    def __init__(
        self, record: Record, items: object, writer: Callable[[], Writer] | None = None
    ) -> None:
        """Record nothing yet; items that can be looked up are named by what they are."""
        self._is_full = record == "full"
        self._writer = writer
        label = None
        if isinstance(items, Sequence):
            known: Sequence[Any] = items

            def label(index: int) -> str:
                return labelled(known[index])

        self._collector = Collector(label)
        self._sampler: Sampler | None = None
        self._run: Engine | None = None
        self._samples: SamplesOf = {}

    def opening(self) -> None:
        """Get ready, before the workers are opened."""
        if self._is_full:
            from outpace.record.sampler.client import Sampler  # noqa: PLC0415 - brings subprocess, ctypes

            self._sampler = Sampler()

    def opened(self, run: Engine) -> None:
        """Know the workers."""
        self._run = run
        self.turned(0.0)

    def settled(self, settled: Settled, now: float) -> None:  # noqa: ARG002 - an observer's
        """Take in attempts that have ended."""
        self._collector.add(settled)

    def turned(self, now: float) -> None:  # noqa: ARG002 - an observer's
        """Look at the processes that the workers are in by now, if that is to be done."""
        if self._sampler is not None and self._run is not None and self._run.workers is not None:
            self._sampler.look_at(self._run.workers.processes())

    def closed(self) -> None:
        """Let go of everything but what is known. May be called twice."""
        sampler, self._sampler, self._run = self._sampler, None, None
        if sampler is not None:
            self._samples = sampler.end()

    def timeline(self, run: Engine) -> Timeline:
        """Make the timeline of the run, as far as it has come."""
        model = run.opening.model
        collected = self._collector.collected(model)
        timeline = Timeline(
            model,
            run.began,
            max(run.latest, run.began),
            usable_cpus(),
            run.opening.slots,
            collected.lanes,
            collected.items,
            blocked=list(run.blockings.places),
            startup_s=run.startup_s,
        )
        add_intervals(timeline, collected, self._samples)
        if self._writer is not None:
            timeline.writer = self._writer()
        return timeline
