"""Items of which some misbehave, what must become of each, and whether it did. For `torture.py`.

In a module of its own, which a worker process imports by its name.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memory import memory_mb

import outpace
from outpace.registry import find

FLAT = 8.0  # MB that the caller may grow by in the second half, when everything has happened once
BUDGET = 1.5  # times the pure waiting that items which misbehave may make of it
WAIT = 0.02  # seconds
FOREVER = 1000.0

Item = tuple[int, str]


class Unpicklable(Exception):  # noqa: N818 - what it is to be
    """An exception that cannot travel."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def raises() -> None:
    raise ValueError("no such thing")


def raises_what_cannot_travel() -> None:
    raise Unpicklable


def gives_what_cannot_travel() -> Any:
    return threading.Lock()


def exits() -> None:
    sys.exit(3)


def leaves() -> None:
    os._exit(3)


def kills() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashes() -> None:
    ctypes.string_at(0)


def closes() -> None:
    os.closerange(3, 1000)


def sleeps() -> None:
    time.sleep(FOREVER)


def spins() -> None:
    while True:
        pass


def awaits() -> Any:
    return asyncio.sleep(FOREVER)


class Deed(NamedTuple):
    """What an item does, and what must become of it: a kind, an error, and how its worker ended."""

    do: Callable[[], Any]
    kind: str
    error: str
    exitcode: int | None = None


DEEDS = {
    deed.do.__name__: deed
    for deed in (
        Deed(raises, "failed", "ValueError"),
        Deed(raises_what_cannot_travel, "failed", "RemoteError"),
        Deed(gives_what_cannot_travel, "failed", "TransferError"),
        Deed(exits, "failed", "SystemExit"),
        Deed(leaves, "lost", "WorkerLostError", 3),
        Deed(kills, "lost", "WorkerLostError", -signal.SIGKILL),
        Deed(crashes, "lost", "WorkerLostError", -signal.SIGSEGV),
        Deed(closes, "lost", "WorkerLostError"),
        Deed(sleeps, "timed-out", "ItemTimeoutError"),
        Deed(spins, "timed-out", "ItemTimeoutError"),
        Deed(awaits, "timed-out", "ItemTimeoutError"),
    )
}


def plain(item: Item) -> Any:
    """Do the deed, if there is one; else return the number."""
    number, deed = item
    if deed:
        found = DEEDS["sleeps" if deed == "awaits" else deed].do()
        return number if found is None else found
    return number


async def coroutine(item: Item) -> Any:
    """Do the same on an event loop, having waited once."""
    number, deed = item
    await asyncio.sleep(0)
    found = DEEDS[deed].do() if deed else None
    if hasattr(found, "__await__"):
        await found
    return number if found is None else found


def waiting(item: Item) -> Any:
    """Wait before it."""
    time.sleep(WAIT if not item[1] else 0.0)
    return plain(item)


async def awaiting(item: Item) -> Any:
    """Await before it."""
    await asyncio.sleep(WAIT if not item[1] else 0.0)
    return await coroutine(item)


# What costs its own lane some time and no other: on a loop, a block would cost all that are on it.
ALONE = ("raises", "leaves", "kills", "crashes", "awaits")


def items(
    count: int, share: float, seed: int, deeds: Sequence[str] = tuple(DEEDS)
) -> Iterator[Item]:
    """Yield so many, of which a share misbehaves; the same for the same seed."""
    dice = random.Random(seed)
    for number in range(count):
        yield number, dice.choice(deeds) if dice.random() < share else ""


@dataclass
class Seen:
    """What became of a run: how many of each kind, and whatever is not as it must be."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    grown_mb: float = 0.0


def carry_out(
    model: str,
    of: list[Item],
    timeout: float,
    *,
    ordered: bool,
    workers: int = 2,
    lanes: int = 8,
    slow: bool = False,
    record: str | None = None,
) -> Seen:
    """Run them all; compare each outcome with what must become of it."""
    on_loop = find(model).driver.native_async
    fn: Any = (awaiting if slow else coroutine) if on_loop else (waiting if slow else plain)
    options: dict[str, Any] = {"timeout": timeout, "ordered": ordered, "workers": workers}
    if model != "processes":
        options["in_flight"] = lanes
    if record is not None:
        options["record"] = record
    seen = Seen()
    times = bytearray(len(of))  # how often each was settled: it does not grow
    memory: list[float] = []
    run = outpace.run(fn, iter(of), model=model, **options)
    for n, outcome in enumerate(run):
        times[outcome.index] += 1
        seen.counts[outcome.kind] += 1
        if (problem := wrong_with(outcome, of)) is not None:
            seen.wrong.append(f"{model}: item {outcome.index} {problem}")
        if ordered and outcome.index != n:
            seen.wrong.append(f"{model}: item {outcome.index} came as number {n}")
        if n % max(1, len(of) // 20) == 0:
            memory.append(memory_mb("VmRSS"))
    seen.wrong += [
        f"{model}: item {n} was settled {times[n]} times" for n in range(len(of)) if times[n] != 1
    ]
    half = memory[len(memory) // 2 :]
    seen.grown_mb = max(half) - half[0]
    seen.seconds = run.summary.makespan_s
    return seen


def pure_waiting(model: str, of: list[Item], timeout: float, *, workers: int, lanes: int) -> float:
    """Return the seconds that the same waits take where nothing goes wrong."""
    of_deed = {"": WAIT, "awaits": timeout}
    sleep: Any = asyncio.sleep if find(model).driver.native_async else time.sleep
    waits = [of_deed.get(deed, 0.0) for _, deed in of]
    run = outpace.map(sleep, waits, model=model, workers=workers, in_flight=lanes, ordered=False)
    for _ in run:
        pass
    return run.summary.makespan_s


def wrong_with(outcome: Any, of: list[Item]) -> str | None:
    """Say what is wrong with an outcome, None if nothing is."""
    number, name = of[outcome.index]
    error = type(outcome.error).__name__
    if outcome.item != of[outcome.index]:
        return f"is {outcome.item}, and not {of[outcome.index]}"
    if not name:
        right = outcome.kind == "done" and outcome.value == number
        return None if right else f"is {outcome.kind} with {outcome.value!r}, {outcome.error}"
    deed = DEEDS[name]
    if (outcome.kind, error) != (deed.kind, deed.error):
        return f"({name}) is {outcome.kind} with {error}: {outcome.error}"
    if deed.exitcode is not None and outcome.error.exitcode != deed.exitcode:
        return f"({name}) has the exit code {outcome.error.exitcode}, and not {deed.exitcode}"
    return None
