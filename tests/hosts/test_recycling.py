"""Workers that have had their share are replaced, between items; and workers within workers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import UsageError
from outpace.machine.memory import usable_memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="forks; needs POSIX")
HOSTED = ["processes", "processes+threads", "processes+asyncio"]
every_hosted_model = pytest.mark.parametrize("model", HOSTED)


def pid(_item: Any) -> int:
    return os.getpid()


# max_items.


@every_hosted_model
@pytest.mark.parametrize("chunk", [None, 1, 7, 100])
def test_no_worker_carries_out_more_items_than_it_may(model: str, chunk: int | None) -> None:
    settings: dict[str, Any] = {"workers": 2, "in_flight": 4, "chunk": chunk, "max_items": 10}
    outcomes = list(outpace.run(pid, range(100), model=model, **settings))
    assert [o.index for o in outcomes] == list(range(100))
    counts = Counter(o.value for o in outcomes)
    assert max(counts.values()) <= 10
    assert len(counts) >= 10


def test_a_single_worker_carries_out_exactly_as_many_as_it_may() -> None:
    values = list(outpace.map(pid, range(12), model="processes", workers=1, max_items=4))
    assert sorted(Counter(values).values()) == [4, 4, 4]


def test_a_worker_for_every_item_is_possible() -> None:
    values = list(outpace.map(pid, range(5), model="processes", workers=1, max_items=1))
    assert len(set(values)) == 5


def test_every_worker_opens_and_closes_its_setup(tmp_path: Path) -> None:
    import contextlib

    @contextlib.contextmanager
    def setup() -> Any:
        (tmp_path / f"{os.getpid()}-opened").touch()
        yield
        (tmp_path / f"{os.getpid()}-closed").touch()

    fn = lambda n, _: n  # noqa: E731
    settings: dict[str, Any] = {"workers": 1, "max_items": 3, "setup": setup}
    assert list(outpace.map(fn, range(9), model="processes", **settings)) == list(range(9))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len([name for name in names if name.endswith("opened")]) >= 3
    assert len([n for n in names if n.endswith("opened")]) == len(names) / 2


def test_items_that_kill_count_too(tmp_path: Path) -> None:
    def now_and_then(item: int) -> int:
        if item % 10 == 5:
            os._exit(1)
        return os.getpid()

    outcomes = list(outpace.run(now_and_then, range(40), model="processes", workers=2, max_items=6))
    assert [o.kind for o in outcomes] == ["lost" if n % 10 == 5 else "done" for n in range(40)]
    assert max(Counter(o.value for o in outcomes if o.ok).values()) <= 6


# max_memory.

hoard: list[bytearray] = []


def leak(_item: int) -> int:
    here = globals().setdefault("hoard", [])
    here.append(bytearray(os.urandom(1) * 8_000_000))
    return os.getpid()


def test_a_worker_that_has_grown_too_large_is_replaced_between_items() -> None:
    limit = 80_000_000
    values = list(
        outpace.map(leak, range(24), model="processes", workers=1, chunk=1, max_memory=limit)
    )
    counts = list(Counter(values).values())
    assert 3 <= len(counts) <= 8  # of 24 items with 8 MB each, from 20 MB or so on
    assert max(counts) <= 11


def test_without_a_limit_it_is_not() -> None:
    values = list(outpace.map(leak, range(12), model="processes", workers=1, chunk=1))
    assert len(set(values)) == 1


def test_a_worker_that_is_too_large_from_the_start_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match=r"a fresh worker process takes .* MB already"):
        list(outpace.map(pid, range(3), model="processes", workers=1, max_memory=1_000_000))


@pytest.mark.skipif(usable_memory() is None, reason="nobody can tell how much memory there is")
def test_a_share_of_the_memory_is_a_limit_too() -> None:
    assert len(list(outpace.map(pid, range(3), model="processes", max_memory=0.9))) == 3
    with pytest.raises(UsageError, match="a fresh worker process"):
        list(outpace.map(pid, range(3), model="processes", workers=1, max_memory=1e-6))


@pytest.mark.parametrize("wrong", [0, -5, 1.5, "1 GB", True, 0.0])
def test_a_wrong_limit_is_said_at_once(wrong: Any) -> None:
    with pytest.raises(UsageError, match="max_memory must be"):
        outpace.map(abs, [1], model="processes", max_memory=wrong)


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio"])
def test_where_there_are_no_workers_it_says_so(model: str) -> None:
    with pytest.raises(UsageError, match="about worker processes, and"):
        outpace.map(abs, [1], model=model, max_items=3)


# In odd places.


@every_hosted_model
def test_a_run_in_a_thread_that_is_not_the_main_one(model: str) -> None:
    got: list[Any] = []

    def now_and_then(item: int) -> int:
        if item == 3:
            os._exit(1)
        if item == 5:
            time.sleep(1000)
        return item

    def work() -> None:
        run = outpace.run(now_and_then, range(8), model=model, workers=2, in_flight=4, timeout=0.5)
        got.extend(o.kind for o in run)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(40)
    assert got == ["done"] * 3 + ["lost", "done", "timed-out"] + ["done"] * 2


@posix
@every_hosted_model
def test_faults_in_a_run_within_a_worker_stay_there(model: str) -> None:
    def inner(item: int) -> int:
        if item == 2:
            os._exit(1)
        if item == 4:
            time.sleep(1000)
        return item

    def outer(_item: int) -> list[str]:
        run = outpace.run(inner, range(6), model="processes", workers=1, timeout=0.5)
        return [o.kind for o in run]

    (kinds,) = outpace.map(outer, [1], model=model, workers=1, in_flight=1)
    assert kinds == ["done", "done", "lost", "done", "timed-out", "done"]


@posix
def test_a_worker_killed_over_an_item_takes_the_workers_of_that_item_along(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def inner(_item: int) -> None:
        note.write_text(str(os.getpid()))
        time.sleep(1000)

    def outer(item: int) -> int:
        if item == 0:
            list(outpace.map(inner, [1], model="processes", workers=1))
        return item

    outcomes = list(
        outpace.run(outer, range(3), model="processes", workers=1, chunk=1, timeout=2.0)
    )
    assert [o.kind for o in outcomes] == ["timed-out", "done", "done"]
    assert note.exists()  # the fixture sees to it that this one is gone


@posix
@every_hosted_model
def test_a_fork_of_the_caller_may_end_without_harm_to_its_workers(
    model: str, run_python: Any
) -> None:
    done = run_python(
        "import os, sys, outpace\n"
        "run = outpace.map(abs, range(1000), model=sys.argv[1], workers=2, in_flight=4, chunk=5)\n"
        "got = [next(run) for _ in range(10)]\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    run.close()\n"
        "    sys.exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "got += run\n"
        "assert got == list(range(1000)), got\n"
        "print('well')\n",
        model,
    )
    assert done.stdout == "well\n", done.stderr


@posix
def test_a_fork_that_drops_the_run_at_its_exit_does_no_harm_either(run_python: Any) -> None:
    done = run_python(
        "import os, sys, outpace\n"
        "run = outpace.map(abs, range(1000), model='processes', workers=2, chunk=5)\n"
        "got = [next(run) for _ in range(10)]\n"
        "if (pid := os.fork()) == 0:\n"
        "    sys.exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "got += run\n"
        "print(got == list(range(1000)))\n"
    )
    assert done.stdout == "True\n", done.stderr


@every_hosted_model
def test_amap_within_a_running_loop_survives_the_same_faults(model: str) -> None:
    def now_and_then(item: int) -> int:
        if item == 3:
            os._exit(1)
        if item == 5:
            time.sleep(1000)
        return item

    async def main() -> list[str]:
        run = outpace.arun(now_and_then, range(8), model=model, workers=2, in_flight=4, timeout=0.5)
        return [o.kind async for o in run]

    kinds = asyncio.run(asyncio.wait_for(main(), 40))
    assert kinds == ["done"] * 3 + ["lost", "done", "timed-out"] + ["done"] * 2
