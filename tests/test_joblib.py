"""joblib carries its batches out by our executor, and joblib's own tests say that it does so rightly."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import pytest

import outpace
from outpace.errors import UsageError
from outpace.futures import kept

pytestmark = pytest.mark.slow
# Of joblib's own tests, to be run at the same time. Half a minute of CPU each: most start workers anew.
PARTS = [0, 1, 2, 3]

# joblib's own tests: what is not run, as patterns of names, and why.
OTHERS = "another backend of joblib's, in which nothing of ours takes part"
CLASSES = "it asks for joblib's own class, and ours stands in its place"
LEFT_OUT = {
    "*multiprocessing*": OTHERS,
    "*MultiprocessingBackend*": OTHERS,
    "*sequential*": OTHERS,
    "*spawn*": OTHERS,
    "test_parallel_with_*": "its programs start without the plug-in, and so with joblib's own backend",
    "test_no_blas_crash_*": "its work is that of a library, not of a backend, and takes long",
    "test_simple_parallel[[]2-*": "as those that say more, of which one in three is enough",
    "test_simple_parallel[[]11-*": "as those that say more, of which one in three is enough",
    "test_dispatch_race_condition[[]*-12-*": "twelve processes that import NumPy take long on few cores",
    "test_loky_reuse_workers*": "it asks loky's own pool whether it was used again",
    "test_nested_parallel_warnings[[]threading-loky-*": "loky cannot start workers there; ours can",
    "test_nested_exception_dispatch*": "joblib expects it to fail: the inner loops are its own",
    "test_parallel_pickling": "the error is TransferError, which names the item; loky's PicklingError",
    "test_batching_auto_threading": "our batches grow with threads too",
    "test_overwrite_default_backend": CLASSES,
    "test_backend_context_manager*": CLASSES,
    "test_backend_hinting_and_constraints*": CLASSES,
    "test_multiple_generator_call_separated_gc[[]*loky*": "loky's calls that run at once share workers",
}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    outpace.register_joblib()


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    yield
    kept.let_go()


def square(x):
    return x * x


def threads_of_a_library():
    return os.environ.get("OMP_NUM_THREADS")


class WhenUnpickled:
    """Be an argument that unpickles as what a library sees that is imported with it."""

    def __reduce__(self):
        return threads_of_a_library, ()


def keep(found):
    os.environ["FOUND"] = str(found)


def found():
    return os.environ["FOUND"]


@pytest.mark.parametrize("model", [each.name for each in outpace.models() if each.available])
def test_calls_are_carried_out_under_every_model(model) -> None:
    with joblib.parallel_config(backend="outpace", model=model, n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(square)(n) for n in range(50)) == [
            n * n for n in range(50)
        ]


def test_what_one_parallel_has_started_the_next_finds() -> None:
    with joblib.parallel_config(backend="outpace", n_jobs=1 + 1):
        first = set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(20)))
        second = set(joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(20)))

    assert os.getpid() not in first | second
    assert first & second


def test_an_error_is_raised_as_it_is_with_the_workers_traceback() -> None:
    with (
        joblib.parallel_config(backend="outpace", n_jobs=2),
        pytest.raises(ZeroDivisionError) as raised,
    ):
        joblib.Parallel()(joblib.delayed(divmod)(1, n) for n in (1, 0))

    assert "in a worker process" in "".join(raised.value.__notes__)


def test_a_call_that_takes_too_long_is_stopped_and_the_next_parallel_has_workers(
    stopwatch,
) -> None:
    with joblib.parallel_config(backend="outpace", n_jobs=2):
        seconds = stopwatch()
        with pytest.raises(multiprocessing.TimeoutError):
            joblib.Parallel(timeout=0.2)(joblib.delayed(time.sleep)(n) for n in (0, 60))
        assert seconds() < 20

        assert joblib.Parallel()(joblib.delayed(square)(n) for n in range(3)) == [0, 1, 4]


def test_threads_share_their_memory_and_processes_do_not() -> None:
    main = threading.get_native_id()
    with joblib.parallel_config(backend="outpace", model="threads", n_jobs=2):
        shared = joblib.Parallel(require="sharedmem")._backend
        ids = joblib.Parallel()(joblib.delayed(threading.get_native_id)() for _ in range(4))
    with joblib.parallel_config(backend="outpace", n_jobs=2):
        not_shared = joblib.Parallel(require="sharedmem")._backend

    assert type(shared).__module__ == "outpace.futures.joblib"
    assert type(not_shared).__module__ != "outpace.futures.joblib"
    assert main not in ids


def test_workers_leave_the_other_cores_to_the_others() -> None:
    with joblib.parallel_config(backend="outpace", n_jobs=2, inner_max_num_threads=1):
        assert joblib.Parallel()(joblib.delayed(threads_of_a_library)() for _ in range(2)) == [
            "1",
            "1",
        ]


def test_the_environment_is_there_before_anything_is_imported_for_the_initializer() -> None:
    with joblib.parallel_config(
        backend="outpace",
        n_jobs=2,
        inner_max_num_threads=3,
        initializer=keep,
        initargs=(WhenUnpickled(),),
    ):
        assert joblib.Parallel()(joblib.delayed(found)() for _ in range(2)) == ["3", "3"]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"model": "proceses"}, "there is no model"), ({"colour": 1}, "no option colour")],
)
def test_a_wrong_option_is_one_clear_line(options, says) -> None:
    with (
        pytest.raises(outpace.OutpaceError, match=says),
        joblib.parallel_config(backend="outpace", **options),
    ):
        pass


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", PARTS)
def test_joblibs_own_tests_pass(tmp_path, part) -> None:
    tests = Path(__file__).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "in_place_joblib", "--pyargs"),
            *("joblib.test.test_parallel", "-q", "-c", os.devnull, "-p", "no:cacheprovider"),
            *(
                "--basetemp",
                tmp_path / "theirs",
                "--tb=short",
                "--timeout=300",
                "-rf",
                "--disable-warnings",
            ),
        ],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(tests), "LEFT_OUT": json.dumps(list(LEFT_OUT))}
        | {"PART": f"{part}/{len(PARTS)}"},
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    print(last)  # noqa: T201 - for `-rP`
    passed = re.search(r"(\d+) passed", last)
    assert passed
    # Else the names of the tests have changed, and hardly any was chosen.
    assert int(passed[1]) > 200 / len(PARTS)


def test_a_joblib_that_is_too_old_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("joblib._parallel_backends.ParallelBackendBase.submit")
    with pytest.raises(UsageError, match=r"older than 1\.5"):
        outpace.register_joblib()
