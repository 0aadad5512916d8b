"""A crew in trouble: workers that die, stop, or will not end, and values that are hard to carry."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

import outpace
from outpace.errors import RemoteError, SetupError, TransferError, WorkerLostError

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conftest import Gate, Stopwatch

HOSTED = ["processes", "processes+threads", "processes+asyncio"]
every_hosted_model = pytest.mark.parametrize("model", HOSTED)
pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


@pytest.fixture(params=["template", "spawn"], autouse=True)
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Start workers in each of the two ways."""
    monkeypatch.setenv("OUTPACE_START", request.param)
    return request.param


# Workers that die.


def wait_until_dead(pid: int) -> None:
    """Wait until a process has ended, whether anybody has taken note of it or not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.001)


@posix
@every_hosted_model
def test_whichever_worker_is_killed_whenever_every_item_has_one_outcome(
    model: str, start: str, dice: random.Random
) -> None:
    deadly = set(dice.sample(range(300), 3))

    def sometimes_deadly(item: int) -> int:
        if item in deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    ordered = dice.random() < 0.5
    settings = {"workers": 2, "in_flight": 4, "ordered": ordered}
    outcomes = list(outpace.run(sometimes_deadly, iter(range(300)), model=model, **settings))
    indexes = [o.index for o in outcomes]
    assert (indexes if ordered else sorted(indexes)) == list(range(300))
    assert all(o.value == o.item for o in outcomes if o.ok)
    assert deadly <= {o.index for o in outcomes if o.kind == "lost"}
    assert {o.kind for o in outcomes} == {"done", "lost"}


@posix
def test_a_lost_item_is_raised_by_map_and_the_others_came_before() -> None:
    got: list[int] = []

    def third_dies(item: int) -> int:
        if item == 2:
            os._exit(9)
        return item

    with pytest.raises(WorkerLostError, match="exit code 9") as raised:
        got.extend(outpace.map(third_dies, range(9), model="processes", workers=1, chunk=1))
    assert got == [0, 1]
    assert raised.value.exitcode == 9
    assert raised.value.__notes__ == ["outpace: this was item 2: 2"]


@posix
def test_an_idle_worker_that_is_killed_is_replaced_and_costs_nothing() -> None:
    async def main() -> None:
        ask = asyncio.Event()

        async def items() -> AsyncIterator[int]:
            yield 0
            await ask.wait()
            yield 1

        run = outpace.arun(lambda _: os.getpid(), items(), model="processes", workers=1)
        first = await anext(run)
        os.kill(first.value, signal.SIGKILL)
        await asyncio.to_thread(wait_until_dead, first.value)
        ask.set()
        (second,) = [outcome async for outcome in run]
        assert second.index == 1
        if second.ok:  # else it was sent to the dead one before its death was heard of
            assert second.value != first.value

    asyncio.run(asyncio.wait_for(main(), 120))


@posix
@every_hosted_model
def test_more_deaths_than_a_crew_bears_are_an_error_and_not_a_hang(model: str) -> None:
    with pytest.raises(outpace.errors.OutpaceError, match="exit code 1"):
        list(outpace.map(lambda _: os._exit(1), range(100), model=model, workers=1, in_flight=1))


# Workers that will not end.


@posix
def test_a_worker_that_was_stopped_is_killed_when_the_run_is_closed(
    gate: Gate, stopwatch: Stopwatch
) -> None:
    stop_at_the_gate = gate.plain()

    def say_who(item: int) -> int:
        if item == 1:
            stop_at_the_gate(os.getpid())
        return item

    run = outpace.map(say_who, range(2), model="processes", workers=1, chunk=1)
    assert next(run) == 0
    (pid,) = gate.arrivals(1)
    os.kill(int(pid), signal.SIGSTOP)
    seconds = stopwatch()
    run.close()
    assert seconds() < 2
    gate.wait_until_gone()


@posix
def test_a_worker_that_heeds_no_signal_is_killed_when_the_run_is_closed(
    gate: Gate, stopwatch: Stopwatch
) -> None:
    stop_at_the_gate = gate.plain()

    def heed_nothing(item: int) -> int:
        if item == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            stop_at_the_gate(item)
        return item

    run = outpace.map(heed_nothing, range(2), model="processes", workers=1, chunk=1)
    assert next(run) == 0
    gate.arrivals(1)
    seconds = stopwatch()
    run.close()
    assert seconds() < 2
    gate.wait_until_gone()


def test_a_thread_that_an_item_left_running_does_not_keep_a_worker_alive(gate: Gate) -> None:
    stop_at_the_gate = gate.plain()

    def leave_a_thread(item: int) -> int:
        threading.Thread(target=stop_at_the_gate, args=("thread",)).start()
        return item

    assert list(outpace.map(leave_a_thread, [1], model="processes", workers=1)) == [1]
    assert gate.arrivals(1) == ["thread"]
    gate.wait_until_gone()


@posix
@every_hosted_model
def test_busy_workers_close_their_setups_if_they_do_so_soon(
    model: str, gate: Gate, tmp_path: Path
) -> None:
    stop_at_the_gate = gate.coroutine() if "asyncio" in model else gate.plain()
    folder = tmp_path

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        try:
            yield
        finally:
            (folder / "closed").touch()

    def plain(item: int, _: None) -> Any:
        return stop_at_the_gate(item)

    async def coroutine(item: int, _: None) -> Any:
        return await stop_at_the_gate(item)

    fn = coroutine if "asyncio" in model else plain
    run = outpace.map(fn, range(2), model=model, workers=1, in_flight=1, chunk=1, setup=setup)
    reader = threading.Thread(target=lambda: list(run))
    reader.start()
    gate.arrivals(1)
    run.close()
    reader.join(120)
    gate.wait_until_gone()
    if model != "processes+threads":  # nobody can interrupt a thread in the middle of a call
        assert (tmp_path / "closed").exists()


def test_a_setup_whose_exit_fails_is_told_after_all_values() -> None:
    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        raise OSError("cannot flush")

    got: list[int] = []
    with pytest.raises(SetupError, match="at its exit, after the items: OSError: cannot flush"):
        got.extend(outpace.map(lambda n, _: n, range(5), model="processes", workers=2, setup=setup))
    assert got == list(range(5))


# Values that are hard to carry.


def test_megabytes_both_ways_at_once_deadlock_nobody() -> None:
    items = [bytes([n]) * 3_000_000 for n in range(10)]
    assert list(outpace.map(lambda b: b + b"!", items, model="processes", workers=2, chunk=2)) == [
        item + b"!" for item in items
    ]


def test_a_function_that_holds_megabytes_arrives() -> None:
    table = np.arange(1_000_000)
    assert list(outpace.map(lambda n: int(table[n]), [3, 5], model="processes")) == [3, 5]


@every_hosted_model
def test_arrays_arrive_whole_and_may_be_written_to(model: str) -> None:
    def negate(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        array *= -1
        return array

    items = [np.full(50_000, n) for n in range(6)]
    for n, array in enumerate(outpace.map(negate, items, model=model, workers=2)):
        assert (array == -n).all()
        array[0] = 7


def test_an_exception_that_holds_a_large_array_arrives() -> None:
    def fail(item: int) -> None:
        raise ValueError(np.full(100_000, item))

    (outcome,) = outpace.run(fail, [7], model="processes", workers=1)
    assert isinstance(outcome.error, ValueError)
    assert (outcome.error.args[0] == 7).all()


def test_an_exception_that_only_the_worker_can_read_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "only_there.py").write_text("class Odd(Exception): pass")
    folder = str(tmp_path)

    def fail(item: int) -> int:
        import sys

        sys.path.append(folder)
        import only_there

        if item == 1:
            raise only_there.Odd("it went wrong")
        return item

    outcomes = list(outpace.run(fail, range(3), model="processes", workers=1))
    assert [o.kind for o in outcomes] == ["done", "failed", "done"]
    assert isinstance(outcomes[1].error, RemoteError)
    assert "only_there.Odd: it went wrong" in str(outcomes[1].error)


class Unreadable:
    """Be a value that can be sent and never read."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


def test_a_result_that_cannot_be_read_here_is_a_failure_that_says_so() -> None:
    def some(item: int) -> Any:
        return Unreadable() if item == 2 else item

    outcomes = list(outpace.run(some, range(4), model="processes", workers=1, chunk=1))
    assert Counter(o.kind for o in outcomes) == {"done": 3, "failed": 1}
    assert isinstance(outcomes[2].error, TransferError)
    assert "not a number" in str(outcomes[2].error)


# Where the caller is.


@pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="Python 3.13.0 cannot import there")
def test_workers_start_where_the_working_directory_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert list(outpace.map(abs, [-1], model="processes", workers=1)) == [1]
    finally:
        monkeypatch.undo()


@every_hosted_model
def test_what_items_print_appears(model: str, run_python: Any) -> None:
    done = run_python(f"""
import outpace
list(outpace.map(print, ["one", "two"], model={model!r}, workers=1, in_flight=1))
""")
    assert (done.stdout, done.stderr) == ("one\ntwo\n", "")


@every_hosted_model
def test_what_workers_used_is_known_at_the_end(model: str) -> None:
    def burn(_: int) -> None:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass

    run = outpace.run(burn, range(4), model=model, workers=2, in_flight=2)
    assert len(list(run)) == 4
    assert run.summary.cpu_s >= 0.15
    assert run.summary.peak_bytes > 2 * 5_000_000
