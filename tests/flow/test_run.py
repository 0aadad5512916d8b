"""The loop: lazy, fair to a slow consumer, and gone without a trace however it is left."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import itertools
import pickle
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import UsageError
from outpace.registry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Gate

INSIDE = ["serial", "threads", "asyncio"]  # models without processes: quick to open
every_inside_model = pytest.mark.parametrize("model", INSIDE)


def double(item: int) -> int:
    return 2 * item


def fails_at_three(item: int) -> int:
    if item == 3:
        raise LookupError("three")
    return item


class Source:
    """Be an iterable that counts what is read from it."""

    def __init__(self, stop: int | None = None) -> None:
        self.read = 0
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        while self.stop is None or self.read < self.stop:
            self.read += 1
            yield self.read - 1


# Laziness.


@every_inside_model
def test_nothing_starts_before_the_first_value_is_asked_for(model: str) -> None:
    source, threads = Source(), threading.active_count()
    run = outpace.map(double, source, model=model)
    assert (source.read, threading.active_count()) == (0, threads)
    assert run.summary.items == 0
    assert next(run) == 0
    assert source.read > 0
    run.close()


@every_inside_model
def test_a_slow_consumer_stops_the_reading(model: str) -> None:
    source = Source()
    with outpace.map(double, source, model=model, in_flight=4, ordered=False) as run:
        for _ in range(20):
            next(run)
        read = source.read
        assert not asyncio.run(asyncio.sleep(0)), "time passes, and nobody asks for a value"
        assert source.read == read


def test_with_slow_items_no_more_is_read_than_is_in_flight(gate: Gate) -> None:
    source = Source()
    with outpace.map(gate.plain(), source, model="threads", in_flight=4) as run:
        first = threading.Thread(target=next, args=(run,))
        first.start()
        assert sorted(gate.arrivals(4)) == ["0", "1", "2", "3"]
        assert source.read == 4
        gate.close()
        first.join()


@every_inside_model
def test_an_infinite_iterable_gives_as_many_values_as_are_asked_for(model: str) -> None:
    values = outpace.map(double, itertools.count(), model=model)
    assert list(itertools.islice(values, 3_000)) == list(range(0, 6_000, 2))


def test_a_list_that_changes_while_it_is_read_is_read_as_it_is_then() -> None:
    items = [1, 2, 3]
    run = outpace.map(double, items, model="serial", chunk=1)
    assert next(run) == 2
    items += [10, 20]
    assert list(run) == [4, 6, 20, 40]
    items = list(range(100))
    run = outpace.map(double, items, model="serial", chunk=1)
    assert next(run) == 0
    del items[5:]
    assert list(run) == [2, 4, 6, 8]


# Leaving.


@every_inside_model
def test_leaving_the_for_closes_the_run(model: str) -> None:
    closed: list[str] = []

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        yield
        closed.append("closed")

    for value in outpace.map(lambda item, _: item, itertools.count(), model=model, setup=setup):
        if value == 5:
            break
    assert set(closed) == {"closed"}


def test_leaving_the_for_closes_a_generator_of_items_too() -> None:
    ended: list[str] = []

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            ended.append("ended")

    for _ in outpace.map(double, items(), model="serial"):
        break
    gc.collect()
    assert ended == ["ended"]


@every_inside_model
def test_the_end_of_a_with_block_closes_the_run(model: str) -> None:
    with outpace.map(double, itertools.count(), model=model) as run:
        assert next(run) == 0
    with pytest.raises(UsageError, match=r"closed; call outpace\.map again"):
        iter(run)
    assert next(run, None) is None


@every_inside_model
def test_close_may_be_called_twice_and_before_anything(model: str) -> None:
    never = outpace.map(double, Source(), model=model)
    never.close()
    never.close()
    assert next(never, None) is None
    begun = outpace.map(double, Source(), model=model)
    next(begun)
    begun.close()
    begun.close()
    assert next(begun, None) is None


@every_inside_model
def test_a_run_is_used_once_and_says_so_the_second_time(model: str) -> None:
    run = outpace.map(double, [1, 2], model=model)
    assert list(run) == [2, 4]
    with pytest.raises(UsageError, match=r"used up.* call outpace.map again.* list\(run\)"):
        list(run)
    assert next(run, None) is None


def test_a_run_that_an_error_has_ended_is_used_up_too() -> None:
    run = outpace.map(fails_at_three, range(9), model="serial")
    with pytest.raises(LookupError):
        list(run)
    with pytest.raises(UsageError, match="used up"):
        list(run)


def test_a_loop_after_the_last_value_was_taken_with_next_is_the_first_one() -> None:
    run = outpace.map(double, [1], model="serial")
    assert (next(run, None), next(run, None), next(run, None)) == (2, None, None)
    assert list(run) == []


@every_inside_model
def test_a_run_dropped_half_way_leaves_nothing(model: str) -> None:
    run = outpace.map(double, itertools.count(), model=model)
    next(run)
    flow = weakref.ref(run._engine)
    del run
    if flow() is not None:  # another thread of the tests may have been looking at it
        gc.collect()
    assert flow() is None


@every_inside_model
def test_a_run_dropped_in_a_cycle_leaves_nothing(model: str) -> None:
    cycle: dict[str, Any] = {"run": outpace.map(double, itertools.count(), model=model)}
    cycle["cycle"] = cycle
    next(cycle["run"])
    del cycle
    gc.collect()


@every_inside_model
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_run_begun_outside_a_loop_can_be_dropped_inside_one(model: str, kind: str) -> None:
    async def later(item: int) -> int:
        return item

    run = outpace.map(double if kind == "plain" else later, itertools.count(), model=model)
    next(run)

    async def main() -> None:
        run.close()

    asyncio.run(main())


def test_an_iterator_kept_to_the_end_of_the_program_holds_nothing_up(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python("""
import itertools, outpace
kept = [iter(outpace.map(abs, itertools.count(), model=m)) for m in ("threads", "asyncio", "processes")]
print([next(values) for values in kept])
""")
    assert (done.stdout, done.stderr, done.returncode) == ("[0, 0, 0]\n", "", 0)


@pytest.mark.parametrize("model", [*INSIDE, "processes"])
def test_an_iterator_that_outlives_the_names_of_its_module_is_closed_without_a_word(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outpace.flow import run as module

    run = outpace.map(double, itertools.count(), model=model)
    values = iter(run)
    assert next(values) == 0
    # As a Python without a GIL ends: first what was registered for the exit, then names, then objects.
    run._finalizer()
    for name in vars(module):
        if not name.startswith("__"):
            monkeypatch.setattr(module, name, None)
    values.close()


# Several threads.


@pytest.mark.slow
@pytest.mark.parametrize("model", [*INSIDE, "processes", "auto"])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("way", ["loops", "next"])
def test_of_several_threads_that_iterate_over_one_run_each_gets_a_share(
    model: str, way: str, *, ordered: bool
) -> None:
    run = outpace.map(double, range(5_000), model=model, ordered=ordered, chunk=3, in_flight=2)
    loops = [iter(run) if way == "loops" else iter(run.__next__, None) for _ in range(3)]
    together = threading.Barrier(3)
    got: list[list[int]] = [[], [], []]

    def read(n: int) -> None:
        together.wait()
        got[n] += loops[n]

    readers = [threading.Thread(target=read, args=(n,)) for n in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert sorted(itertools.chain(*got)) == list(range(0, 10_000, 2))
    assert not ordered or all(share == sorted(share) for share in got)


def test_an_error_is_raised_in_one_thread_and_the_others_say_so(gate: Gate) -> None:
    stop = gate.plain()

    def fails(item: int) -> int:
        stop(item)
        raise LookupError(item)

    run = outpace.map(fails, [1], model="threads")
    loops = [iter(run), iter(run)]
    raised: list[BaseException] = []

    def read(loop: Iterator[int]) -> None:
        try:
            list(loop)
        except (LookupError, outpace.errors.OutpaceError) as error:
            raised.append(error)

    readers = [threading.Thread(target=read, args=(loop,)) for loop in loops]
    for reader in readers:
        reader.start()
    gate.arrivals(1)
    gate.let_through()
    for reader in readers:
        reader.join(20)
    theirs, other = sorted(raised, key=lambda error: type(error) is not LookupError)
    assert type(theirs) is LookupError
    assert (
        str(other) == "this run has ended with an error that was raised elsewhere: LookupError: 1"
    )


def test_close_ends_a_run_that_several_threads_wait_for(gate: Gate) -> None:
    run = outpace.map(gate.plain(), itertools.count(), model="threads", in_flight=2)
    loops = [iter(run), iter(run)]
    readers = [threading.Thread(target=list, args=(loop,)) for loop in loops]
    for reader in readers:
        reader.start()
    gate.arrivals(2)
    run.close()
    gate.close()
    for reader in readers:
        reader.join(20)
        assert not reader.is_alive()


def test_a_run_that_is_closed_just_as_its_last_reader_is_through_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = outpace.map(double, itertools.count(), model="threads")
    take_in = run._take_in

    def closed_meanwhile(release: Any) -> None:
        """Have another thread close it, when this one has only to leave."""
        take_in(release)
        closing = threading.Thread(target=run.close)
        closing.start()
        closing.join()

    monkeypatch.setattr(run, "_take_in", closed_meanwhile)
    next(run, None)
    assert run._engine.over


@every_inside_model
def test_another_thread_may_close_a_run_that_waits(model: str, gate: Gate) -> None:
    run = outpace.map(gate.plain(), itertools.count(), model=model, in_flight=2)
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.extend(run))
    reader.start()
    gate.arrivals(1)
    run.close()
    gate.close()
    reader.join(10)
    assert not reader.is_alive()


def test_an_item_may_close_the_run_it_is_in() -> None:
    def closes(item: int) -> int:
        if item == 3:
            run.close()
        return item

    run = outpace.map(closes, itertools.count(), model="serial", chunk=1)
    assert list(run) in ([0, 1, 2], [0, 1, 2, 3])


# Stopping.


@every_inside_model
def test_stop_lets_what_is_in_flight_come_out_and_starts_nothing_more(model: str) -> None:
    source = Source()
    run = outpace.map(double, source, model=model)
    got = [next(run)]
    run.stop()
    got += run
    assert got == list(range(0, 2 * len(got), 2))
    assert len(got) <= source.read


def test_stop_before_the_first_value_starts_nothing() -> None:
    source = Source()
    run = outpace.map(double, source, model="threads")
    run.stop()
    assert list(run) == []
    assert source.read == 0


def test_another_thread_may_stop_a_run_that_waits(gate: Gate) -> None:
    source = Source()
    run = outpace.map(gate.plain(), source, model="threads", in_flight=3)
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.extend(run))
    reader.start()
    gate.arrivals(3)
    run.stop()
    gate.let_through()
    reader.join(10)
    assert got == [0, 1, 2]
    assert source.read == 3


def test_stop_and_close_after_the_end_do_nothing() -> None:
    for model in [*INSIDE, "processes"]:
        run = outpace.map(double, [1, 2, 3], model=model)
        assert list(run) == [2, 4, 6]
        run.stop()
        run.close()


# What goes wrong.


@every_inside_model
@pytest.mark.parametrize("ordered", [True, False])
def test_an_iterable_that_raises_does_so_after_everything_before_it_has_come_out(
    model: str, *, ordered: bool
) -> None:
    def items() -> Iterator[int]:
        yield from range(50)
        raise OSError("the disk is gone")

    got: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        got.extend(outpace.map(double, items(), model=model, ordered=ordered))
    assert sorted(got) == list(range(0, 100, 2))


def test_a_ctrl_c_in_the_iterable_is_not_kept_back() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(outpace.map(double, items(), model="threads"))


@every_inside_model
def test_the_first_error_is_raised_in_the_place_of_its_value(model: str) -> None:
    got: list[int] = []
    with pytest.raises(LookupError, match="three") as raised:
        got.extend(outpace.map(fails_at_three, range(100), model=model))
    assert got == [0, 1, 2]
    assert raised.value.__notes__ == ["outpace: this was item 3: 3"]
    assert raised.traceback[-1].name == "fails_at_three"


def test_after_an_error_no_more_items_are_read() -> None:
    source = Source()
    with pytest.raises(LookupError):
        list(outpace.map(fails_at_three, source, model="serial"))
    assert source.read < 100


def test_an_item_whose_repr_fails_is_noted_all_the_same() -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(TypeError) as raised:
        list(outpace.map(abs, [Unspeakable()], model="serial"))
    assert raised.value.__notes__ == [
        "outpace: this was item 0: <Unspeakable whose repr raises RuntimeError>"
    ]


def test_a_long_item_is_noted_in_short() -> None:
    with pytest.raises(TypeError) as raised:
        list(outpace.map(abs, ["x" * 1_000], model="serial"))
    (note,) = raised.value.__notes__
    assert len(note) < 120
    assert note.endswith("…")


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit, SystemExit, KeyError])
@every_inside_model
def test_whatever_an_item_raises_is_that_items_outcome(
    model: str, error: type[BaseException]
) -> None:
    def odd(item: int) -> int:
        if item == 1:
            raise error("odd")
        return item

    outcomes = list(outpace.run(odd, range(3), model=model))
    assert [o.kind for o in outcomes] == ["done", "failed", "done"]
    assert type(outcomes[1].error) is error
    assert list(outpace.map(odd, range(3), model=model, on_error="skip")) == [0, 2]


def test_a_failing_setup_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def setup() -> Any:
        raise ConnectionRefusedError("no database")

    for model in INSIDE:
        with pytest.raises(
            outpace.errors.SetupError, match="ConnectionRefusedError: no database"
        ) as e:
            list(outpace.map(lambda item, _: item, [1], model=model, setup=setup))
        assert isinstance(e.value.__cause__, ConnectionRefusedError)


# What is known of it.


def test_the_summary_counts_and_times_what_happened() -> None:
    run = outpace.run(fails_at_three, range(10), model="threads", in_flight=2)
    assert str(run.summary).startswith("0 items with threads (2 at once)")
    list(run)
    summary = run.summary
    assert (summary.items, summary.done, summary.failed, summary.lost) == (10, 9, 1, 0)
    assert (summary.model, summary.workers, summary.in_flight) == ("threads", 1, 2)
    assert summary.startup_s > 0
    assert summary.makespan_s > 0
    assert summary.throughput == pytest.approx(10 / summary.makespan_s)
    assert "1 failed" in str(summary)
    assert repr(run) == "<outpace.Run threads: 10 of 10 items settled>"


def test_an_outcome_has_its_item_its_times_and_its_place() -> None:
    outcomes = list(outpace.run(fails_at_three, [5, 3], model="serial"))
    done, failed = outcomes
    assert isinstance(done, outpace.Done)
    assert isinstance(failed, outpace.Failed)
    assert (done.ok, done.value, done.error, done.item, done.index) == (True, 5, None, 5, 0)
    assert (failed.ok, failed.value, failed.item, failed.index) == (False, None, 3, 1)
    assert isinstance(failed.error, LookupError)
    for outcome in outcomes:
        assert outcome.queued <= outcome.started <= outcome.ended
        assert outcome.cpu_s >= 0
        assert outcome.attempts == 1
    assert pickle.loads(pickle.dumps(done)) == done


def burns(_: int) -> None:
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass


async def burns_on_a_loop(item: int) -> None:
    burns(item)


@pytest.mark.parametrize(
    ("fn", "model"), [(burns, "serial"), (burns, "threads"), (burns_on_a_loop, "asyncio")]
)
def test_the_summary_has_the_cpu_time_of_the_items_and_of_nothing_else(fn: Any, model: str) -> None:
    run = outpace.map(fn, range(5), model=model, ordered=False)
    for _ in run:
        burns(0)  # what whoever takes the values does is not the job's

    summary = run.summary
    assert summary.cpu_s == pytest.approx(0.1, rel=0.5)
    assert summary.cpu_s < 0.18
    assert summary.peak_bytes is None
    assert f"CPU {summary.cpu_s:.3g} s, memory not measured" in str(summary)


def test_programs_that_items_start_are_in_the_summary() -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass"

    def starts(_: int) -> int:
        return subprocess.run([sys.executable, "-I", "-S", "-c", burn], check=True).returncode

    for model in ("serial", "threads", "processes"):
        run = outpace.map(starts, range(2), model=model)
        assert list(run) == [0, 0]
        assert 0.2 <= run.summary.cpu_s < 0.6


def test_what_nobody_measures_is_not_zero() -> None:
    run = outpace.map(burns, range(3), model="threads", record="off")
    list(run)

    assert (run.summary.cpu_s, run.summary.peak_bytes) == (None, None)
    assert "CPU not measured, memory not measured" in str(run.summary)


def test_what_worker_processes_used_is_known_when_they_have_ended() -> None:
    run = outpace.map(burns, range(6), model="processes", record="off", workers=1, chunk=1)
    next(run)
    assert (run.summary.cpu_s, run.summary.peak_bytes) == (None, None)
    list(run)

    assert run.summary.cpu_s >= 6 * 0.02
    assert run.summary.peak_bytes > 5_000_000
    assert "MB at most" in str(run.summary)


@every_inside_model
def test_items_that_ask_their_own_run_for_a_value_are_told_in_one_line(model: str) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield next(run)

    run = outpace.map(double, items(), model=model)
    with pytest.raises(UsageError, match="asked for a value by its own items"):
        list(run)


@pytest.mark.parametrize("model", names())
@pytest.mark.parametrize("error", [asyncio.CancelledError, concurrent.futures.CancelledError])
def test_an_item_that_was_cancelled_is_told_apart_from_one_that_failed(
    model: str, error: type[BaseException]
) -> None:
    def fn(item: int) -> int:
        if item == 1:
            raise error
        if item == 2:
            raise LookupError
        return item

    run = outpace.run(fn, range(4), model=model)
    assert [outcome.kind for outcome in run] == ["done", "cancelled", "failed", "done"]
    summary = run.summary
    assert (summary.done, summary.failed, summary.cancelled) == (2, 1, 1)
    assert "1 failed, 1 cancelled" in str(summary)
