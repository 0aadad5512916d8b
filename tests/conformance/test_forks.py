"""A fork of a program in the middle of a run: of no use to the child, and no harm to the parent.

Over every model. Each is a program of its own, whose child ends in one way or another, and whose parent
then wants the rest of its values; with all warnings on, since nothing is to be said of what is let go.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from outpace.registry import all_models

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

MODELS = ["auto", *(model.name for model in all_models() if model.unavailable() is None)]
every = pytest.mark.parametrize("model", MODELS)

PROGRAM = """
import asyncio, gc, os, sys, time
import outpace
model, fn, *deeds = sys.argv[1:]

def plain(item):
    time.sleep(0.001)
    return item

async def coroutine(item):
    await asyncio.sleep(0.001)
    return item

def ask(take):
    try:
        return take()
    except outpace.errors.UsageError as error:
        return f"UsageError: {error}"

def be_the_child(run, deed):
    if deed == "takes":
        print(ask(lambda: next(run)))
        print(ask(lambda: list(run)))
        run.close()
        run.stop()
    elif deed == "drops it":
        globals().pop("run")
        del run
        gc.collect()
    elif deed == "has one of its own":
        print(sum(outpace.map(globals()[fn], range(10), model=model, workers=2)))
    elif deed == "exits":
        sys.exit()
    sys.stdout.flush()
    os._exit(0)

run = outpace.map(globals()[fn], range(200), model=model, workers=2, in_flight=4)
got = []
for deed in deeds:
    got.append(next(run))
    if (child := os.fork()) == 0:
        be_the_child(run, deed)
    assert os.waitpid(child, 0)[1] == 0
got += run
assert got == list(range(200)), got
print("the parent has all")
"""
DEEDS = ["takes", "drops it", "has one of its own", "exits", "exits at once"]


@pytest.mark.slow
@every
@pytest.mark.parametrize("fn", ["plain", "coroutine"])
def test_a_fork_of_the_consumer_does_no_harm(
    model: str, fn: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(PROGRAM, model, fn, *DEEDS, PYTHONWARNINGS="error")
    assert (done.stderr, done.returncode) == ("", 0)
    *refused, its_own, last = done.stdout.splitlines()
    assert (len(refused), its_own, last) == (2, "45", "the parent has all")
    for line in refused:
        assert line.startswith("UsageError: this run belongs to process ")
        assert "and this is a fork of it, process " in line


IN_AN_ITEM = """
import os, sys
import outpace
parent = os.getpid()
def work(item):
    if item == 3 and os.fork() == 0:
        sys.exit()  # what an item raises is its outcome, also in a fork
    return item
try:
    values = list(outpace.map(work, range(6), model=sys.argv[1]))
except outpace.errors.UsageError as error:
    print(os.getpid() != parent, error)
    sys.stdout.flush()
    os._exit(0)
os.wait()
print(values)
"""


def test_a_fork_in_an_item_that_runs_inline_takes_no_further_items(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python(IN_AN_ITEM, "serial")
    assert (done.stderr, done.returncode) == ("", 0)
    child, parent = done.stdout.splitlines()
    assert child.startswith("True this run belongs to process ")
    assert parent == "[0, 1, 2, 3, 4, 5]"


ENDS_IN_AN_ITEM = """
import os, sys
import outpace
model, fn, deed = sys.argv[1:]
def plain(item):
    with open("ran", "a") as file:
        print(item, file=file)
    if item or (child := os.fork()):
        return item or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if deed == "exits":
        sys.exit(7)
    if deed == "says why":
        sys.exit("why")
    if deed == "raises":
        error = ValueError("of the child")
        error.code = 3  # as that of an `HTTPError` is no exit code
        raise error
    if deed == "forks":
        if (child := os.fork()) == 0:
            sys.exit(7)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) + 1)
    return 0
async def coroutine(item):
    return plain(item)
print(list(outpace.map(globals()[fn], range(8), model=model, workers=2, chunk=4)))
print(sorted(open("ran").read().split()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deed", "code_and_line"),
    [
        ("exits", (7, None)),
        ("says why", (1, "why")),
        ("raises", (1, "ValueError: of the child")),
        ("forks", (8, None)),
        ("returns", (0, None)),
    ],
)
@pytest.mark.parametrize("fn", ["plain", "coroutine"])
@pytest.mark.parametrize("model", ["threads", "processes", "processes+threads"])
def test_a_fork_in_an_item_ends_with_its_part_of_the_item(
    model: str,
    fn: str,
    deed: str,
    code_and_line: tuple[int, str | None],
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code, line = code_and_line
    without = {"PYTHONWARNINGS": "ignore"}  # of forks with threads
    done = run_python(ENDS_IN_AN_ITEM, model, fn, deed, **without)
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        f"[{code}, 1, 2, 3, 4, 5, 6, 7]",
        "['0', '1', '2', '3', '4', '5', '6', '7']",
    ]
    assert done.stderr.splitlines().count(str(line)) == (1 if line else 0), done.stderr
    assert bool(done.stderr) == bool(line), done.stderr


STAYS_IN_AN_ITEM = """
import asyncio, os, sys, time
import outpace
async def coroutine(item):
    if item == 1:
        if (child := os.fork()) == 0:
            return 0
        os.waitpid(child, 0)
        await asyncio.sleep(60)
    return item
def plain(item):
    if item == 1:
        if (child := os.fork()) == 0:
            return 0
        os.waitpid(child, 0)
        time.sleep(60)
    return item
job = dict(model=sys.argv[1], workers=1, chunk=4, timeout=0.5, on_error="return")
print([type(value).__name__ for value in outpace.map(globals()[sys.argv[2]], range(4), **job)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("fn", ["plain", "coroutine"])
@pytest.mark.parametrize(
    "model", ["threads", "processes", "processes+threads", "processes+asyncio"]
)
def test_a_fork_that_has_ended_ends_no_timeout_of_the_item_that_forked(
    model: str, fn: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(STAYS_IN_AN_ITEM, model, fn, PYTHONWARNINGS="ignore")
    assert done.stdout.splitlines() == ["['int', 'ItemTimeoutError', 'int', 'int']"], done


AWAITED = """
import asyncio, os, sys
import outpace
async def main():
    run = outpace.amap(abs, range(200), model=sys.argv[1], workers=2, chunk=1)
    got = [await anext(run)]
    if (child := os.fork()) == 0:
        try:
            print(await anext(run), flush=True)
        except outpace.errors.UsageError as error:
            print(error, flush=True)
        await run.aclose()
        os._exit(0)
    os.waitpid(child, 0)
    got += [value async for value in run]
    assert got == list(range(200)), got
asyncio.run(main())
"""


@pytest.mark.slow
@every
def test_a_fork_of_a_program_that_awaits_does_no_harm(
    model: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(AWAITED, model, PYTHONWARNINGS="error")
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("this run belongs to process ")
    assert len(done.stdout.splitlines()) == 1


IN_ANOTHER_THREAD = """
import os, sys, threading, time
import outpace
run = outpace.map(lambda item: time.sleep(0.001) or item, range(300), model=sys.argv[1], workers=2)
got = []
reader = threading.Thread(target=lambda: got.extend(run))
reader.start()
for _ in range(5):
    if (child := os.fork()) == 0:
        run.close()
        try:
            next(run)
        except outpace.errors.UsageError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
reader.join()
assert got == list(range(300))
"""


@pytest.mark.slow
@every
def test_a_fork_while_another_thread_reads_does_no_harm(
    model: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(IN_ANOTHER_THREAD, model, PYTHONWARNINGS="ignore")  # of forks with threads
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


WHILE_LOCKED = """
import importlib.util, os, signal, sys, threading
import outpace
from outpace.drivers import _loop
from outpace.hosts.channel import by_value as _value
os.mkdir("apart")  # a module there can't be imported, so it travels by value
with open("apart/module.py", "w") as file:
    file.write("async def work(item): return item")
spec = importlib.util.spec_from_file_location("module", "apart/module.py")
module = sys.modules["module"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
held, done = threading.Event(), threading.Event()
def hold():
    with _loop._making, _value._one_at_a_time:
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
if (child := os.fork()) == 0:
    signal.alarm(30)
    print(sum(outpace.map(module.work, range(10), model=sys.argv[1], workers=2)), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
@every
def test_a_fork_while_another_thread_has_a_lock_of_ours_can_work(
    model: str, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_python(WHILE_LOCKED, model, PYTHONWARNINGS="ignore")
    assert (done.stdout, done.stderr, done.returncode) == ("45\n", "", 0)
