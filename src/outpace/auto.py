"""`model="auto"`: run the first items where they are, measure them, and choose for the rest.

A coroutine function goes to asyncio. A plain function's first items are carried out in the caller,
their wall and CPU time taken; their results are kept, so no item ever runs twice. Then:

* they mostly wait                  -> threads
* they compute, and enough is left  -> processes
* too little is left, or too short  -> serial: concurrency has a price

How much is enough is the ski-rental rule (Karlin et al., 1988): when the length is not known, start
the processes once as much time has been spent as starting them costs; that is never worse than twice
the best choice in hindsight. Once chosen, the choice stays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from outpace.errors import TransferError, WorkerStartError
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.outstanding import Outstanding
from outpace.flow.protocol import AsyncWorkers, Call, Care, Running, Usage, Workers
from outpace.flow.show import seconds
from outpace.flow.signals import undisturbed
from outpace.machine.cpu_time import run_delay
from outpace.machine.cpus import gil_enabled, usable_cpus
from outpace.registry import ANY, elsewhere, opening

ENOUGH = 0.03  # seconds measured before a choice is made, unless one item takes longer
WAITING = 0.5  # an item that is off the CPU for this share of its time waits rather than computes
STARTING = 0.25  # seconds that two worker processes and the imports of a usual job take to start
FEWEST, MOST = 8, 64  # threads for waiting work; more cost memory and switches
GAIN = 1.2  # the expected speedup below which the simpler way stays


@dataclass(slots=True)
class Auto:
    """Be the opening of a model that is still to be chosen."""

    total: int | None
    asked_workers: int | None
    asked_in_flight: int | None
    care: Care = ANY
    workers: int = 1
    slots: int = 1
    shared: bool = False
    model: str = "auto"
    startup_s: float = 0.0  # of the workers that were chosen
    reasons: list[str] = field(default_factory=list)

    def open(self, call: Call) -> Workers:
        """Begin where the caller is."""
        return AutoWorkers(self, call, opening("serial").open(call))

    async def aopen(self, call: Call) -> AsyncWorkers:
        """Begin in a thread, so that the caller's loop goes on."""
        return await elsewhere(lambda: self.open(call)).aopen()

    def choose(self, model: str, why: str, call: Call, at_once: int | None) -> Workers | None:
        """Settle on a model; return its workers, or None to stay serial.

        `at_once` is what the measurement suggests where the user asked for nothing.
        """
        if model == "serial":
            self.settle(model, why)
            return None
        care = self.care if model.startswith("processes") else ANY
        at_once = self.asked_in_flight or at_once
        chosen = opening(model, self.asked_workers, at_once, care, total=self.total)
        before = time.perf_counter()
        try:
            workers = chosen.open(call)
        except (TransferError, WorkerStartError) as error:  # it would never work here
            self.settle("serial", f"serial, where {model} would have been chosen, but {error}")
            return None
        self.startup_s = time.perf_counter() - before
        self.settle(model, why)
        self.workers, self.slots, self.shared = chosen.workers, chosen.slots, chosen.shared
        return workers

    def settle(self, model: str, why: str) -> None:
        """Note what is used from now on, and why."""
        self.model = model
        self.reasons.append(why)


class AutoWorkers:
    """Be the serial workers first, and the chosen ones later."""

    def __init__(self, auto: Auto, call: Call, first: Workers) -> None:
        """Measure nothing yet."""
        self._auto = auto
        self._call = call
        self._workers = first
        self._measuring = True
        self._out = Outstanding()  # what the first workers have, to be handed on when they change
        self._items = 0
        self._wall = self._cpu = self._process_cpu = self._delay = 0.0
        self._usage = Usage()

    @property
    def slots(self) -> int:
        """Say how many items can run at once."""
        return self._workers.slots

    @property
    def usage(self) -> Usage:
        """Say what workers outside this process used."""
        return self._workers.usage

    def processes(self) -> list[int]:
        """List the processes that the workers are in."""
        return self._workers.processes()

    def start(self, chunk: Chunk) -> None:
        """Hand over items."""
        if self._measuring:
            self._out.add(chunk)
        self._workers.start(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for reports; measure the first ones, and choose when they say enough."""
        if not self._measuring:
            return self._workers.reports(timeout)
        process_before, delay_before = time.process_time(), run_delay()
        reports = self._workers.reports(timeout)
        self._process_cpu += time.process_time() - process_before
        self._delay += run_delay() - delay_before
        for report in reports:
            assert isinstance(report, Report)
            self._out.match(report.indexes)
            self._items += len(report)
            self._wall += report.ended[-1] - report.started[0]
            self._cpu += report.cpu_s
        if self._wall >= ENOUGH and self._choose():
            return [*reports, *(Returned(chunk.indexes) for chunk in self._out.drain())]
        return reports

    def cancel(self, worker: int, index: int) -> None:
        """Put an end to an item whose time is up."""
        self._workers.cancel(worker, index)

    def wake(self) -> None:
        """Make `reports` return early."""
        self._workers.wake()

    def running(self) -> Iterable[Running]:
        """Yield every item that runs now."""
        return self._workers.running()

    def interrupt(self) -> None:
        """Have `close` wait for nobody for long."""
        self._workers.interrupt()

    def close(self) -> None:
        """Close whichever workers there are; say so if there never was anything to choose."""
        if self._measuring and self._items:
            self._measuring = False
            seen = f"the {self._items} items took {seconds(self._wall)} in all"
            self._auto.settle("serial", f"serial: {seen}, and were done before a choice was due")
        self._workers.close()

    @undisturbed
    def _choose(self) -> bool:
        """Choose by what was measured, unless it is too early; say whether the workers changed."""
        model, why = self.verdict()
        if model is None:
            return False
        self._measuring = False
        at_once = None
        if model == "threads" and self._auto.asked_workers is None:
            fill = math.ceil(self._wall / max(self._cpu, 1e-6))  # so many keep one core busy
            at_once = max(FEWEST, min(fill, MOST))
        chosen = self._auto.choose(model, why, self._call, at_once)
        if chosen is None:
            return False
        before, self._workers = self._workers, chosen
        before.close()
        return True

    def verdict(self) -> tuple[str | None, str]:  # noqa: PLR0911 - a decision table, read downwards
        """Return a model and why; None while it is too early to tell."""
        auto, item = self._auto, self._wall / self._items
        left = None if auto.total is None else (auto.total - self._items) * item
        waits = max(0.0, 1 - (self._cpu + self._delay) / self._wall)
        some = f"the first {self._items} items" if self._items > 1 else "the first item"
        seen = f"{some} took {seconds(item)}{' each' if self._items > 1 else ''}"
        if left is not None and left < STARTING / 2:
            return "serial", f"serial: {seen}, and only about {seconds(left)} of work was left"
        if waits >= WAITING:
            return "threads", f"threads: {seen}, {waits:.0%} of it waiting, which overlaps"
        if self._process_cpu > 1.5 * self._wall:
            return "serial", f"serial: {seen}, and each already used several cores by itself"
        if not gil_enabled():
            return "threads", f"threads: {seen}, computing, and this Python has no GIL"
        cpus = auto.asked_workers or usable_cpus()
        if cpus == 1:
            return "serial", f"serial: {seen}, computing, and there is one CPU to compute on"
        if left is None:
            if self._wall < STARTING:
                return None, ""
            return "processes", f"processes: {seen}, {1 - waits:.0%} of it computing"
        if left / (STARTING + left / cpus) < GAIN:
            return "serial", (
                f"serial: {seen}, and starting processes would cost about as much as the "
                f"{seconds(left)} of work that was left"
            )
        return "processes", f"processes: {seen}, {1 - waits:.0%} of it computing"
