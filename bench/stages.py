"""How long three stages side by side take, beside the slowest of them alone, and all one after another.

    python bench/stages.py [--items N] [--repeat N] [--json FILE]

Each stage waits a known time for each item, so many at once: its bound is `items * seconds / at once`,
and that of all three side by side is the largest of these. A round has the chain, the three stages each
by itself, and the chain with a list between the stages; rounds are interleaved, start-up is included.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from statistics import median
from typing import Any

from _harness import clock
from _show import head, number, save, show, spread

import outpace

STAGES = [
    ("threads", 0.010, 8),
    ("processes", 0.0016, 2),
    ("threads", 0.008, 8),
]  # seconds, at once


def wait(seconds: float, item: Any) -> Any:
    """Wait, and return the item."""
    time.sleep(seconds)
    return item


def stage(which: int, items: Any) -> Any:
    """Return one stage over items."""
    model, seconds, at_once = STAGES[which]
    return outpace.map(partial(wait, seconds), items, model=model, in_flight=at_once, workers=2)


def timed(count: int, *, side_by_side: bool) -> float:
    """Return the seconds of all three stages."""
    began = clock()
    items: Any = range(count)
    for which in range(len(STAGES)):
        items = stage(which, items) if side_by_side else list(stage(which, items))
    assert list(items) == list(range(count))
    return clock() - began


def alone(which: int, count: int) -> float:
    """Return the seconds of one stage."""
    began = clock()
    assert sum(1 for _ in stage(which, range(count))) == count
    return clock() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    head()
    chain, apart, singles = [], [], []
    for _ in range(options.repeat):
        chain.append(timed(options.items, side_by_side=True))
        singles.append(max(alone(which, options.items) for which in range(len(STAGES))))
        apart.append(timed(options.items, side_by_side=False))
    bound = max(options.items * seconds / at_once for _, seconds, at_once in STAGES)
    rows = [
        [name, spread(taken), number(median(taken) / bound), number(ratio(taken, singles))]
        for name, taken in (
            ("three stages side by side", chain),
            ("the slowest of them alone", singles),
            ("one after another", apart),
        )
    ]
    show("Stages", ["what", "seconds", "/ bound", "/ slowest alone"], rows)
    save(options.json, {"bound_s": bound, "chain_s": chain, "alone_s": singles, "apart_s": apart})


def ratio(taken: list[float], other: list[float]) -> float:
    """Return the median of the ratios of each round."""
    return median(one / two for one, two in zip(taken, other, strict=True))


if __name__ == "__main__":
    main()
