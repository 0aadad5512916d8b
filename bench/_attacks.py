"""Runs that are attacked from outside, runs inside runs, and many runs one after another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _misbehaving import FLAT
from _torture import Checked, Options
from memory import memory_mb

import outpace
from outpace.registry import all_models, find

HOW = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGSTOP)
STOPPED = 0.05  # seconds; for ever would hang a run: who is stopped between two items is not late


def where(number: int) -> tuple[int, int, int]:
    """Take a moment; return where that was: a worker and its template."""
    time.sleep(0.001)
    return number, os.getpid(), os.getppid()


async def where_on_loop(number: int) -> tuple[int, int, int]:
    """Do the same on an event loop."""
    await asyncio.sleep(0.001)
    return number, os.getpid(), os.getppid()


def attacked(options: Options) -> Checked:
    """Kill workers and templates, and stop workers for a moment; only what they were on may suffer."""
    dice = random.Random(options.seed)
    count, said, wrong = max(1000, options.some(20_000)), [], []
    for model in [model.name for model in all_models() if model.host]:
        hit: Counter[str] = Counter()
        times: Counter[int] = Counter()
        bad = 0
        fn: Any = where_on_loop if find(model).driver.native_async else where
        settings: dict[str, Any] = {} if model == "processes" else {"in_flight": 8}
        run = outpace.run(
            fn, range(count), model=model, workers=2, timeout=options.timeout, **settings
        )
        for outcome in run:
            times[outcome.index] += 1
            if not outcome.ok:
                bad += 1
                if outcome.kind not in {"lost", "timed-out"}:
                    wrong.append(
                        f"{model}: item {outcome.index} is {outcome.kind}: {outcome.error}"
                    )
            elif outcome.value[0] != outcome.index:
                wrong.append(f"{model}: item {outcome.index} gives {outcome.value}")
            elif dice.random() < 1 / 200:
                _, worker, template = outcome.value
                if dice.random() < 1 / 8:
                    hit["template"] += attack(template, signal.SIGKILL)
                else:
                    how = dice.choice(HOW)
                    hit[how.name] += attack(worker, how)
        wrong += [f"{model}: item {n} came {times[n]} times" for n in range(count) if times[n] != 1]
        at_most = hit.total() - hit["template"] - hit["SIGSTOP"]  # the one that was running
        if bad > at_most:
            wrong.append(f"{model}: {bad} items suffered from {dict(hit)}")
        said.append(f"{model} {hit.total()} ({bad} items suffered)")
    return Checked(f"{count} items each; attacks: {', '.join(said)}", wrong)


def attack(pid: int, how: signal.Signals) -> bool:
    """Send a signal to a process if it is of ours and still there; say whether it was."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        ours = f"TMPDIR={os.environ['TMPDIR']}\0".encode()
        if ours not in Path(f"/proc/{pid}/environ").read_bytes():
            return False
        signal.pidfd_send_signal(process, how)
        if how == signal.SIGSTOP:
            time.sleep(STOPPED)
            signal.pidfd_send_signal(process, signal.SIGCONT)
    except OSError:
        return False
    finally:
        os.close(process)
    return True


def run_inside(task: tuple[str, int]) -> int:
    """Run a model in an item; return the sum of what came."""
    model, count = task
    on_loop = find(model).driver.native_async
    return sum(
        outpace.map(twice_on_loop if on_loop else twice, range(count), model=model, workers=2)
    )


def twice(number: int) -> int:
    return 2 * number


async def twice_on_loop(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def nested(options: Options) -> Checked:
    """Run every model in items of every model."""
    names = [model.name for model in all_models() if model.unavailable() is None]
    wrong = []
    repeat = max(1, options.some(4))
    for outer in names:
        tasks = [(inner, 10) for inner in names for _ in range(repeat)]
        sums = list(outpace.map(run_inside, tasks, model=outer, workers=2))
        if sums != [90] * len(tasks):
            wrong.append(f"{outer}: {sums}")
    return Checked(f"{len(names)} models in {len(names)}, {repeat} times", wrong)


class NoMoreError(Exception):
    """What the items end with, or an item."""


def ends_badly(item: tuple[int, str]) -> int:
    number, how = item
    if number == 7 and how == "raises":
        raise NoMoreError
    if number == 7 and how == "loses":
        os._exit(1)
    return number


async def ends_badly_on_loop(item: tuple[int, str]) -> int:
    await asyncio.sleep(0)
    return ends_badly(item)


def stream(how: str) -> Iterator[tuple[int, str]]:
    """Yield items, and perhaps not all."""
    for number in range(30):
        if number == 20 and how == "breaks":
            raise NoMoreError
        yield number, how


def leaks(options: Options) -> Checked:
    """Carry out many runs that end in every way; memory must not grow, and nothing be left."""
    runs = max(6, options.some(300))
    models = [model for model in all_models() if model.unavailable() is None]
    wrong, memory = [], []
    for n in range(runs):
        model = models[n % len(models)]
        ways = ["well", "left", "raises", "breaks", *(["loses"] if model.host else [])]
        how = ways[n // len(models) % len(ways)]
        fn: Any = ends_badly_on_loop if model.driver.native_async else ends_badly
        came: list[int] = []
        with contextlib.suppress(NoMoreError, outpace.OutpaceError):
            for value in outpace.map(fn, stream(how), model=model.name, workers=2):
                came.append(value)
                if how == "left" and len(came) == 10:
                    break
        expected = {"well": 30, "left": 10, "raises": 7, "breaks": 20, "loses": 7}[how]
        if came != list(range(expected)):
            wrong.append(f"{model.name}, which {how}: {came}")
        memory.append(memory_mb("VmRSS"))
    half = memory[len(memory) // 2 :]
    grown = half[-1] - half[0]
    if grown > FLAT:
        wrong.append(f"the caller grew by {grown:.1f} MB in {len(half)} runs")
    return Checked(f"{runs} runs; grown by {grown:.1f} MB in the second half", wrong)
