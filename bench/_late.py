"""Items that end just when their time is up, in threads: each is told once, and nobody else is late.

`late_items` carries out the case in which `threads` once hung for ever: 60 items in chunks of 6, every
sixth of which takes about as long as the timeout. It can be run by itself:

    python bench/_late.py [RUNS] [SEED]
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter

import outpace

ITEMS, EVERY = 60, 6
TIMEOUT, AROUND = 0.020, (0.019, 0.023)  # seconds
PATIENCE = 30.0  # seconds after which a run that takes a tenth of one hangs


def late_items(runs: int, seed: int) -> str | None:
    """Run the case so many times; say what went wrong, None when nothing did."""
    dice = random.Random(seed)
    for n in range(runs):
        if (wrong := _once([dice.uniform(*AROUND) for _ in range(ITEMS // EVERY)])) is not None:
            return f"late items, run {n + 1} of seed {seed}: {wrong}"
    return None


def _once(waits: list[float]) -> str | None:
    """Carry out one run; `waits` are the seconds of those that may be late."""
    begun: list[int] = []
    threads: set[threading.Thread] = set()

    def work(item: int) -> int:
        threads.add(threading.current_thread())
        begun.append(item)
        if item % EVERY == 0:
            time.sleep(waits[item // EVERY])
        return item

    run = outpace.run(
        work, range(ITEMS), model="threads", in_flight=4, chunk=EVERY, timeout=TIMEOUT
    )
    alarm = threading.Timer(PATIENCE, run.close)
    alarm.start()
    outcomes = list(run)
    alarm.cancel()
    alarm.join()
    for thread in threads:  # those that were abandoned end with the item that they are stuck in
        thread.join(PATIENCE)
    if (indexes := [outcome.index for outcome in outcomes]) != list(range(ITEMS)):
        return f"it hung, or lost or repeated items: {len(outcomes)} of {ITEMS} came, {indexes}"
    if twice := [item for item, times in Counter(begun).items() if times > 1]:
        return f"begun more than once: {sorted(twice)}"
    for outcome in outcomes:
        took = outcome.ended - outcome.started
        if outcome.kind == "timed-out" and took < TIMEOUT:
            return f"item {outcome.index} was timed out after {took * 1e3:.1f} ms"
        if outcome.kind not in ("done", "timed-out") or (outcome.ok and outcome.index not in begun):
            times = begun.count(outcome.index)
            return f"item {outcome.index} is {outcome.kind}, and has begun {times} times"
    return None


if __name__ == "__main__":
    runs, seed = (*map(int, sys.argv[1:]), 300, 0)[:2]
    sys.exit(late_items(runs, seed))
