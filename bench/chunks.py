"""Why the engine's constants are what they are: each swept, with all others as they stand.

    python bench/chunks.py [--only AIM,GROWTH,MOST,SHARE,BREATH,LINGER,ROW,ASIDE] [--repeat N]

A constant buys one thing with another: the columns of its table are those things. Every value is tried
once and again, interleaved; the value in use has a star.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from _harness import clock, ours, patched, say, stream
from _show import head, save, show, spread
from _work import compute, noop, tiny, turns_in

import outpace
from outpace.drivers import _columns, _traced
from outpace.drivers import _tasks as tasks
from outpace.flow import dispatch
from outpace.flow import run as loop
from outpace.hosts.channel import framing as _wire
from outpace.machine.cpus import usable_cpus

Measures = dict[str, Callable[[], float]]
LAST_BEAT = 20_000


# What the columns measure. Each returns one number, the smaller the better.


def per_item(model: str, fn: Any, items: Iterable[Any], count: int, **options: Any) -> float:
    """Return the us an item took."""
    return ours(model, fn, items, **options).seconds / count * 1e6


def stretch(milliseconds: list[float], *, known: bool) -> float:
    """Return makespan / lower bound of computing items, their number known or not."""
    per_ms = turns_in(0.001)
    turns = [round(ms * per_ms) for ms in milliseconds]
    took = ours("processes", compute, turns if known else iter(turns), keep=True)
    return took.seconds / max(sum(took.values) / usable_cpus(), *took.values)


def read_ahead() -> float:
    """Return how many thousand items were read before the first value came out, item 0 being slow."""
    pulled = 0

    def items() -> Iterator[int]:
        nonlocal pulled
        first = turns_in(0.001) * 300
        for pulled in range(10_000_000):
            yield 0 if pulled else first

    with outpace.map(tiny, items(), model="processes") as run:
        next(run)
    return pulled / 1000


# Items for a worker whose constants are set by its setup: they take its state, and ignore it.


async def beating(item: int, state: dict[str, bool]) -> float:
    """Be, as the first item, what else is on the loop: return its longest pause in ms."""
    if item == LAST_BEAT:
        state["over"] = True
    if item:
        return tiny(700) * 0.0  # 10 us
    longest, last = 0.0, clock()
    while not state.get("over"):
        await asyncio.sleep(0)
        longest, last = max(longest, clock() - last), clock()
    return longest * 1e3


async def some_wait(item: float, _: object) -> float:
    if item:
        await asyncio.sleep(item - 1)
    return item


async def anoop_with(item: object, _: object) -> object:
    return item


async def all_wait(item: float, _: object) -> float:
    await asyncio.sleep(item)
    return item


def same(item: bytearray, _: object) -> bytearray:
    return item


@contextmanager
def inside(module: str, name: str, value: Any) -> Iterator[dict[str, bool]]:
    """Set a constant where the setup is opened: in a worker, or here."""
    with patched([(importlib.import_module(module), name)], value):
        yield {}


def in_workers(
    constant: tuple[ModuleType, str], value: Any, model: str, fn: Any, items: list[Any]
) -> Callable[[], float]:
    """Measure items under a model whose workers have another constant."""
    setup = partial(inside, constant[0].__name__, constant[1], value)
    return lambda: per_item(model, fn, items, len(items), setup=setup)


# The sweeps: for each value, what is measured. Constants of the caller are patched around it.


def aim(_: Any) -> Measures:
    turns, count = turns_in(10e-6), 60_000
    uneven = [50.0 if n % 50 == 25 else 1.0 for n in range(500)]
    return {
        "10 us items, us": partial(per_item, "processes", tiny, [turns] * count, count),
        "same, length unknown": lambda: per_item("processes", tiny, stream(count, turns), count),
        "uneven, unknown: x bound": partial(stretch, uneven, known=False),
    }


def growth(_: Any) -> Measures:
    turns, count = turns_in(10e-6), 2_000
    late = [0.001] * 2000 + [10.0] * 40
    return {
        "2000 items of 10 us, us": lambda: per_item("processes", tiny, stream(count, turns), count),
        "short, then 10 ms: x bound": partial(stretch, late, known=False),
    }


def most(_: Any) -> Measures:
    count = 400_000
    return {
        "no-op items, us": lambda: per_item("processes", noop, stream(count), count),
        "read ahead of a slow item, 1000s": read_ahead,
    }


def share(_: Any) -> Measures:
    count, turns = 2_000, turns_in(100e-6)
    long_last = [1.0] * 490 + [50.0] * 10
    return {
        "2000 items of 100 us, us": partial(per_item, "processes", tiny, [turns] * count, count),
        "long items last: x bound": partial(stretch, long_last, known=True),
    }


def breath(value: Any) -> Measures:
    setup, count = partial(inside, tasks.__name__, "BREATH", value), 200_000

    def pause() -> float:
        options = {"setup": setup, "workers": 1, "ordered": False}
        took = ours("processes+asyncio", beating, range(LAST_BEAT + 1), keep=True, **options)
        return max(map(float, took.values))

    return {
        "no-op coroutines, us": lambda: per_item(
            "asyncio", anoop_with, stream(count), count, setup=setup
        ),
        "longest pause of another task, ms": pause,
    }


def linger(value: Any) -> Measures:
    waits = partial(in_workers, (tasks, "LINGER"), value)
    return {
        f"{model}, {ms} ms, us": waits(model, all_wait, [ms / 1e3] * 10_000)
        for model in ("asyncio", "processes+asyncio")
        for ms in (0, 1)
    }


def row(value: Any) -> Measures:
    waits = partial(in_workers, (_columns, "ROW"), value, "processes+asyncio", some_wait)
    return {
        f"1 of {every} waits, us": waits([0 if n % every else 1 for n in range(60_000)])
        for every in (10, 30, 100, 300, 1000)
    }


def aside(value: Any) -> Measures:
    both = partial(in_workers, (_wire, "ASIDE"), value, "processes", same)
    return {
        f"{size >> 10} KiB, us": both([bytearray(size) for _ in range(count)])
        for size, count in ((4096, 4000), (32_768, 2000), (131_072, 800), (1_048_576, 100))
    }


Sweep = tuple[list[tuple[Any, str]], list[Any], Callable[[Any], Measures]]
SWEEPS: dict[str, Sweep] = {
    "AIM": ([(dispatch, "AIM"), (loop, "AIM")], [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2], aim),
    "GROWTH": ([(dispatch, "GROWTH")], [2, 4, 8, 16, 64], growth),
    "MOST": ([(dispatch, "MOST")], [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536], most),
    "SHARE": ([(dispatch, "SHARE")], [1, 2, 4, 8, 16], share),
    "BREATH": ([(tasks, "BREATH")], [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02], breath),
    "LINGER": ([(tasks, "LINGER")], [0.0, 0.0005, 0.001, 0.002, 0.005, 0.01], linger),
    "ROW": ([(_columns, "ROW"), (_traced, "ROW")], [1, 16, 64, 256, 1024], row),
    "ASIDE": ([(_wire, "ASIDE")], [2048, 8192, 16_384, 32_768, 65_536, 262_144], aside),
}


def sweep(name: str, repeat: int) -> dict[str, Any]:
    """Measure every value of a constant, print them, and return the numbers."""
    places, values, measures = SWEEPS[name]
    now = getattr(*places[0])
    found: dict[Any, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(repeat):
        for value in values:
            say(f"{name} {value}: round {turn + 1} of {repeat}")
            with patched(places, value):
                for column, measure in measures(value).items():
                    found[value][column].append(measure())
    say("")
    columns = list(found[values[0]])
    show(
        f"{name}: median (min-max) of {repeat}",
        [name, *columns],
        [
            [f"{value:g}{' *' if value == now else ''}"]
            + [spread(found[value][column]) for column in columns]
            for value in values
        ],
    )
    return {str(value): dict(columns) for value, columns in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Why the engine's constants are what they are.")
    parser.add_argument("--only", default=",".join(SWEEPS), help=f"of {', '.join(SWEEPS)}")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(SWEEPS):
        parser.error(f"--only takes {', '.join(SWEEPS)}, not {', '.join(sorted(unknown))}")
    head()
    save(args.json, {name: sweep(name, args.repeat) for name in wanted})


if __name__ == "__main__":
    main()
