"""What the measurements run: functions that a worker can import, whoever started it."""

from __future__ import annotations

import asyncio
import time

clock = time.perf_counter


def noop(item: object) -> object:
    return item


async def anoop(item: object) -> object:
    return item


def tiny(turns: int) -> int:
    total = 0
    for n in range(turns):
        total += n
    return total


async def atiny(turns: int) -> int:
    total = 0
    for n in range(turns):
        total += n
    return total


def wait(seconds: float) -> float:
    """Wait, and return how long it really took: no pool is to blame for a late timer."""
    began = clock()
    time.sleep(seconds)
    return clock() - began


async def await_(seconds: float) -> float:
    began = clock()
    await asyncio.sleep(seconds)
    return clock() - began


def compute(turns: int) -> float:
    """Compute, and return how long it really took: the cores may be shared."""
    began = clock()
    tiny(turns)
    return clock() - began


def turns_in(seconds: float) -> int:
    """Find out how many turns of `tiny` take that long here, at best."""
    turns = max(10, int(seconds * 1e7))
    best = min(compute(turns) for _ in range(max(3, int(0.05 / seconds))))
    return max(1, round(turns * seconds / best))


def skewed(short: float, count: int) -> list[float]:
    """Return how long each item takes: one in 50 takes 50 times as long as the others."""
    return [short * 50 if n % 50 == 25 else short for n in range(count)]
