"""What it costs to hand an item over: every model of ours, beside the standard library and peers.

    python bench/dispatch.py [--only noop,tiny,skew,latency,start-up] [--items N] [--repeat N]

Runs are interleaved: one of each, and again, never all repeats of one before the next. Every number
is a median with the smallest and largest beside it; start-up is apart from steady state, and what is
not installed is a row that says so. The budgets are those of docs/design.md.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from _harness import Took, available, clock, drained, ours, rounds, stream, theirs
from _peers import PEERS, UNEVEN, quiet
from _show import against, head, number, save, show, spread
from _work import anoop, atiny, await_, compute, noop, skewed, tiny, turns_in, wait

import outpace
from outpace.machine.cpus import usable_cpus

NOOP_BUDGETS = {"processes": 0.5, "threads": 2.0, "asyncio": 2.5, "processes+asyncio": 1.0}  # us
STRETCH = 1.05  # what a makespan may be of its lower bound
START_BUDGETS = {"import outpace": 40.0, "outpace --help": 150.0, "2 workers of processes": 60.0}

Found = list[dict[str, Any]]
median = statistics.median


def short_items(repeat: int, count: int, what: str, value: Any, fns: tuple[Any, Any]) -> Found:
    """Measure items that are about as short as what it costs to hand one over."""
    plain, coroutine = fns
    cases: dict[Any, Callable[[], Took]] = {}
    about: dict[Any, tuple[str, int]] = {}  # by name and kind: the model to compare with, items
    for model in available():
        for fn in (plain, coroutine):
            key = model.name, fn is coroutine
            about[key] = model.name, count
            cases[key] = lambda m=model.name, f=fn: ours(m, f, stream(count, value))
    for peer in PEERS:
        key, some = (peer.name, peer.coroutine), max(1000, int(count * peer.share))
        about[key] = peer.like, some
        if not peer.missing:
            fn, items = (coroutine if peer.coroutine else plain), list(stream(some, value))
            cases[key] = partial(theirs, peer, fn, items, usable_cpus())
    startups, seconds = rounds(repeat, cases)
    rows, found = [], []
    for (name, is_coroutine), (like, some) in about.items():
        kind = "coroutine" if is_coroutine else "plain"
        took = seconds.get((name, is_coroutine))
        if took is None:
            why = "failed" if (name, is_coroutine) in cases else "not installed"
            rows.append([name, kind, why, "", "", "", ""])
            continue
        each = [s / some * 1e6 for s in took]
        mine = median(seconds[like, is_coroutine]) / count * 1e6
        budget = NOOP_BUDGETS.get(name) if value is None else None
        ratio = "" if name == like else f"x{number(median(each) / mine)} {like}"
        ready = startups[name, is_coroutine]
        rows.append(
            [
                name,
                kind,
                spread(each),
                ratio,
                against(median(each), budget),
                spread(ready, 1e-3),
                str(some),
            ]
        )
        found.append(
            {"name": name, "function": kind, "items": some, "us_per_item": each}
            | {"startup_s": ready, "budget_us": budget}
        )
    show(
        f"{what}, streamed in order: us per item, median (min-max) of {repeat}",
        ["", "function", "us/item", "is", "budget", "start-up ms", "items"],
        rows,
        "A peer's start-up includes an item per worker, which most of them need to have workers.",
    )
    return found


def noop_items(args: argparse.Namespace) -> Found:
    return short_items(args.repeat, args.items, "No-op items", None, (noop, anoop))


def tiny_items(args: argparse.Namespace) -> Found:
    turns = turns_in(10e-6)
    what = f"Items of 10 us of Python ({turns} turns of a loop)"
    return short_items(args.repeat, max(1000, args.items // 4), what, turns, (tiny, atiny))


def skew(args: argparse.Namespace) -> Found:
    """Measure work of which one item in 50 takes 50 times as long.

    500 items a lane: a scheduler that cannot know the future ends at most one long item (less its
    share) after the bound, and with that many items this is below the budget's 5 %.
    """
    cpus, lanes = usable_cpus(), 8
    per_ms = turns_in(0.001)
    stretch: dict[str, list[float]] = defaultdict(list)
    cases: dict[str, Callable[[], Took]] = {}

    def add(name: str, run: Callable[..., Took], *, waits: bool, awaits: bool) -> None:
        fn, width = (await_ if awaits else wait, lanes) if waits else (compute, cpus)
        times = skewed(0.001, 500 * width)
        items = times if waits else [round(seconds * 1000 * per_ms) for seconds in times]

        def case() -> Took:
            took = run(fn, items, width, keep=True)
            stretch[name].append(took.seconds / max(sum(took.values) / width, *took.values))
            return took

        cases[name] = case

    for model in available():
        if model.name != "serial":
            driver = model.driver
            run = partial(ours, model.name)
            add(model.name, run, waits=driver.overlaps, awaits=driver.native_async)
    for peer in UNEVEN:
        if not peer.missing:
            waits = peer.like != "processes"
            add(peer.name, partial(theirs, peer), waits=waits, awaits=peer.coroutine)
    startups, seconds = rounds(args.repeat, cases)
    budgets = {model.name: STRETCH for model in available()}
    show(
        "Skewed work: items of 1 ms, one in 50 of 50 ms: makespan / lower bound",
        ["", "makespan/bound", "makespan s", "budget", "start-up ms"],
        [
            [
                name,
                spread(stretch[name]),
                spread(seconds[name]),
                against(median(stretch[name]), budgets.get(name)),
                spread(startups[name], 1e-3),
            ]
            for name in cases
            if name in seconds
        ]
        + absent(),
        f"Waiting items {lanes} at once, computing ones (processes) {cpus} at once. The bound is\n"
        "max(work / width, longest item), with the times that the items really took.",
    )
    return [
        {"name": name, "stretch": stretch[name], "seconds": seconds[name]}
        | {"startup_s": startups[name]}
        for name in cases
    ]


def latency(args: argparse.Namespace) -> Found:
    """Measure items that only wait, all of them in flight at once."""
    count, each = 160, 0.9
    cases: dict[str, Callable[[], Took]] = {}
    for model in available():
        if model.driver.overlaps:
            fn = await_ if model.driver.native_async else wait
            cases[model.name] = partial(ours, model.name, fn, [each] * count, count)
    startups, seconds = rounds(min(3, args.repeat), cases)
    stretch = {name: [s / each for s in seconds[name]] for name in cases}
    show(
        f"{count} items that wait {each} s, all in flight: makespan / one item",
        ["", "makespan/item", "budget", "start-up ms"],
        [
            [
                name,
                spread(stretch[name]),
                against(median(stretch[name]), STRETCH),
                spread(startups[name], 1e-3),
            ]
            for name in cases
        ],
    )
    return [{"name": n, "stretch": stretch[n], "startup_s": startups[n]} for n in cases]


def start_up(args: argparse.Namespace) -> Found:
    """Measure until two worker processes are ready, and until a program can begin."""
    timed = "import time; t = time.perf_counter(); import outpace; print(time.perf_counter() - t)"
    cases: dict[str, Callable[[], Took]] = {
        "import outpace": lambda: Took(float(command("-c", timed)[1])),
        "outpace --help": lambda: Took(command("-m", "outpace", "--help")[0]),
        "python -c pass": lambda: Took(command("-c", "pass")[0]),
    }
    for model in available():
        if model.host is not None:
            cases[f"2 workers of {model.name}"] = partial(two_ready, model.name)
    for peer in UNEVEN:
        if peer.like == "processes" and not peer.missing:
            cases[f"2 workers of {peer.name}"] = partial(theirs, peer, abs, [1], 2)
    first, _ = rounds(1, cases)
    startups, _ = rounds(max(5, args.repeat), cases)
    show(
        "Start-up, ms",
        ["", "first", "then", "budget"],
        [
            [
                name,
                number(first[name][0] * 1e3),
                spread(times, 1e-3),
                against(median(times) * 1e3, START_BUDGETS.get(name)),
            ]
            for name, times in startups.items()
            if name in first
        ]
        + [[f"2 workers of {name}", *rest] for name, *rest, _ in absent()],
        "`import outpace` is timed inside the interpreter; `--help` includes the interpreter's own.\n"
        "The standard library forks this process; joblib keeps its workers for the next time.",
    )
    return [{"name": n, "first_s": first[n], "startup_s": startups[n]} for n in startups]


def absent() -> list[list[str]]:
    """Return rows that say which peers are not installed."""
    return [[peer.name, "not installed", "", "", ""] for peer in UNEVEN if peer.missing]


def two_ready(model: str) -> Took:
    """Open two workers, for a function whose module they have anyway."""
    run = outpace.map(abs, [1, 2], model=model, workers=2)
    drained(run)
    return Took(run.summary.startup_s)


def command(*args: str) -> tuple[float, str]:
    """Run a Python like this one; return the seconds and what it printed."""
    began = clock()
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=True)
    return clock() - began, done.stdout


TABLES: dict[str, Callable[[argparse.Namespace], Found]] = {
    "noop": noop_items,
    "tiny": tiny_items,
    "skew": skew,
    "latency": latency,
    "start-up": start_up,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to hand an item over.")
    parser.add_argument("--items", type=int, default=400_000, help="no-op items (peers get fewer)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", default=",".join(TABLES), help=f"of {', '.join(TABLES)}")
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(TABLES):
        parser.error(f"--only takes {', '.join(TABLES)}, not {', '.join(sorted(unknown))}")
    quiet()
    head()
    save(args.json, {name: TABLES[name](args) for name in wanted})


if __name__ == "__main__":
    main()
