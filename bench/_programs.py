"""Programs of their own, in surroundings that lack something: descriptors, memory, stdio, /proc."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from _torture import Checked, Options
from interrupts import PROGRAM, SIGNALS, WITHIN, once

from outpace.registry import all_models

PATIENCE = 120.0  # seconds for a program that takes half of one
SAID = """
import sys
import outpace

def plain(n):
    return n * n

async def coroutine(n):
    return n * n

model, path = sys.argv[1:]
fn = coroutine if model.endswith("asyncio") else plain
try:
    said = str(list(outpace.map(fn, range(50), model=model, workers=2, in_flight=4)))
except outpace.OutpaceError as error:
    said = f"{type(error).__name__}: {error}"
with open(path, "w") as file:
    file.write(said)
"""
PYTHON_SAYS = ("MemoryError", ": ImportError: ", "lost sys.stderr")
RIGHT = str([n * n for n in range(50)])


def says(around: Sequence[str], model: str) -> str:
    """Run the program in its surroundings; return what it says of its run, or how it ended."""
    with tempfile.TemporaryDirectory() as place:
        script, path = Path(place, "program.py"), Path(place, "said")
        script.write_text(SAID, encoding="utf-8")
        command = [*around, sys.executable, str(script), model, str(path)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            _, errors = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "it hangs"
        if path.exists():
            return path.read_text(encoding="utf-8")
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        return f"it ends with {process.returncode}: {last}"


def shell(before: str) -> list[str]:
    """Return what goes before a command that is to run after a command of the shell's."""
    return ["sh", "-c", f'{before}; exec "$@"', "sh"]


def hosted() -> list[str]:
    """Return the models with worker processes."""
    return [model.name for model in all_models() if model.host and model.unavailable() is None]


def spread(values: Sequence[int], count: int) -> list[int]:
    """Return so many of the values, from the first to the last."""
    step = max(1, len(values) // max(1, count))
    return list(values[::step])


def limits(options: Options) -> Checked:
    """Have few descriptors, or little memory: it works, or says in a line what is lacking."""
    many = max(2, options.some(40))
    cases = [
        *(("n", limit) for limit in spread(range(6, 46), many)),
        *(("v", limit) for limit in spread(range(20_000, 100_000, 2_000), many)),
    ]
    wrong, works = [], 0
    for (which, limit), model in zip(cases, itertools.cycle(hosted()), strict=False):
        said = says(shell(f"ulimit -{which} {limit}"), model)
        line = said.startswith("WorkerStartError: ") and "\n" not in said
        works += said == RIGHT
        # What Python itself says: where a library of its own cannot be mapped (an ImportError), and
        # where there is not even memory for a traceback (the last).
        python_says = which == "v" and any(sign in said for sign in PYTHON_SAYS)
        if said != RIGHT and not line and not python_says:
            wrong.append(f"{model} with ulimit -{which} {limit}: {said}")
    return Checked(f"{len(cases)} programs, of which {works} had enough", wrong)


def stdio(options: Options) -> Checked:
    """Have any of the three standard descriptors closed."""
    closings = ["<&-", ">&-", "2>&-"]
    chosen = [c for n in range(1, 4) for c in itertools.combinations(closings, n)]
    cases = list(itertools.product(chosen, hosted()))
    dice = random.Random(options.seed)
    some = dice.sample(cases, min(len(cases), max(3, options.some(len(cases)))))
    wrong = []
    for closed, model in some:
        said = says(shell(f"exec {' '.join(closed)}"), model)
        if said != RIGHT:
            wrong.append(f"{model} with {' '.join(closed)}: {said}")
    return Checked(f"{len(some)} programs", wrong)


def namespaces(_options: Options) -> Checked:
    """Have no /proc, or that of another PID namespace."""
    around = {
        "no /proc": ["unshare", "--mount", *shell("mount -t tmpfs none /proc")],
        "another's /proc": ["unshare", "--fork", "--pid", "--kill-child"],
    }
    wrong, said = [], []
    for what, how in around.items():
        tried = shutil.which("unshare") and subprocess.run(
            [*how, "true"], capture_output=True, check=False
        )
        if not tried or tried.returncode:
            said.append(f"{what} may not be had here")
            continue
        said.append(what)
        for model in hosted():
            found = says(how, model)
            if found != RIGHT:
                wrong.append(f"{model} with {what}: {found}")
    return Checked(", ".join(said), wrong)


def ended(options: Options) -> Checked:
    """End programs at random moments; nothing of theirs may be left."""
    times = options.some(10)
    dice = random.Random(options.seed)
    wrong = []
    cases = list(each(hosted(), SIGNALS, times))
    with tempfile.TemporaryDirectory() as place:
        script = Path(place, "program.py")
        script.write_text(PROGRAM, encoding="utf-8")
        for n, (model, how) in enumerate(cases):
            found = once(script, model, how, dice.uniform(0, WITHIN), Path(place, str(n)))
            left = [found[key] for key in ("left", "files", "memory") if found[key]]
            if left:
                wrong.append(f"{model} after {how.name}: {left} left")
            if found["code"] in (None, 0):
                wrong.append(f"{model} after {how.name}: ended with {found['code']}")
    return Checked(f"{len(cases)} programs", wrong)


def each(
    models: Sequence[str], signals: Sequence[signal.Signals], times: int
) -> Iterator[tuple[str, signal.Signals]]:
    """Yield every model with every signal, so many times; less than all of them with few."""
    every = itertools.product(models, signals)
    yield from itertools.chain.from_iterable(itertools.repeat(list(every), times))
