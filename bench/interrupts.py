"""Programs that are interrupted, terminated or killed at random moments, and what is left of them.

    python bench/interrupts.py [--times 50] [--models …] [--seed N] [--json F]

For each hosted model and each of SIGINT, SIGTERM and SIGKILL: a program that runs `map` is started many
times and gets the signal after a random time of up to `--within` seconds, so also while it imports and
starts its workers. Then it must end, and two seconds later no process, shared memory or
temporary file of it may be left. `ended` is how long the program took to end, `gone` how long everything
it had started took.

Exits with 1 when anything is left. Linux: it looks for what is left in /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _show import head, number, save, show, spread

from outpace.registry import all_models

GONE = 2.0  # seconds after which nothing may be left
WITHIN = 0.8  # seconds: about four times what such a program takes to have its workers at work
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
MARK = "OUTPACE_INTERRUPTED"

PROGRAM = """
import subprocess, sys, time
import outpace
def work(item):
    if item % 50 == 7:
        subprocess.Popen(["sleep", "1000"], start_new_session=item % 100 == 7)
    time.sleep(0.02)
    return item
for _ in outpace.map(work, range(10**6), model=sys.argv[1], workers=2, in_flight=8):
    pass
"""


def family(mark: str) -> Iterator[int]:
    """Yield every process with this mark in its environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)


def shared_memory() -> set[str]:
    """Return the names of our shared memory."""
    with contextlib.suppress(OSError):
        return {path.name for path in Path("/dev/shm").iterdir() if "outpace" in path.name}
    return set()


def once(script: Path, model: str, number: int, after: float, folder: Path) -> dict[str, Any]:
    """Start a program, end it, look for what is left; return how long it took and what is left."""
    folder.mkdir()
    environment = {**os.environ, MARK: str(folder), "TMPDIR": str(folder)}
    mark, before = f"{MARK}={folder}", shared_memory()
    with subprocess.Popen(
        [sys.executable, str(script), model],
        env=environment,
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        time.sleep(after)
        began = time.perf_counter()
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        ended = time.perf_counter() - began
        process.kill()
    while (left := list(family(mark))) and time.perf_counter() - began < ended + GONE:
        time.sleep(0.01)
    gone = time.perf_counter() - began
    for pid in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    files = [path.name for path in folder.iterdir()]
    return {
        "ended": ended,
        "gone": gone,
        "left": len(left),
        "files": files,
        "memory": sorted(shared_memory() - before),
        "code": process.returncode,
    }


def main() -> int:
    """Run every model and signal; return 1 when anything was left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    hosted = [model.name for model in all_models() if model.host and model.unavailable() is None]
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--models", default=",".join(hosted))
    parser.add_argument("--within", type=float, default=WITHIN)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    head()
    rows, cases, bad = [], [], 0
    with tempfile.TemporaryDirectory() as place:
        script = Path(place, "program.py")
        script.write_text(PROGRAM)
        for model in args.models.split(","):
            for which in SIGNALS:
                found = [
                    once(
                        script,
                        model,
                        which,
                        dice.uniform(0, args.within),
                        Path(place, f"{model}-{which}-{n}"),
                    )
                    for n in range(args.times)
                ]
                left = sum(bool(one["left"] or one["files"] or one["memory"]) for one in found)
                bad += left
                cases += [{"model": model, "signal": which.name, **one} for one in found]
                rows.append(
                    [
                        f"{model}, {which.name}",
                        str(len(found)),
                        spread([one["ended"] for one in found], 1e-3),
                        number(max(one["gone"] for one in found) * 1e3),
                        str(left),
                    ]
                )
                print(rows[-1], file=sys.stderr)
    columns = ["", "times", "ended ms", "all gone ms, at most", "left something"]
    show(f"Programs ended at random moments (seed {seed})", columns, rows)
    save(args.json, {"interrupts": cases, "seed": seed})
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
