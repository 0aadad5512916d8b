"""What a large array costs on its way to a worker, and on its way back.

    python bench/payload.py [--mb 100] [--repeat N] [--json F]

Each case runs in an interpreter of its own, the cases in turn. Two arrays a run, one per worker. `grown
by` is the peak of the calling process above what it had before, in arrays: what is kept beside the
array itself, in copies on the way and in the two results.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from _harness import Took, available, clock, ours, theirs
from _peers import POOL, PPE, UNEVEN, quiet
from _show import head, number, save, show, spread
from memory import memory_mb

COUNT = 2


def first_of(array: Any) -> float:
    return float(array[0])


def made(megabytes: int) -> Any:
    import numpy as np  # noqa: PLC0415 - the caller can do without it, and say so

    return np.ones(megabytes * 131_072)


def cases() -> dict[str, Callable[..., Took]]:
    """Return who is measured: ours wherever the work is elsewhere, and peers."""
    found: dict[str, Callable[..., Took]] = {
        model.name: partial(ours, model.name)
        for model in available()
        if model.host is not None or model.name == "threads"
    }
    for peer in UNEVEN:
        if peer.name in (PPE, f"{POOL}.imap", "joblib, loky", "mpire imap") and not peer.missing:
            found[peer.name] = partial(theirs, peer)
    return found


def measure(name: str, megabytes: int, *, back: bool) -> dict[str, float]:
    """Send arrays, or have them sent back; return seconds an array, and what the peak grew by."""
    fn, items = (
        (made, [megabytes] * COUNT) if back else (first_of, [made(megabytes) for _ in range(COUNT)])
    )
    before = memory_mb("VmRSS")
    took = cases()[name](fn, items, 2, keep=True)
    return {"seconds": took.seconds / COUNT, "grown": (memory_mb("VmHWM") - before) / megabytes}


def copied(megabytes: int) -> float:
    """Return how long it takes to copy such an array in memory."""
    array = made(megabytes)
    array.copy()
    began = clock()
    array.copy()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="What a large array costs on its way.")
    parser.add_argument("--mb", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--back", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet()
    if importlib.util.find_spec("numpy") is None:
        parser.error("NumPy is not installed; pip install outpace[bench]")
    if args.case:
        print(json.dumps(measure(args.case, args.mb, back=args.back)))
        return
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(args.repeat):
        for name in cases():
            for way in ([], ["--back"]):
                command = [sys.executable, __file__, "--case", name, "--mb", str(args.mb), *way]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found[f"{name}, {'result' if way else 'item'}"].append(json.loads(done.stdout))
    head()
    copy = copied(args.mb)
    rows = []
    for name, took in found.items():
        seconds = [one["seconds"] for one in took]
        grown = number(max(one["grown"] for one in took))
        rows.append([name, spread(seconds, 1e-3), f"x{number(min(seconds) / copy)}", grown])
    show(
        f"A NumPy array of {args.mb} MB to a worker (item) and from it (result)",
        ["", "ms an array", "of a copy, at best", "grown by, arrays"],
        rows,
        f"Copying such an array once in memory takes {number(copy * 1e3)} ms here. A result includes\n"
        "its making in the worker; two workers work side by side.",
    )
    save(args.json, {"payload": found})


if __name__ == "__main__":
    main()
