"""One measured pass: what it counts as the job's."""

import asyncio
import subprocess
import sys
import time

import pytest

import outpace
from outpace.flow.job import make_job
from outpace.racing.trial import Trial, run_trial
from outpace.registry import opening

ITEMS, SPENT = 2, 0.25  # seconds of CPU of each item's program, what its interpreter takes included
STARTING = 0.45  # of two workers and what starts them; a program that is counted twice is 0.5
BURN = f"import time\nwhile time.process_time() < {SPENT}: pass"


def runs_a_program(_: int) -> int:
    return subprocess.run([sys.executable, "-I", "-S", "-c", BURN], check=True).returncode


async def awaits_a_program(_: int) -> int | None:
    program = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", BURN)
    return await program.wait()


def trial(fn, model, record="off") -> Trial:
    job = make_job(fn, range(ITEMS), record=record, on_error="return")
    found = run_trial(job, opening(model, 2 if "processes" in model else None), 60.0)
    assert found.results == [0] * ITEMS
    return found


@pytest.mark.slow
@pytest.mark.parametrize("start", ["template", "spawn"])
def test_programs_that_items_start_are_counted_under_every_model(start, monkeypatch):
    monkeypatch.setenv("OUTPACE_START", start)
    spent = {
        model: trial(fn, model).cpu_s
        for fn, model in (
            (runs_a_program, "serial"),
            (runs_a_program, "threads"),
            (awaits_a_program, "asyncio"),
            (runs_a_program, "processes"),
            (awaits_a_program, "processes+asyncio"),
        )
    }

    for model, cpu_s in spent.items():
        most = ITEMS * SPENT + (STARTING if "processes" in model else STARTING / 2)
        assert ITEMS * SPENT <= cpu_s < most, (model, spent)


@pytest.mark.slow
def test_workers_that_an_item_starts_are_counted_as_the_programs_that_they_are():
    def starts_workers(_: int) -> int:
        return sum(outpace.map(runs_a_program, [0], model="processes", workers=1))

    for model in ("serial", "processes"):
        assert ITEMS * SPENT <= trial(starts_workers, model).cpu_s < ITEMS * SPENT + 2 * STARTING


def test_what_we_start_for_ourselves_is_not_the_jobs():
    before = time.process_time()
    found = trial(nothing, "processes", record="full")

    assert found.cpu_s < 0.5 + time.process_time() - before


def nothing(_: int) -> int:
    return 0
