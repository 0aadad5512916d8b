"""One measured pass of an entrant: the same items through one model, timed from outside.

Start-up ends when the workers are ready; the makespan runs from then to the last outcome. CPU is this
process's and every worker's, with that of the programs that they have started and waited for; memory
is the sum of each process's own peak, as the system accounts it, so nothing is sampled and nothing runs
beside the measured work.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from outpace.flow.flow import Flow
from outpace.flow.job import Job
from outpace.flow.run import releases
from outpace.hosts._usage import peak_bytes
from outpace.machine import cpu_s, run_delay
from outpace.record.recorder import Recorder
from outpace.record.timeline import Timeline
from outpace.registry import Opening

clock = time.perf_counter


@dataclass(slots=True)
class Trial:
    """Be what one pass has shown. Seconds and bytes; `results` has a value or a `Failure` an item."""

    startup_s: float
    makespan_s: float
    cpu_s: float
    peak_bytes: int
    item_wall_s: float
    item_cpu_s: float
    item_delay_s: float  # ready to run with no CPU free; only known where items run in the caller
    stopped: bool
    results: list[Any] = field(repr=False)
    timeline: Callable[[], Timeline] | None = field(repr=False)  # few are looked at


def run_trial(
    job: Job, opening: Opening, allowed_s: float, progress: Any = lambda _done: None
) -> Trial:
    """Carry the job out under one model; stop it when it has taken longer than it is allowed."""
    record = job.call.record
    recorder = None if record == "off" else Recorder(record, job.items)
    flow = Flow(job, opening, recorder, quiet=True)
    gc.collect()  # so that nobody pays for the garbage of the entrant before
    _forget_peak()
    cpu_before, delay_before = cpu_s(), run_delay()
    results: list[Any] = []
    walls: list[float] = []
    cpus: list[float] = []
    timer = threading.Timer(allowed_s, flow.abandon)
    timer.daemon = True
    timer.start()
    try:
        with contextlib.closing(releases(flow)) as released:
            for settled, positions in released:
                report = settled.report
                values, failures = report.values, report.failures
                results += [failures.get(p) or values[p] for p in positions]
                walls.append(sum(report.ended[p] - report.started[p] for p in positions))
                cpus.append(report.cpu_s * len(positions) / len(report))
                progress(len(results))
    finally:
        timer.cancel()
        timer.join()
    done = max(1, len(results))
    return Trial(
        startup_s=flow.startup_s,
        makespan_s=flow.latest - flow.began,
        cpu_s=cpu_s() - cpu_before,
        peak_bytes=peak_bytes() + flow.usage.peak_bytes,
        item_wall_s=sum(walls) / done,
        item_cpu_s=sum(cpus) / done,
        item_delay_s=(run_delay() - delay_before) / done,
        stopped=flow.abandoned,
        results=results,
        timeline=None if recorder is None else partial(recorder.timeline, flow),
    )


def _forget_peak() -> None:
    """Let the system's account of this process's peak memory begin anew, where it can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
