"""One measured pass of an entrant: the same items through one model, timed from outside.

Start-up ends when the workers are ready; the makespan runs from then to the last outcome. CPU is this
process's and every worker's, with that of the programs that they have started and waited for; memory
is the sum of each process's own peak, as the system accounts it, so nothing is sampled and nothing runs
beside the measured work.

A pass ends when its time is up, also in the middle of an item: `time_limit` breaks into the main
thread. Nobody can break into any other, so there a pass has a thread of its own, to be left if need be.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from outpace.flow.engine import Engine
from outpace.flow.job import Job
from outpace.flow.protocol import Observer
from outpace.flow.run import releases
from outpace.flow.signals import Terminated
from outpace.hosts._usage import peak_bytes
from outpace.machine.cpu_time import cpu_s, run_delay
from outpace.racing.plan import hangs
from outpace.racing.time_limit import GENTLE_S, OutOfTime, TimeLimit
from outpace.record.recorder import Recorder
from outpace.record.timeline import Timeline
from outpace.registry import Opening

clock = time.perf_counter


@dataclass(slots=True)
class Trial:
    """What one pass has shown. Seconds and bytes; `results` has a value or a `Failure` an item.

    `settled` also counts items whose results wait for that of an earlier one. `inside` is, of a pass
    that did not come to its end, the item that had run longest then, and for how long; `hangs` says that
    no other item took nearly as long.
    """

    startup_s: float
    makespan_s: float
    cpu_s: float
    peak_bytes: int
    item_wall_s: float
    item_cpu_s: float
    item_delay_s: float  # ready to run with no CPU free; only known where items run in the caller
    settled: int
    stopped: bool
    inside: tuple[int, float] | None
    hangs: bool
    results: list[Any] = field(repr=False)
    timeline: Callable[[], Timeline] | None = field(repr=False)  # few are looked at


def run_trial(
    job: Job, opening: Opening, allowed_s: float, observers: Sequence[Observer] = ()
) -> Trial:
    """Carry the job out under one model; stop it when it has taken longer than it is allowed.

    An interrupt goes on as one, and has as its `trial` what there was by then.
    """
    a_pass = _Pass(job, opening, observers)
    hosted, inline = opening.of.host is not None, opening.of.driver.inline
    limit = TimeLimit(a_pass.engine, allowed_s, hosted=hosted, inline=inline)
    try:
        if limit.breaks_in or hosted:
            a_pass.carry()
        else:
            a_pass.carry_apart(allowed_s)
    except OutOfTime:
        pass
    except (KeyboardInterrupt, Terminated) as interrupt:
        limit.look()
        interrupt.trial = a_pass.trial(limit)  # type: ignore[union-attr]
        raise
    finally:
        with contextlib.suppress(OutOfTime):  # it may come just now
            limit.close()
        limit.close()
    return a_pass.trial(limit)


class _Pass:
    """A run on its way, and what it has shown so far."""

    def __init__(self, job: Job, opening: Opening, observers: Sequence[Observer]) -> None:
        """Begin to measure."""
        record = job.call.record
        self.recorder = None if record == "off" else Recorder(record, job.items)
        self.engine = Engine(job, opening, self.recorder, observers, quiet=True)
        gc.collect()  # so that nobody pays for the garbage of the entrant before
        _forget_peak()
        self._cpu_before, self._delay_before = cpu_s(), run_delay()
        self._began = clock()
        self._results: list[Any] = []
        self._walls: list[float] = []
        self._cpus: list[float] = []

    def carry(self) -> None:
        """Carry the job out."""
        with contextlib.closing(releases(self.engine)) as released:
            for settled, positions in released:
                report = settled.report
                values, failures = report.values, report.failures
                self._results += [failures.get(p) or values[p] for p in positions]
                self._walls.append(sum(report.ended[p] - report.started[p] for p in positions))
                self._cpus.append(report.cpu_s * len(positions) / len(report))

    def carry_apart(self, allowed_s: float) -> None:
        """Carry the job out in a thread of its own; leave it there when it goes on after its time."""
        errors: list[BaseException] = []

        def run_race() -> None:
            try:
                self.carry()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
                errors.append(error)

        thread = threading.Thread(target=run_race, name="outpace-trial", daemon=True)
        thread.start()
        thread.join(allowed_s + GENTLE_S)
        if errors:
            raise errors[0]
        if thread.is_alive() and self.recorder is not None:
            self.recorder.closed()

    def trial(self, limit: TimeLimit) -> Trial:
        """Sum up what there is."""
        engine, results, ended = self.engine, self._results, limit.ended
        done, began, latest = len(results), engine.began, engine.latest
        if not began or (ended is not None and ended < began):  # time was up before they were ready
            began = latest = ended or self._began
        wall_s, items_cpu_s = sum(self._walls), sum(self._cpus)
        delay_s = run_delay() - self._delay_before
        all_cpu_s = cpu_s() - self._cpu_before
        settled = engine.dispatcher.counts.settled
        is_hanging = False
        if ended is not None and limit.inside is not None:
            if engine.opening.slots == 1 and not engine.opening.shared:
                settled = max(settled, limit.inside[0])  # those before it, reported or not
            is_hanging = hangs(limit.inside[1], ended - began, wall_s, done)
        if ended is not None and (is_hanging or not done):
            latest, delay_s = ended, 0.0
        if not done:  # all that is known of an item is what it has taken so far
            wall_s = latest - began
            items_cpu_s = min(all_cpu_s, wall_s)
        return Trial(
            startup_s=engine.startup_s if began == engine.began else began - self._began,
            makespan_s=latest - began,
            cpu_s=all_cpu_s,
            peak_bytes=peak_bytes() + engine.account.peak_bytes,
            item_wall_s=wall_s / max(1, done),
            item_cpu_s=items_cpu_s / max(1, done),
            item_delay_s=delay_s / max(1, done),
            settled=settled,
            stopped=ended is not None,
            inside=limit.inside,
            hangs=is_hanging,
            results=results,
            timeline=None if self.recorder is None else partial(self.recorder.timeline, engine),
        )


def _forget_peak() -> None:
    """Let the system's account of this process's peak memory begin anew, where it can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
