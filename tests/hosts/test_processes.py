"""Worker processes: what they see, how they die, and what is left of them."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

import outpace
from outpace.errors import SetupError, TransferError, WorkerLostError, WorkerStartError

posix = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


@pytest.fixture(params=["template", "spawn"])
def start(request, monkeypatch) -> str:
    """Start workers in each of the two ways."""
    monkeypatch.setenv("OUTPACE_START", request.param)
    return request.param


def in_workers(fn, items=(0,), **more):
    """Run in two worker processes."""
    return list(outpace.map(fn, items, model="processes", workers=2, **more))


# What a worker sees.


def where(_) -> tuple[str, str | None, bool]:
    return str(Path.cwd()), os.environ.get("OUTPACE_TEST"), "/nowhere/special" in sys.path


def test_workers_see_the_directory_environment_and_path_of_the_moment(
    start, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTPACE_TEST", "now")
    monkeypatch.syspath_prepend("/nowhere/special")

    assert in_workers(where) == [(str(tmp_path), "now", True)]


def warned(_) -> str:
    try:
        warnings.warn("careful", FutureWarning, stacklevel=1)
    except FutureWarning:
        return "error"
    return "nothing"


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_workers_have_the_warnings_filters_of_the_moment(start, action) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert in_workers(warned) == ["error" if action == "error" else "nothing"]


def groups(_) -> tuple[int, int]:
    return os.getpid(), os.getpgrp()


@posix
def test_each_worker_leads_a_process_group_of_its_own(start) -> None:
    (pid, group), *_ = in_workers(groups)

    assert pid == group
    assert group != os.getpgrp()


def draw(_) -> tuple[int, float, float]:
    import numpy as np

    return os.getpid(), random.random(), float(np.random.random())  # noqa: NPY002 - the state that would be shared


def test_workers_never_share_random_state(start) -> None:
    random.seed(1)
    draws = in_workers(draw, range(40), chunk=1)

    assert len({value for _, value, _ in draws}) == 40
    assert len({value for _, _, value in draws}) == 40


def has_asyncio(_) -> bool:
    return "asyncio" in sys.modules


def test_a_plain_worker_has_not_imported_asyncio(start) -> None:
    assert in_workers(has_asyncio) == [False]


def public(_) -> list[int]:
    import outpace as inner

    return list(inner.map(abs, [-1, -2], model="threads"))


def test_the_whole_library_works_inside_a_worker(start) -> None:
    assert in_workers(public, [0]) == [[1, 2]]


# Programs: `__main__` is never run again.

SCRIPT = """
import os, sys
with open("runs", "a") as file:
    file.write(f"{os.getpid()}\\n")
import outpace

class Point:
    def __init__(self, x):
        self.x = x

def double(point):
    return Point(point.x * 2)

class Odd(Exception):
    pass

def picky(x):
    if x % 2:
        raise Odd(x)
    return x

offset = 5
points = list(outpace.map(double, [Point(n) for n in range(5)], model="processes"))
assert all(type(point) is Point for point in points), points
assert [point.x for point in points] == [0, 2, 4, 6, 8]
assert list(outpace.map(lambda n: n + offset, range(3), model="processes")) == [5, 6, 7]
try:
    list(outpace.map(picky, [2, 3], model="processes"))
except Odd as error:
    assert error.args == (3,)
    assert any("picky" in note for note in error.__notes__), error.__notes__
else:
    raise SystemExit("no error")
print("well")
"""


@pytest.mark.slow
@pytest.mark.parametrize("stdin", [False, True])
def test_a_script_without_a_guard_works_and_is_run_once(run_python, tmp_path, start, stdin) -> None:
    done = run_python(SCRIPT, stdin=stdin)

    assert done.stderr == ""
    assert done.stdout == "well\n"
    assert len((tmp_path / "runs").read_text().splitlines()) == 1


SELF_CALLING = """
import outpace
def double(n):
    return n * 2
values = list(outpace.map(double, [1, 2], model="processes"))
"""


def test_a_module_that_calls_outpace_when_imported_does_not_explode(
    run_python, tmp_path, start
) -> None:
    (tmp_path / "calls.py").write_text(SELF_CALLING)
    done = run_python("import calls")

    assert done.returncode == 1
    assert 'under if __name__ == "__main__"' in done.stderr


# What cannot travel.


class Stuck:
    """Cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError("I stay")


class Bomb:
    """Cannot be unpickled."""

    def __reduce__(self):
        return explode, ()


def explode():
    raise RuntimeError("boom")


def identity(x):
    return x


def make_stuck(n: int):
    return Stuck() if n == 3 else n


class Awkward(Exception):  # noqa: N818 - a name to be met in a message
    """Pickles, and then cannot be unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} {b}")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Awkward, ("1 2",)


class Unsendable(Exception):  # noqa: N818
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("I hold a generator")
        self.held = (n for n in ())


def raises(n: int) -> int:
    if n == 2:
        raise Awkward(1, 2)
    if n == 4:
        raise Unsendable
    return n


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 6])
def test_an_item_that_cannot_be_sent_is_one_failure(start, chunk) -> None:
    for bad in (Stuck(), Bomb()):
        outcomes = list(
            outpace.run(identity, [0, 1, bad, 3, 4, 5], model="processes", chunk=chunk, workers=2)
        )

        assert [o.kind for o in outcomes] == ["done"] * 2 + ["failed"] + ["done"] * 3
        assert isinstance(outcomes[2].error, TransferError)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 6])
def test_a_result_that_cannot_be_sent_is_one_failure(start, chunk) -> None:
    outcomes = list(outpace.run(make_stuck, range(6), model="processes", chunk=chunk))

    assert [o.index for o in outcomes if not o.ok] == [3]
    assert "Stuck" in str(outcomes[3].error)


def test_exceptions_that_cannot_travel_are_told_in_words(start) -> None:
    outcomes = list(outpace.run(raises, range(6), model="processes"))

    assert [o.index for o in outcomes if not o.ok] == [2, 4]
    assert "Awkward: 1 2" in str(outcomes[2].error)
    assert "Unsendable: I hold a generator" in str(outcomes[4].error)
    assert "in raises" in outcomes[4].traceback


def test_a_function_that_cannot_be_sent_says_what_to_do() -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(TransferError, match="setup="):
        in_workers(lambda n: (lock, n))


# Death.


def leave(n: int) -> int:
    if n == 3:
        os._exit(7)
    return n


def kill_self(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return n


@posix
@pytest.mark.parametrize(
    ("fn", "exitcode", "words"), [(leave, 7, "exit code 7"), (kill_self, -11, "SIGSEGV")]
)
def test_a_worker_that_dies_costs_the_chunk_it_was_on(start, fn, exitcode, words) -> None:
    outcomes = list(outpace.run(fn, range(12), model="processes", chunk=1, workers=2))

    assert [o.index for o in outcomes if o.kind == "lost"] == [3]
    assert [o.value for o in outcomes if o.ok] == [n for n in range(12) if n != 3]
    assert isinstance(outcomes[3].error, WorkerLostError)
    assert outcomes[3].error.exitcode == exitcode
    assert words in str(outcomes[3].error)


@posix
@pytest.mark.parametrize("model", ["processes+threads", "processes+asyncio"])
def test_a_worker_of_many_lanes_that_dies_hangs_nothing(start, model) -> None:
    outcomes = list(outpace.run(leave, range(60), model=model, workers=2, in_flight=6))

    assert [o.index for o in outcomes] == list(range(60))
    assert outcomes[3].kind == "lost"
    assert {o.kind for o in outcomes} == {"done", "lost"}


@posix
def test_workers_that_keep_dying_end_in_one_clear_error(start) -> None:
    with pytest.raises((WorkerStartError, WorkerLostError)):
        list(outpace.map(lambda _: os._exit(1), range(1000), model="processes", chunk=1))


@contextmanager
def dying_setup():
    os._exit(3)
    yield


@posix
def test_workers_that_die_while_they_start_end_in_one_clear_error(start) -> None:
    with pytest.raises(WorkerStartError):
        in_workers(lambda n, _: n, setup=dying_setup)


@contextmanager
def raising_setup():
    raise LookupError("no database")
    yield


def test_a_setup_that_fails_says_why_with_the_workers_traceback(start) -> None:
    with pytest.raises(SetupError, match="no database") as caught:
        in_workers(lambda n, _: n, setup=raising_setup)
    assert isinstance(caught.value.__cause__, LookupError)
    assert any("raising_setup" in note for note in caught.value.__notes__)


@contextmanager
def closing_setup(folder: str):
    yield
    (Path(folder) / str(os.getpid())).touch()


def test_idle_workers_close_their_setups(start, tmp_path) -> None:
    from functools import partial

    in_workers(lambda n, _: n, range(10), setup=partial(closing_setup, str(tmp_path)))

    assert len(list(tmp_path.iterdir())) == 2


@posix
def test_busy_workers_are_gone_soon_after_the_run_is_closed(start, gate, stopwatch) -> None:
    import threading

    run = outpace.map(gate.plain(), range(4), model="processes", workers=2, chunk=1)

    def meet() -> None:
        gate.arrivals(2)
        gate.let_through()
        gate.arrivals(1)  # the other item may be waiting behind it

    thread = threading.Thread(target=meet)
    thread.start()
    assert next(run) == 0
    assert next(run) == 1
    thread.join()
    seconds = stopwatch()
    run.close()

    assert seconds() < 1.0
    gate.wait_until_gone()


PARENT = """
import os, sys, time
import outpace
def forever(n):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece, whoever writes beside it
    while True:
        time.sleep(0.01)
list(outpace.map(forever, range(2), model=sys.argv[1], workers=2, in_flight=2))
"""


@posix
@pytest.mark.parametrize("model", ["processes", "processes+threads"])
def test_workers_do_not_outlive_a_parent_that_is_killed(model, tmp_path) -> None:
    import psutil

    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        finally:
            parent.kill()
    gone, alive = psutil.wait_procs(children, timeout=60)

    assert not alive
    assert len(gone) == 2


def test_an_unknown_way_to_start_is_a_clear_error(monkeypatch) -> None:
    monkeypatch.setenv("OUTPACE_START", "magic")
    with pytest.raises(outpace.errors.UsageError, match="OUTPACE_START"):
        in_workers(identity)


# Lanes.


def lanes_here(_) -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name[-1:].isdigit()}


async def tasks_here(_) -> set[str]:
    await asyncio.sleep(0.01)
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name for name in names if name.startswith("outpace lane")}


@pytest.mark.parametrize(
    ("model", "fn"), [("processes+threads", lanes_here), ("processes+asyncio", tasks_here)]
)
def test_no_lane_is_opened_in_a_worker_for_items_that_never_come(start, model, fn) -> None:
    run = outpace.map(fn, range(3), model=model, workers=8, in_flight=10**6)
    for lanes in run:
        assert 1 <= len(lanes) <= 3
    assert run.summary.workers == 3


def test_a_setup_that_fails_in_a_lane_that_is_hired_later_ends_the_run(start, tmp_path) -> None:
    @contextmanager
    def setup():
        try:
            (tmp_path / "first").touch(exist_ok=False)
        except FileExistsError:
            (tmp_path / "failed").touch()
            raise LookupError("one is enough") from None
        yield

    def wait(_, __) -> None:
        while not (tmp_path / "failed").exists():
            time.sleep(0.01)

    with pytest.raises(SetupError, match="LookupError: one is enough"):
        list(outpace.run(wait, range(4), model="processes+threads", workers=1, setup=setup))
