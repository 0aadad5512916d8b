"""Items that misbehave at random, hundreds of them, and what they cost the others.

    python bench/soak.py [--items 2000] [--share 0.05] [--models processes,processes+asyncio]
                         [--width N] [--seed N] [--json F]

Of the items, 5 % at random raise, hang (the timeout is 0.5 s), exit, are killed by SIGKILL or crash;
all others wait 20 ms. Every item must have exactly one outcome, of the right kind. The time of the run
is compared with that of the pure waiting: the same waits (half a second in place of one that hangs,
nothing in place of the other faults) carried out by the same model just before and just after. `of
bound` compares it with their sum divided by how many are in flight, which a busy machine exceeds
without any fault. The caller's memory is looked at after each tenth of the items: that of the second
half, when everything has happened at least once, must not grow.

The budgets (1.5 times the waiting; memory flat, within 8 MB) are those of the issue that asked for this.
Exits with 1 when one is broken, or an outcome is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import Any

from _show import against, head, number, save, show
from memory import memory_mb

import outpace
from outpace.registry import find

WAIT, TIMEOUT = 0.02, 0.5  # seconds
BUDGET = 1.5  # times the pure waiting
FLAT = 8.0  # MB
KINDS = {
    "raise": "failed",
    "hang": "timed-out",
    "exit": "lost",
    "kill": "lost",
    "crash": "lost",
    "wait": "done",
}
WAITS = {"wait": WAIT, "hang": TIMEOUT}


def misbehave(deed: str) -> None:
    """Do it; return only from waiting."""
    if deed == "raise":
        raise ValueError(deed)
    if deed == "exit":
        os._exit(3)
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "crash":
        ctypes.string_at(0)
    if deed == "hang":
        time.sleep(1000)


def only_wait(item: tuple[int, str]) -> int:
    time.sleep(WAITS.get(item[1], 0.0))
    return item[0]


async def only_await(item: tuple[int, str]) -> int:
    await asyncio.sleep(WAITS.get(item[1], 0.0))
    return item[0]


def plain(item: tuple[int, str]) -> int:
    index, deed = item
    time.sleep(0 if deed != "wait" else WAIT)
    misbehave(deed)
    return index


async def coroutine(item: tuple[int, str]) -> int:
    index, deed = item
    await asyncio.sleep(0 if deed != "wait" else WAIT)
    if deed == "hang":
        await asyncio.sleep(1000)
    misbehave(deed)
    return index


def jobs(count: int, share: float, seed: int) -> list[tuple[int, str]]:
    """Return the items: what each is to do."""
    dice = random.Random(seed)
    deeds = [deed for deed in KINDS if deed != "wait"]
    return [(n, dice.choice(deeds) if dice.random() < share else "wait") for n in range(count)]


def pure_waiting(model: str, items: list[tuple[int, str]], width: int) -> float:
    """Return the seconds that the same waits take where nothing goes wrong."""
    fn = only_await if find(model).driver.native_async else only_wait
    options: dict[str, Any] = {"workers": min(width, 8), "in_flight": width, "ordered": False}
    run = outpace.map(fn, iter(items), model=model, **options)
    for _ in run:
        pass
    return run.summary.makespan_s


def soak(model: str, items: list[tuple[int, str]], width: int) -> dict[str, Any]:
    """Run them all; return what became of them and what it took."""
    fn = coroutine if find(model).driver.native_async else plain
    before = pure_waiting(model, items, width)
    seen: Counter[int] = Counter()
    wrong: list[str] = []
    kinds: Counter[str] = Counter()
    memory: list[float] = []
    began = time.perf_counter()
    run = outpace.run(
        fn,
        iter(items),
        model=model,
        workers=min(width, 8),
        in_flight=width,
        timeout=TIMEOUT,
        ordered=False,
    )
    for outcome in run:
        index, deed = outcome.item
        seen[outcome.index] += 1
        kinds[outcome.kind] += 1
        right = outcome.index == index and outcome.kind == KINDS[deed]
        if not right or (outcome.ok and outcome.value != index):
            wrong.append(f"item {outcome.index} ({deed}) is {outcome.kind}: {outcome.error}")
        if sum(seen.values()) % max(1, len(items) // 10) == 0:
            memory.append(memory_mb("VmRSS"))
    seconds = time.perf_counter() - began
    if sorted(seen) != list(range(len(items))) or set(seen.values()) != {1}:
        wrong.append("not every item has exactly one outcome")
    control = (before + pure_waiting(model, items, width)) / 2
    bound = sum(WAITS.get(deed, 0.0) for _, deed in items) / width
    half = memory[len(memory) // 2 :]
    return {
        "model": model,
        "items": len(items),
        "width": width,
        "bad": sum(count for kind, count in kinds.items() if kind != "done"),
        "kinds": dict(kinds),
        "seconds": seconds,
        "startup_s": run.summary.startup_s,
        "waiting_s": control,
        "bound_s": bound,
        "ratio": (seconds - run.summary.startup_s) / control,
        "of_bound": (seconds - run.summary.startup_s) / bound,
        "grown_mb": max(half) - half[0],
        "wrong": wrong,
    }


def main() -> int:
    """Run every model; return 1 when a budget or a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.05, help="of the items that misbehave")
    parser.add_argument("--models", default="processes,processes+asyncio")
    parser.add_argument(
        "--width", type=int, help="in flight; by default 4, and 16 with an event loop"
    )
    parser.add_argument("--seed", type=int, help="by default another one each time")
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    items = jobs(args.items, args.share, seed)
    head()
    found = []
    for model in args.models.split(","):
        width = args.width or (16 if find(model).driver.native_async else 4)
        found.append(soak(model, items, width))
    rows = [
        [
            f"{case['model']}, {case['width']} at once",
            str(case["items"]),
            str(case["bad"]),
            number(case["seconds"]),
            number(case["waiting_s"]),
            number(case["ratio"]),
            against(case["ratio"], BUDGET),
            number(case["of_bound"]),
            number(case["grown_mb"]),
            str(len(case["wrong"])),
        ]
        for case in found
    ]
    columns = [
        "",
        "items",
        "bad",
        "s",
        "waiting s",
        "ratio",
        "budget",
        "of bound",
        "grown MB",
        "wrong",
    ]
    show(f"Soak: items that misbehave at random (seed {seed})", columns, rows)
    for line in [line for case in found for line in case["wrong"]]:
        print(line, file=sys.stderr)
    save(args.json, {"soak": found, "seed": seed})
    broken = any(
        case["wrong"] or case["ratio"] > BUDGET or case["grown_mb"] > FLAT for case in found
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
