"""What held when outpace was attacked, and must go on to hold; each part says what it has looked at.

    python bench/torture.py [--items 200000] [--seed N] [--only PART…] [--timeout 0.5]

    items-MODEL   a third of the items under each hosted model, 1 % of which raise, exit, kill their
                  worker, crash, close all descriptors, hang, spin, or give what cannot travel: each is
                  settled exactly once, with the right kind, error and exit code; and of a run without
                  a record the caller's memory is flat
    waits         5 % misbehave among items that wait: at most 1.5 times the pure waiting
    late          items that end just when their timeout does, in threads: none is lost, none hangs
    attacked      workers and the template are killed from outside, or stopped for a moment
    ended         programs that are interrupted, terminated and killed at random moments
    limits        programs with few descriptors, and with little memory
    stdio         programs without stdin, stdout or stderr
    namespaces    programs without /proc, and with one of another PID namespace
    nested        runs in the items of runs
    leaks         runs that end well, are left, raise and lose workers, one after another

After each part there must be no descriptor, thread, process or file more than before it. What takes
longer than its limit is a deviation too; then all stacks are printed. Exits with 1 on any deviation.

With 200,000 items there are about 1,300 deaths and 550 timeouts: some 6 minutes on two quiet cores, and
several times that on busy ones, where `--timeout` must be longer than an item may be kept from a core.
Fewer items make less of every part.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from _attacks import attacked, leaks, nested
from _misbehaving import ALONE, BUDGET, FLAT, carry_out, items, pure_waiting
from _programs import ended, limits, namespaces, stdio
from _show import head
from _torture import Checked, Options, family_of

HOSTED = ("processes", "processes+threads", "processes+asyncio")
AT_MOST = 3600.0  # seconds for a part; the longest takes a few minutes
GONE = 5.0  # seconds that what is ending has to end


def misbehaving(model: str, options: Options) -> Checked:
    """Carry out a third of the items under a model."""
    of = list(items(options.items // len(HOSTED), 0.01, options.seed + HOSTED.index(model)))
    flat = model == "processes"  # the others keep a record of every item, which grows
    seen = carry_out(
        model,
        of,
        options.timeout,
        ordered=model != "processes+threads",
        record="off" if flat else None,
    )
    wrong = list(seen.wrong)
    if flat and seen.grown_mb > FLAT:
        wrong.append(f"{model}: the caller grew by {seen.grown_mb:.1f} MB in the second half")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.counts.items()))
    return Checked(f"{len(of)} items: {kinds}; grown by {seen.grown_mb:.1f} MB", wrong)


def waits(options: Options) -> Checked:
    """Compare items that wait, of which some misbehave, with the pure waiting before and after."""
    count = min(2000, max(100, options.items // 50))
    said, wrong = [], []
    for model, workers, lanes in (("processes", 4, 4), ("processes+asyncio", 8, 16)):
        of = list(items(count, 0.05, options.seed, ALONE))
        width = {"workers": workers, "lanes": lanes}
        before = pure_waiting(model, of, options.timeout, **width)
        seen = carry_out(model, of, options.timeout, ordered=False, slow=True, **width)
        ratio = 2 * seen.seconds / (before + pure_waiting(model, of, options.timeout, **width))
        said.append(f"{model} x{ratio:.2f}")
        wrong += seen.wrong
        if count == 2000 and ratio > BUDGET:
            wrong.append(f"{model}: {ratio:.2f} times the pure waiting; {BUDGET} is the budget")
    return Checked(f"{count} items that wait, against the pure waiting: {', '.join(said)}", wrong)


def late(options: Options) -> Checked:
    """Have items end just when their timeout does."""
    try:
        from _late import late_items  # noqa: PLC0415 - a part of its own
    except ImportError:
        return Checked("nothing: there is no bench/_late.py")
    runs = options.some(300)
    problem = late_items(runs, options.seed)
    return Checked(f"{runs} runs", [problem] if problem else [])


PARTS: dict[str, Callable[[Options], Checked]] = {
    **{f"items-{model}": partial(misbehaving, model) for model in HOSTED},
    "waits": waits,
    "late": late,
    "attacked": attacked,
    "ended": ended,
    "limits": limits,
    "stdio": stdio,
    "namespaces": namespaces,
    "nested": nested,
    "leaks": leaks,
}


@contextlib.contextmanager
def nothing_left(wrong: list[str], folder: Path) -> Iterator[None]:
    """Add to `wrong` what there is afterwards that there was not before."""
    before = present(folder)
    yield
    until = time.monotonic() + GONE
    while (left := present(folder) - before) and time.monotonic() < until:
        time.sleep(0.01)
    wrong += [f"left behind: {one}" for one in sorted(left)]


def present(folder: Path) -> set[str]:
    """Return everything of ours that could be left, each as a text."""
    found = {f"thread {thread.name} {thread.ident}" for thread in threading.enumerate()}
    found |= {f"process {pid}" for pid in family_of(folder)}
    found |= {f"file {path}" for path in folder.iterdir()}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            found.add(f"descriptor {path.name} of {path.readlink()}")
    return found


def main() -> int:
    """Carry out every part that is asked for; return 1 when anything was not as it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--seed", type=int, help="by default another one each time")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", default=list(PARTS))
    parser.add_argument("--timeout", type=float, default=0.5, help="of an item, in seconds")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    options = Options(args.items, seed, args.timeout)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # crashes are meant, and leave no file
    deviations, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["TMPDIR"] = tempfile.tempdir = place
        head()
        print(f"\nseed {seed}\n", flush=True)
        for name in args.only:
            deviations += carried_out(name, options, folder)
        tempfile.tempdir = None
    minutes = (time.monotonic() - began) / 60
    print(f"\n{deviations} deviations in {minutes:.1f} minutes", flush=True)
    return 1 if deviations else 0


def carried_out(name: str, options: Options, folder: Path) -> int:
    """Carry out one part and print a line; return the number of deviations."""
    began = time.monotonic()
    faulthandler.dump_traceback_later(AT_MOST, exit=True)
    wrong: list[str] = []
    what = "broke down"
    try:
        with nothing_left(wrong, folder):
            checked = PARTS[name](options)
        what = checked.what
        wrong += checked.wrong
    except Exception as error:  # noqa: BLE001 - a part that raises is a deviation, not the end
        wrong.append(f"{type(error).__name__}: {error}")
    finally:
        faulthandler.cancel_dump_traceback_later()
    verdict = f"{len(wrong)} WRONG" if wrong else "ok"
    print(f"{name:24} {time.monotonic() - began:7.1f} s  {verdict}  {what}", flush=True)
    for line in wrong[:20]:
        print(f"    {line}", flush=True)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
