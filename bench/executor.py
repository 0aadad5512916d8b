"""What it costs to submit a call: our executor under every model, the standard pools, and loky.

    python bench/executor.py [--calls N] [--repeat N] [--json FILE]

Two numbers: seconds a call when many no-ops are submitted at once, and from `submit` to `result` when
there is only one. Runs are interleaved; a ratio is to the standard pool that works in the same way, in
the same round. `chunk=None` is the executor that has calls travel together.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from statistics import median
from typing import Any

from _harness import available, clock
from _show import head, number, save, show, spread
from _work import noop

import outpace

WIDTH = 2
ONE_BY_ONE = 300  # calls that wait for one another


def contestants() -> dict[str, tuple[Callable[[], Executor], str]]:
    """Return who can carry out calls here, and which standard pool each is compared with."""
    threads, processes = "ThreadPoolExecutor", "ProcessPoolExecutor"
    found: dict[str, tuple[Callable[[], Executor], str]] = {
        threads: (lambda: ThreadPoolExecutor(WIDTH), threads),
        processes: (lambda: ProcessPoolExecutor(WIDTH), processes),
    }
    try:
        from loky.process_executor import ProcessPoolExecutor as Loky  # noqa: PLC0415
    except ImportError:
        print("loky is not installed")
    else:
        found["loky"] = (lambda: Loky(WIDTH), processes)
    for model in available():
        like = threads if model.host is None else processes
        for chunk in (1, None):
            name = model.name if chunk else f"{model.name}, chunk=None"
            found[name] = (
                lambda m=model.name, c=chunk: outpace.Executor(m, WIDTH, chunk=c),
                like,
            )
    return found


def measure(make: Callable[[], Executor], calls: int) -> tuple[float, float]:
    """Return the seconds of a call among many, and of one alone; start-up is apart."""
    with make() as executor:
        for future in [executor.submit(noop, 0) for _ in range(10 * WIDTH)]:
            future.result()
        began = clock()
        futures = [executor.submit(noop, n) for n in range(calls)]
        for future in futures:
            future.result()
        many = (clock() - began) / calls
        began = clock()
        for n in range(ONE_BY_ONE):
            executor.submit(noop, n).result()
        return many, (clock() - began) / ONE_BY_ONE


def main() -> None:
    """Measure, print the table, and save it if wanted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    head()
    who = contestants()
    took: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for turn in range(options.repeat):
        for name in list(who) if turn % 2 == 0 else reversed(list(who)):
            took[name].append(measure(who[name][0], options.calls))
    rows: list[list[str]] = []
    found: list[dict[str, Any]] = []
    for name, (_, like) in who.items():
        many, alone = zip(*took[name], strict=True)
        pairs = list(zip(took[name], took[like], strict=True))
        ratios = [median(mine[n] / theirs[n] for mine, theirs in pairs) for n in (0, 1)]
        rows.append(
            [
                name,
                spread(many, 1e-6),
                number(ratios[0]),
                spread(alone, 1e-6),
                number(ratios[1]),
                like,
            ]
        )
        found.append({"name": name, "many_s": many, "alone_s": alone, "ratios": ratios})
    show(
        f"{options.calls} no-op calls, {WIDTH} workers, us a call",
        ["executor", "among many", "ratio", "one alone", "ratio", "to"],
        rows,
    )
    save(options.json, {"executor": found})


if __name__ == "__main__":
    main()
