"""The facts of the machine that are stored with every race, and what it can give at best.

The two controls are work whose answer is known: a pure wait, which any number of lanes can overlap,
and a pure Python loop, which only more cores can speed up. A speedup in the table is read against
what the controls got in the same minute on the same machine.
"""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass
from typing import Any

from outpace.flow.job import make_job
from outpace.machine.cpus import cpu_quota, gil_enabled, usable_cpus
from outpace.machine.memory import memory_limit
from outpace.racing.trial import run_trial
from outpace.registry import opening

WAIT_S = 0.02  # one wait of the control; long against a timer's error
WAIT_COUNT = 20
LOOP_TURNS = 300_000  # turns of one loop of the control: about 10 ms
LOOPS_A_CPU = 4  # loops per core
BUSY, LUCKY = 0.7, 1.2  # times the cores: what processes gain outside of this is not to be trusted
ALLOWED_S = 20.0  # seconds; a control takes less than one


def facts() -> dict[str, Any]:
    """Return what a reader needs to know of this machine and Python."""
    return {
        "cpus": usable_cpus(),
        "cpu_quota": cpu_quota(),
        "memory_limit_bytes": memory_limit(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": gil_enabled(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "free_threaded_build": bool(getattr(sys, "abiflags", "").count("t")),
    }


@dataclass(slots=True, frozen=True)
class Controls:
    """The speedups over serial that known work got: `loop` and `wait`, by model."""

    loop: dict[str, float]
    wait: dict[str, float]
    waits_at_once: int = WAIT_COUNT

    def __str__(self) -> str:
        """Say in one line what this machine gives at best."""
        loop = ", ".join(f"x{speedup:.2f} with {name}" for name, speedup in self.loop.items())
        wait = ", ".join(f"x{speedup:.1f} with {name}" for name, speedup in self.wait.items())
        return (
            f"this machine at best: a pure Python loop {loop}; "
            f"{self.waits_at_once} pure waits at once {wait}"
        )

    def doubts(self, cpus: int) -> str | None:
        """Say so when the cores were not ours alone, by what processes gained on a pure loop."""
        gained = self.loop.get("processes", float(cpus))
        if BUSY * cpus <= gained <= LUCKY * cpus:
            return None
        return (
            f"on {cpus} CPUs a pure loop should gain about x{cpus} with processes and gained "
            f"x{gained:.2f}: something else is using this machine, so race again when it is quiet"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON of a race has it."""
        return {"loop": self.loop, "wait": self.wait, "waits_at_once": self.waits_at_once}


def measure_controls() -> Controls:
    """Run the two controls; takes about a second.

    Each twice, turn about, and the best of two: a control says what is possible here.
    """
    cpus = usable_cpus()
    loops, waits = [LOOP_TURNS] * (LOOPS_A_CPU * cpus), [WAIT_S] * WAIT_COUNT
    runs: dict[str, list[float]] = {}
    for _ in range(2):
        for name, fn, items, model, at_once in (
            ("serial", _loop, loops, "serial", None),
            ("loop threads", _loop, loops, "threads", cpus),
            ("loop processes", _loop, loops, "processes", cpus),
            ("wait threads", time.sleep, waits, "threads", WAIT_COUNT),
            ("wait asyncio", _await, waits, "asyncio", WAIT_COUNT),
        ):
            runs.setdefault(name, []).append(_makespan(fn, items, model, at_once))
    best = {name: min(times) for name, times in runs.items()}
    return Controls(
        loop={m: best["serial"] / best[f"loop {m}"] for m in ("threads", "processes")},
        wait={m: WAIT_S * WAIT_COUNT / best[f"wait {m}"] for m in ("threads", "asyncio")},
    )


def _makespan(fn: Any, items: list[Any], model: str, in_flight: int | None) -> float:
    """Return the seconds that a control takes under a model."""
    job = make_job(fn, items)
    chosen = opening(model, in_flight if model == "processes" else None, in_flight)
    return run_trial(job, chosen, ALLOWED_S).makespan_s


def _loop(turns: int) -> int:
    """Compute in pure Python."""
    total = 0
    for n in range(turns):
        total += n
    return total


async def _await(seconds: float) -> None:
    """Wait."""
    import asyncio  # noqa: PLC0415 - loaded by then anyway

    await asyncio.sleep(seconds)
