"""`outpace.Executor` keeps what a `concurrent.futures.Executor` promises, over every model, and more."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import gc
import os
import queue
import signal
import socket
import threading
import weakref
from concurrent.futures import BrokenExecutor, wait

import pytest

import outpace
from outpace.errors import (
    ItemTimeoutError,
    SetupError,
    TransferError,
    UsageError,
    UsageTypeError,
    WorkerLostError,
)

MODELS = [model.name for model in outpace.models() if model.available]
PROCESSES = [name for name in MODELS if name.startswith("processes")]
SEVERAL = [name for name in MODELS if name != "serial"]


@pytest.fixture(params=MODELS)
def model(request) -> str:
    return request.param


def double(x):
    return 2 * x


async def double_later(x):
    await asyncio.sleep(0.001)
    return 2 * x


# What every executor does.


def test_it_is_an_executor_of_the_standard_library(model) -> None:
    with outpace.Executor(model, 2) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        assert executor.submit(pow, 2, exp=5).result() == 32
        assert list(executor.map(double, range(20))) == list(range(0, 40, 2))
        assert executor.model == model


def test_plain_functions_lambdas_and_coroutine_functions_are_carried_out(model) -> None:
    with outpace.Executor(model, 2) as executor:
        futures = [
            executor.submit(fn, n)
            for n in range(6)
            for fn in (double, double_later, lambda x: 2 * x, functools.partial(double_later))
        ]

        assert [future.result() for future in futures] == [
            2 * n for n in range(6) for _ in range(4)
        ]


def test_an_error_is_raised_as_it_is_and_costs_one_call(model) -> None:
    with outpace.Executor(model, 2) as executor:
        futures = [executor.submit(divmod, 6, n) for n in (1, 0, 2)]

        assert futures[0].result() == (6, 0)
        with pytest.raises(ZeroDivisionError) as raised:
            futures[1].result()
        assert futures[2].result() == (3, 0)
    noted = "".join(getattr(raised.value, "__notes__", ()))
    assert ("in a worker process" in noted) == (model in PROCESSES)


def test_many_threads_may_submit(model) -> None:
    results = []

    def submit_some(first) -> None:
        futures = [executor.submit(double, n) for n in range(first, first + 50)]
        results.extend(future.result() for future in futures)

    with outpace.Executor(model, 2) as executor:
        threads = [threading.Thread(target=submit_some, args=(n * 50,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(results) == list(range(0, 400, 2))


@pytest.mark.parametrize("chunk", [3, None])
def test_calls_may_travel_together(model, chunk) -> None:
    with outpace.Executor(model, 2, chunk=chunk) as executor:
        futures = [executor.submit(double, n) for n in range(500)]

        assert [future.result() for future in futures] == list(range(0, 1000, 2))


def test_what_is_to_be_awaited_may_travel_with_what_is_not(model) -> None:
    with outpace.Executor(model, 2, chunk=8) as executor:
        futures = [executor.submit((double, double_later)[n % 3 == 1], n) for n in range(60)]

        assert [future.result(30) for future in futures] == list(range(0, 120, 2))


@pytest.mark.parametrize("model", SEVERAL)
def test_a_call_goes_to_a_lane_that_is_free_and_waits_for_no_other(model, gate) -> None:
    """Also after many short ones: calls may wait for one another."""
    with outpace.Executor(model, 2) as executor:
        list(executor.map(double, range(300)))
        stop = gate.plain() if model != "asyncio" else gate.coroutine()
        together = [executor.submit(stop, n) for n in range(2)]

        assert sorted(gate.arrivals(2)) == ["0", "1"]
        gate.let_through()
        assert wait(together, timeout=30).done == set(together)


@pytest.mark.parametrize("model", SEVERAL)
def test_what_is_done_is_seen_though_another_call_is_not(model, gate) -> None:
    stop = gate.coroutine() if "asyncio" in model else gate.plain()
    with outpace.Executor(model, 2) as executor:
        list(executor.map(double, range(300)))
        slow = executor.submit(stop, "slow")
        gate.arrivals(1)

        assert [executor.submit(double, n).result(30) for n in range(5)] == [0, 2, 4, 6, 8]
        assert not slow.done()
        gate.let_through()
        assert slow.result(30) == "slow"


# Cancelling and shutting down.


def test_what_has_not_begun_can_be_cancelled_and_what_has_cannot(model, gate) -> None:
    stop = gate.coroutine() if "asyncio" in model else gate.plain()
    with outpace.Executor(model, 1, in_flight=1) as executor:
        running = executor.submit(stop, "running")
        gate.arrivals(1)
        waiting = executor.submit(stop, "waiting")

        assert waiting.cancel()
        assert not running.cancel()
        gate.let_through()
        assert running.result(30) == "running"
        assert executor.submit(double, 4).result(30) == 8


def test_shutdown_carries_out_what_was_submitted(model) -> None:
    executor = outpace.Executor(model, 2)
    futures = [executor.submit(double, n) for n in range(50)]
    executor.shutdown()

    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)
    executor.shutdown()


def test_shutdown_can_cancel_what_has_not_begun_and_not_wait(model, gate) -> None:
    stop = gate.coroutine() if "asyncio" in model else gate.plain()
    executor = outpace.Executor(model, 1, in_flight=1)
    futures = [executor.submit(stop, n) for n in range(5)]
    gate.arrivals(1)

    executor.shutdown(wait=False, cancel_futures=True)

    assert not futures[0].done()
    assert all(future.cancelled() for future in futures[1:])
    gate.let_through()
    assert futures[0].result(30) == 0


def test_an_executor_that_nothing_is_submitted_to_starts_nothing(model) -> None:
    before = threading.active_count()
    with outpace.Executor(model):
        assert threading.active_count() == before


@pytest.mark.slow
def test_an_executor_that_is_dropped_carries_out_what_it_has_and_ends(model) -> None:
    executor = outpace.Executor(model, 2)
    manager = weakref.ref(executor._manager)
    future = executor.submit(double, 21)
    thread = executor._manager._thread
    del executor
    gc.collect()

    assert future.result(30) == 42
    thread.join(30)
    assert not thread.is_alive()
    del thread, future
    gc.collect()
    assert manager() is None


def test_nothing_of_a_call_is_kept_once_it_is_done(model) -> None:
    class Big:
        pass

    with outpace.Executor(model, 2) as executor:
        given = Big()
        gone = threading.Event()
        weakref.finalize(given, gone.set)
        executor.submit(id, given).result()
        del given

        assert gone.wait(10)


class Connected:
    """Be something that is connected to the test where it is unpickled, as long as it lives there."""

    def __init__(self, address) -> None:
        self.address = address

    def __reduce__(self):
        return socket.create_connection, (self.address, 30)


@pytest.mark.parametrize("model", PROCESSES)
def test_a_worker_keeps_nothing_of_a_call_either(model) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        outpace.Executor(model, 1, in_flight=1) as executor,
    ):
        listener.settimeout(30)
        executor.submit(id, Connected(listener.getsockname())).result(30)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(30)
            assert connection.recv(1) == b""


@pytest.mark.parametrize("model", SEVERAL)  # of serial the one lane is the manager itself
def test_terminating_gives_up_what_is_running(model, gate) -> None:
    stop = gate.coroutine() if "asyncio" in model else gate.plain()
    executor = outpace.Executor(model, 2)
    futures = [executor.submit(stop, n) for n in range(4)]
    gate.arrivals(2)

    executor.terminate_workers()
    executor.shutdown()

    for future in futures:
        with pytest.raises((BrokenExecutor, concurrent.futures.CancelledError)):
            future.result(0)
    with pytest.raises(BrokenExecutor, match="terminated"):
        executor.submit(double, 1)
    if model == "threads":  # nobody can stop them: they are let through
        gate.let_through()
    else:
        gate.wait_until_gone()


# Making ready.


def say_ready(text):
    threading.current_thread().outpace_test = text


def how_ready():
    return threading.current_thread().outpace_test


def test_an_initializer_is_called_once_in_each_lane(model) -> None:
    with outpace.Executor(model, 2, initializer=say_ready, initargs=("ready",)) as executor:
        assert [executor.submit(how_ready).result() for _ in range(5)] == ["ready"] * 5


@contextlib.contextmanager
def opened():
    yield "open"


def test_what_setup_opens_is_the_last_argument(model) -> None:
    def call(x, state, *, y):
        return x, state, y

    with outpace.Executor(model, 2, setup=opened) as executor:
        assert executor.submit(call, 1, y=2).result() == (1, "open", 2)


def fail():
    raise ValueError("not today")


def test_an_initializer_that_fails_breaks_the_executor_in_one_clear_line(model) -> None:
    executor = outpace.Executor(model, 2, initializer=fail)
    futures = []
    with contextlib.suppress(BrokenExecutor):
        futures.extend(executor.submit(double, n) for n in range(3))

    for future in futures:
        with pytest.raises(BrokenExecutor, match="not today") as raised:
            future.result(30)
        assert isinstance(raised.value, outpace.OutpaceError)
        assert isinstance(raised.value.__cause__, SetupError)
    executor.shutdown()
    with pytest.raises(BrokenExecutor, match="not today"):
        executor.submit(double, 1)


@contextlib.contextmanager
def fails_at_its_exit():
    yield None
    raise ValueError("at the end")


def test_a_setup_that_fails_at_its_exit_is_raised_by_shutdown(model) -> None:
    executor = outpace.Executor(model, 1, setup=fails_at_its_exit)
    assert executor.submit(lambda x, _state: x, 1).result() == 1

    with pytest.raises(SetupError, match="at the end"):
        executor.shutdown()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_setup_that_fails_at_its_exit_is_told_when_nobody_waits(model, monkeypatch) -> None:
    told = queue.SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", told.put)
    executor = outpace.Executor(model, 1, setup=fails_at_its_exit)
    assert executor.submit(lambda x, _state: x, 1).result() == 1
    executor.shutdown(wait=False)

    assert "at the end" in str(told.get(timeout=30).exc_value)


# Workers that die, and what cannot travel.


@pytest.mark.parametrize("model", PROCESSES)
def test_a_worker_that_dies_costs_the_call_that_it_was_on(model) -> None:
    with outpace.Executor(model, 2) as executor:
        executor.submit(double, 1).result()
        lost = executor.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(WorkerLostError, match="SIGKILL") as raised:
            lost.result(30)

        assert isinstance(raised.value, BrokenExecutor)  # what code for the standard pools expects
        assert raised.value.exitcode == -signal.SIGKILL
        assert list(executor.map(double, range(5))) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("model", PROCESSES)
def test_what_cannot_travel_costs_its_own_call(model) -> None:
    with outpace.Executor(model, 2) as executor:
        there = executor.submit(id, threading.Lock())
        back = executor.submit(threading.Lock)

        for future in (there, back):
            with pytest.raises(TransferError, match="lock"):
                future.result(30)
        assert executor.submit(double, 3).result() == 6


async def sleep_or(seconds):
    await asyncio.sleep(seconds)
    return seconds


@pytest.mark.slow
@pytest.mark.parametrize("model", SEVERAL)
def test_a_call_that_takes_too_long_is_timed_out_and_costs_no_other(model) -> None:
    with outpace.Executor(model, 2, timeout=0.5) as executor:
        futures = [executor.submit(sleep_or, n) for n in (0, 60, 0)]

        with pytest.raises(ItemTimeoutError):
            futures[1].result(30)
        assert [futures[0].result(30), futures[2].result(30)] == [0, 0]


def fail_at_first(folder):
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)  # noqa: PTH102
        raise ConnectionError("not yet")
    return "at last"


def test_a_call_that_fails_is_tried_again(model, tmp_path) -> None:
    retry = outpace.Retry(times=2, wait=0.05)
    with outpace.Executor(model, 2, retries=retry) as executor:
        assert executor.submit(fail_at_first, str(tmp_path / "once")).result(30) == "at last"
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(30)

    assert executor.summary.retries == 3


@pytest.mark.parametrize("model", PROCESSES)
def test_a_worker_can_be_replaced_after_so_many_calls(model) -> None:
    with outpace.Executor(model, 1, in_flight=1, max_items=2) as executor:
        assert len({executor.submit(os.getpid).result(30) for _ in range(6)}) == 3


# Where it is used.


def test_a_running_loop_may_use_it(model) -> None:
    async def main():
        loop = asyncio.get_running_loop()
        with outpace.Executor(model, 2) as executor:
            calls = [loop.run_in_executor(executor, double, n) for n in range(10)]
            return await asyncio.gather(*calls)

    assert asyncio.run(main()) == list(range(0, 20, 2))


def total(n):
    with outpace.Executor("threads", 2) as executor:
        return sum(executor.map(double, range(n)))


def test_it_works_inside_a_worker_of_our_own(model) -> None:
    with outpace.Executor(model, 2) as executor:
        assert list(executor.map(total, range(4))) == [0, 0, 2, 6]


@pytest.mark.parametrize("model", ["serial", "threads", "asyncio"])
def test_calls_see_the_context_in_which_the_executor_was_made(model) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")
    with outpace.Executor(model, 2) as executor:
        variable.set("changed")
        assert executor.submit(variable.get).result() == "mine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_copy_in_a_forked_process_says_that_it_is_one_and_hangs_nowhere(model) -> None:
    with outpace.Executor(model, 2) as executor:
        executor.submit(double, 1).result()
        if (pid := os.fork()) == 0:
            code = 1
            with contextlib.suppress(BaseException):
                try:
                    executor.submit(double, 1)
                except RuntimeError as error:
                    executor.shutdown()
                    with outpace.Executor("threads", 1) as mine:
                        right = mine.submit(double, 1).result(30) == 2
                    code = 0 if right and "forked" in str(error) else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert executor.submit(double, 2).result() == 4


PROGRAM = """
import outpace, sys, time
def late(text):
    time.sleep(0.2)
    print(text, flush=True)
executor = outpace.Executor(sys.argv[1], 2)
executor.submit(late, "carried out")
if sys.argv[2] == "told":
    executor.shutdown(wait=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["told", "not told"])
def test_a_program_that_ends_has_carried_out_what_it_submitted(model, how, run_python) -> None:
    done = run_python(PROGRAM, model, how)

    said = done.stderr.splitlines()
    complaints = [line for line in said if "blocked the event loop" not in line]  # it does
    assert (done.stdout, complaints, done.returncode) == ("carried out\n", [], 0)


# `map`.


def test_map_submits_at_once_or_no_further_ahead_than_it_may() -> None:
    read = []

    def items():
        for n in range(100):
            read.append(n)
            yield n

    with outpace.Executor("threads", 2) as executor:
        results = executor.map(double, items(), buffersize=3)
        assert read == [0, 1, 2]
        assert next(results) == 0
        assert read == [0, 1, 2, 3]
        results.close()

        assert list(executor.map(double, items(), buffersize=7)) == list(range(0, 200, 2))


def test_map_carries_pieces_and_ends_with_the_shortest(model) -> None:
    with outpace.Executor(model, 2) as executor:
        assert list(executor.map(pow, range(10), range(7), chunksize=3)) == [n**n for n in range(7)]


@pytest.mark.parametrize("timeout", [1e300, float("inf"), 10**400], ids=["1e300", "inf", "10**400"])
def test_a_map_may_wait_for_ever(timeout) -> None:
    with outpace.Executor("threads", 2) as executor:
        assert list(executor.map(abs, [-1, -2], timeout=timeout)) == [1, 2]


@pytest.mark.parametrize("timeout", ["1 s", float("nan")])
def test_a_map_whose_timeout_is_no_number_is_one_line(timeout) -> None:
    with (
        outpace.Executor("threads", 2) as executor,
        pytest.raises(
            UsageTypeError, match=r"timeout must be a number of seconds, not ('1 s'|nan)"
        ),
    ):
        executor.map(abs, [-1], timeout=timeout)


def test_map_does_not_wait_longer_than_it_was_told(model, gate, stopwatch) -> None:
    stop = gate.coroutine() if "asyncio" in model else gate.plain()
    with outpace.Executor(model, 2) as executor:
        results = executor.map(stop, range(3), timeout=0.1)
        seconds = stopwatch()
        with pytest.raises(TimeoutError):
            next(results)
        assert seconds() < 10
        gate.close()


# Wrong arguments.


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("proceses",), {}, "there is no model"),
        (("auto",), {}, "name a model"),
        ((), {"workers": 0}, "at least 1"),
        ((), {"max_workers": 0}, "greater than 0"),
        ((), {"workers": 1, "max_workers": 1}, "the same"),
        ((2,), {"workers": 2}, "two numbers"),
        (("threads",), {"in_flight": "5"}, "whole number"),
        (("threads",), {"chunk": 0}, "at least 1"),
        (("threads",), {"setup": 5}, "setup must be"),
        (("threads",), {"initializer": 5}, "initializer must be"),
        (("threads",), {"setup": opened, "initializer": fail}, "pass one of them"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(arguments, options, says) -> None:
    with pytest.raises(outpace.OutpaceError, match=says):
        outpace.Executor(*arguments, **options)


def test_a_number_alone_is_that_of_the_workers_as_for_the_standard_pools() -> None:
    assert outpace.Executor(3)._max_workers == outpace.Executor(max_workers=3)._max_workers == 3
    assert outpace.Executor(3).model == "processes"


def test_what_is_submitted_must_be_callable() -> None:
    with outpace.Executor("threads") as executor, pytest.raises(TypeError, match="callable"):
        executor.submit(5)
    with outpace.Executor("threads") as executor, pytest.raises(UsageError, match="chunksize"):
        executor.map(double, [1], chunksize=-1)


def test_the_summary_counts_calls() -> None:
    with outpace.Executor("threads", 2) as executor:
        list(executor.map(double, range(10)))

    assert executor.summary.items == executor.summary.done == 10
    assert "10 calls settled" in repr(executor)
