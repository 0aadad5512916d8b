"""The next call of joblib finds the workers of the one before, if they are the right ones."""

import os
import threading

import joblib
import pytest

import outpace
from outpace.futures import kept

pytestmark = pytest.mark.slow
NEVER = 120.0  # seconds that nothing takes


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    outpace.register_joblib()


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    yield
    kept.let_go()


def pids(**options):
    """Carry out calls; return the workers that there were."""
    parallel = joblib.Parallel(2, backend="outpace", batch_size=1, **options)
    return set(parallel(joblib.delayed(os.getpid)() for _ in range(20)))


def nothing():
    pass


def stand(gate, n):
    gate(n)
    return os.getpid()


def inner():
    outpace.register_joblib()
    return os.getpid(), pids()


def fail():
    raise ZeroDivisionError


def test_the_next_call_has_the_workers_of_the_one_before() -> None:
    first = pids()
    assert first & pids()
    with joblib.parallel_config(inner_max_num_threads=None, n_jobs=2, backend="outpace"):
        again = set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(20)))
    assert first & again


def test_two_calls_at_once_have_workers_of_their_own(gate) -> None:
    held = joblib.Parallel(2, backend="outpace", return_as="generator")(
        joblib.delayed(stand)(gate.plain(), n) for n in range(2)
    )
    gate.arrivals(2)

    others = pids()  # they would wait for ever for workers that stand at the gate

    gate.let_through()
    assert not others & set(held)


@pytest.mark.parametrize(
    "options", [{"initializer": nothing}, {"initializer": print, "initargs": ("",)}]
)
def test_who_wants_another_initializer_has_other_workers(options) -> None:
    plain = pids()

    assert not plain & pids(**options)


def test_who_finds_modules_elsewhere_has_other_workers(tmp_path, monkeypatch) -> None:
    first = pids()
    monkeypatch.syspath_prepend(tmp_path)
    second = pids()
    monkeypatch.chdir(tmp_path)
    third = pids()

    assert len(first | second | third) == len(first) + len(second) + len(third)


def test_not_more_than_a_few_are_kept() -> None:
    first = pids()
    for number in range(kept.MOST):
        pids(initializer=print, initargs=("" * number, number))

    assert len(kept._idle) == kept.MOST
    assert not first & pids()


def test_arguments_that_cannot_be_compared_are_other_ones() -> None:
    numpy = pytest.importorskip("numpy")
    arguments = ("", numpy.ones(3))
    first = pids(initializer=print, initargs=arguments)

    assert not first & pids(initializer=print, initargs=("", numpy.ones(3)))


def test_after_an_error_there_are_new_ones() -> None:
    with joblib.parallel_config(backend="outpace", n_jobs=2):
        first = pids()
        with pytest.raises(ZeroDivisionError):
            joblib.Parallel()(joblib.delayed(fail)() for _ in range(2))

    assert not first & pids()


def test_what_nobody_wants_in_time_ends_by_itself() -> None:
    pids(idle_worker_timeout=0)
    for thread in threading.enumerate():
        if thread.name == "outpace-kept":
            thread.join()

    assert not kept._idle


def test_what_one_had_may_end_before_that_of_another() -> None:
    pids()
    watch = kept._watch
    pids(initializer=nothing, idle_worker_timeout=0)
    with kept._changed:
        assert kept._changed.wait_for(lambda: len(kept._idle) == 1, NEVER)

    assert kept._watch is watch


def test_an_executor_that_is_broken_is_not_taken() -> None:
    first = pids()
    kept._idle[-1].executor.terminate_workers()

    assert not first & pids()


def test_a_worker_may_keep_workers() -> None:
    parallel = joblib.Parallel(2, backend="outpace")
    found = parallel(joblib.delayed(inner)() for _ in range(2))

    for own, others in found:
        assert own not in others  # `conftest` looks whether they end with their own caller


KEEPS = """
import os, sys, joblib, outpace
outpace.register_joblib()
def pids():
    return set(joblib.Parallel(2, backend="outpace")(joblib.delayed(os.getpid)() for _ in range(9)))
"""


def test_a_program_ends_at_once_and_nothing_is_left(run_python) -> None:
    ended = run_python(KEEPS + "print(*pids())")

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    for pid in map(int, ended.stdout.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_has_workers_of_its_own(run_python) -> None:
    ended = run_python(
        KEEPS
        + """
before = pids()
child = os.fork()
if child == 0:
    assert not before & pids()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert before & pids()
"""
    )

    assert ended.returncode == 0, ended.stderr
