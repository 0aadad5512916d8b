"""How much the caller's memory grows with a long stream, and how far it is read ahead.

    python bench/memory.py [--items 10000000] [--models processes,threads,…] [--record full] [--json F]

Every case runs in an interpreter of its own, since a peak cannot be taken back. Growth is the peak
resident memory of the calling process above what it had when the first value was asked for. The
budget is that of docs/design.md. A slow consumer sleeps 1 ms after each value, for two seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _show import against, head, number, save, show
from _work import anoop, noop

import outpace
from outpace.registry import all_models, find

BUDGET = 60.0  # MB
SLOW_FOR = 2.0  # seconds

clock = time.perf_counter


def memory_mb(field: str) -> float:
    """Read a field of this process's own account: VmRSS now, VmHWM the peak."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
    import resource  # noqa: PLC0415 - where there is no /proc; it has only the peak

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(model: str, count: int, record: Any, *, slow: bool) -> dict[str, Any]:
    """Stream the items through a model; return what it took of memory."""
    pulled = taken = ahead = 0

    def numbers() -> Iterator[int]:
        nonlocal pulled
        for n in range(count):
            pulled = n
            yield n

    fn = anoop if find(model).driver.native_async else noop
    before, began = memory_mb("VmRSS"), clock()
    with outpace.map(fn, numbers(), model=model, record=record) as run:
        for taken, value in enumerate(run):
            assert value == taken
            ahead = max(ahead, pulled - taken)
            if slow:
                time.sleep(0.001)
                if clock() - began > SLOW_FOR:
                    break
    grown = memory_mb("VmHWM") - before
    return {
        "model": model,
        "slow": slow,
        "items": taken + 1,
        "seconds": clock() - began,
        "grown_mb": grown,
        "read_ahead": ahead,
        "before_mb": before,
    }


def apart(model: str, count: int, record: str, *, slow: bool) -> dict[str, Any]:
    """Measure in an interpreter of its own."""
    command = [sys.executable, __file__, "--case", model, "--items", str(count), "--record", record]
    command += ["--slow"] if slow else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--models", help="which ones; by default all that can run here")
    parser.add_argument("--record", default="default", choices=("off", "default", "full"))
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--slow", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args.case, args.items, args.record, slow=args.slow)))
        return
    usable = [model.name for model in all_models() if model.unavailable() is None]
    models = args.models.split(",") if args.models else usable
    head()
    found = [
        apart(model, args.items, args.record, slow=slow)
        for slow in (False, True)
        for model in models
    ]
    rows = [
        [
            case["model"] + (", slow consumer" if case["slow"] else ""),
            str(case["items"]),
            number(case["seconds"]),
            number(case["before_mb"]),
            number(case["grown_mb"]),
            against(case["grown_mb"], BUDGET),
            str(case["read_ahead"]),
        ]
        for case in found
    ]
    show(
        "Memory of the calling process, MB; items from a generator",
        ["", "items", "seconds", "before", "grown by", "budget", "read ahead"],
        rows,
    )
    save(args.json, {"memory": found})


if __name__ == "__main__":
    main()
