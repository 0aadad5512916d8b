"""What recording costs: off, as always, and in full, in one run.

    python bench/record.py [--only items,switches,work] [--repeat N]

In CPU seconds of all processes, since a shared machine lends its cores to others, and interleaved. What
counts is the difference to `record="off"`: the budgets are those of docs/design.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from _harness import Took, rounds, stream
from _show import against, head, number, save, show, spread
from _work import anoop, noop

import outpace

RECORDS = ("off", "default", "full")
ITEM, SWITCH = 0.3, 0.5  # microseconds that recording as always may cost

Found = dict[str, Any]


async def turns(count: int) -> None:
    """Give way so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def work(seconds: float) -> int:
    """Compute until the thread has had so much CPU time."""
    until, n = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        n += 1
    return n


def cpu(fn: Callable[..., Any], items: Any, model: str, record: str, width: int | None) -> Took:
    """Run a model; return the CPU seconds of everything in place of those of the clock."""
    before = time.process_time()
    options = {} if width is None else {"in_flight": width}
    run = outpace.map(fn, items, model=model, record=record, **options)
    for _ in run:
        pass
    spent = time.process_time() - before
    summary = run.summary
    elsewhere = summary.cpu_s or 0.0 if "processes" in model else 0.0
    return Took(summary.startup_s, spent + elsewhere)


def table(title: str, unit: str, per: float, cases: dict[str, Any], repeat: int) -> Found:
    """Measure cases under every record, and print them."""
    wanted = {
        (name, record): (lambda case=case, record=record: cpu(*case[:3], record, case[3]))
        for name, case in cases.items()
        for record in RECORDS
    }
    _, seconds = rounds(repeat, wanted)
    rows, found = [], {}
    for name, (*_, budget) in cases.items():
        each = {record: [s / per * 1e6 for s in seconds[name, record]] for record in RECORDS}
        off, *others = (statistics.median(each[record]) for record in RECORDS)
        more = [other - off for other in others]
        default, full = (number(max(0.0, one)) for one in more)
        spreads = [spread(each[record]) for record in RECORDS]
        rows.append([name, *spreads, default, against(more[0], budget), full])
        found[name] = each
    columns = [title, *RECORDS, "default costs", "budget", "full costs"]
    show(f"{title}: {unit}, median (min-max) of {repeat}", columns, rows)
    return found


def items(repeat: int) -> Found:
    """Measure items that are nothing but their handing over."""
    count = 200_000
    cases = {
        model: (noop, list(stream(count)), model, None, ITEM)
        for model in ("serial", "threads", "processes")
    }
    cases["asyncio"] = (anoop, list(stream(count)), "asyncio", None, SWITCH)  # a step each
    return table("no-op items", "us an item", count, cases, repeat)


def switches(repeat: int) -> Found:
    """Measure coroutines that do nothing but give way."""
    each, some = 200, 500
    cases = {
        model: (turns, [each] * some, model, 100, SWITCH)
        for model in ("asyncio", "processes+asyncio")
    }
    return table("switches", "us a switch", each * some, cases, repeat)


def long(repeat: int) -> Found:
    """Measure items of two milliseconds of computing: nothing of it should be felt."""
    count = 300
    cases = {
        model: (work, [0.002] * count, model, 2, None)
        for model in ("serial", "threads", "processes")
    }
    return table("items of 2 ms", "us an item", count, cases, repeat)


PARTS = {"items": items, "switches": switches, "work": long}


def main() -> None:
    parser = argparse.ArgumentParser(description="What recording costs.")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    head()
    save(args.json, {name: PARTS[name](args.repeat) for name in wanted})


if __name__ == "__main__":
    main()
