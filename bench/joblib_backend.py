"""What joblib's calls cost with our backend, beside loky's: batches of one no-op, and a large array.

    python bench/joblib_backend.py [--calls N] [--mb 80] [--uses 8] [--repeat N] [--json F]

The workers are there already, as they are for every `Parallel` but a program's first. The backends take
turns, and a ratio is of two runs side by side. In each round the array is a new one; `uses` calls read
all of it. `parallel alone` is a whole `Parallel` of two calls, again and again.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from statistics import median

from _harness import clock, say
from _show import head, number, save, show, spread
from _work import noop

import outpace

BACKENDS = ("loky", "outpace")
WIDTH = 2
CALLS_OF_A_PARALLEL = 2
PARALLELS = 20
NEEDED = {"joblib": "joblib", "numpy": "numpy"}


def total(array: object) -> float:
    return float(array.sum())  # type: ignore[attr-defined]


def local(_: object) -> None:
    """Be a function of the program, which travels by value."""


def cases(calls: int, megabytes: int, uses: int) -> dict[str, Callable[[str], float]]:
    """Return what is measured: functions of a backend's name that return seconds."""
    import numpy as np  # noqa: PLC0415 - the caller can do without it, and say so
    from joblib import Parallel, delayed  # noqa: PLC0415

    local.__module__ = "__main__"

    def batches(fn: Callable[[object], object]) -> Callable[[str], float]:
        def measure(backend: str) -> float:
            with Parallel(WIDTH, backend=backend, batch_size=1) as parallel:
                parallel(delayed(fn)(n) for n in range(10 * WIDTH))
                began = clock()
                parallel(delayed(fn)(n) for n in range(calls))
                return (clock() - began) / calls

        return measure

    def alone(backend: str) -> float:
        began = clock()
        for _ in range(PARALLELS):
            Parallel(WIDTH, backend=backend)(delayed(noop)(n) for n in range(CALLS_OF_A_PARALLEL))
        return (clock() - began) / PARALLELS

    def array(backend: str) -> float:
        Parallel(WIDTH, backend=backend)(delayed(noop)(n) for n in range(CALLS_OF_A_PARALLEL))
        made = np.ones(megabytes * 131_072)
        began = clock()
        Parallel(WIDTH, backend=backend)(delayed(total)(made) for _ in range(uses))
        return clock() - began

    return {
        "a batch": batches(noop),
        "a batch, function by value": batches(local),
        "a Parallel alone": alone,
        f"{megabytes} MB to {uses} calls": array,
    }


def main() -> None:
    """Measure, print the table, and save it if wanted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--mb", type=int, default=80)
    parser.add_argument("--uses", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"to be installed: pip install {' '.join(NEEDED[name] for name in missing)}")
    outpace.register_joblib()
    head()
    rows, found = [], {}
    for name, measure in cases(args.calls, args.mb, args.uses).items():
        took: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
        for turn in range(args.repeat):
            say(f"{name}: round {turn + 1} of {args.repeat}")
            for backend in BACKENDS[:: 1 if turn % 2 == 0 else -1]:
                took[backend].append(measure(backend))
        ratios = [ours / lokys for lokys, ours in zip(*took.values(), strict=True)]
        rows.append([name, *(spread(took[one], 1e-3) for one in BACKENDS), number(median(ratios))])
        found[name] = took
    say("")
    show(f"joblib, {WIDTH} workers, milliseconds", ["", *BACKENDS, "ratio"], rows)
    save(args.json, {"joblib_backend": found})


if __name__ == "__main__":
    sys.exit(main())
