"""The end of a program with runs in threads that are daemons: at once, and without a word.

Over every model. Such a thread is not waited for, but what it has is used by no other meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outpace.registry import all_models

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

MODELS = [model.name for model in all_models() if model.unavailable() is None]

PROGRAM = """
import asyncio, itertools, sys, threading, time
import outpace
settings = {"model": sys.argv[1], "workers": 2, "in_flight": 3, "chunk": 1}

def short(item):
    time.sleep(0.002)
    return item

def hangs(item):
    time.sleep(0.002 if item < 2 else 1000)
    return item

async def short_coroutine(item):
    await asyncio.sleep(0.002)
    return item

async def hangs_as_coroutine(item):
    await asyncio.sleep(0.002 if item < 2 else 1000)
    return item

def plain(fn, seen):
    for _ in outpace.map(fn, itertools.count(), **settings):
        seen.release()

async def awaited(fn, seen):
    async for _ in outpace.amap(fn, itertools.count(), **settings):
        seen.release()

def under_way(fn, *, run):
    seen = threading.Semaphore(0)
    threading.Thread(target=run, args=(fn, seen), daemon=True).start()
    seen.acquire()
    seen.acquire()

for fn in map(globals().get, sys.argv[2:]):
    under_way(fn, run=plain)
    under_way(fn, run=lambda fn, seen: asyncio.run(awaited(fn, seen)))
print("the end")
"""


@pytest.mark.slow
@pytest.mark.parametrize("fns", [["short", "short_coroutine"], ["hangs", "hangs_as_coroutine"]])
@pytest.mark.parametrize("model", MODELS)
def test_a_program_ends_with_runs_in_daemon_threads(
    model: str, fns: list[str], run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if model.endswith("asyncio") and "hangs" in fns:  # it would keep back what has ended before it
        fns = ["hangs_as_coroutine"]
    done = run_python(PROGRAM, model, *fns, PYTHONWARNINGS="default")
    assert (done.stdout, done.stderr, done.returncode) == ("the end\n", "", 0)
