"""CPython's own tests of executors, run where they are installed, with our executor in the pools' place.

What of them does not apply is in `LEFT_OUT`, each with its reason; every other test must pass, unless
CPython skips it itself. `pytest -rP` shows how many there were of each.
"""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = "test.test_concurrent_futures"
NOT_INSTALLED = "this Python was installed without its own tests of concurrent.futures"

# The methods of starting that the processes' tests are repeated for mean nothing to us: once is enough.
CLASSES = [  # the model, the module since 3.12, and the class of tests
    ("threads", "test_thread_pool", "ThreadPoolExecutorTest"),
    ("threads", "test_wait", "ThreadPoolWaitTests"),
    ("threads", "test_as_completed", "ThreadPoolAsCompletedTest"),
    ("threads", "test_shutdown", "ThreadPoolShutdownTest"),
    ("threads", "test_init", "ThreadPoolInitializerTest"),
    ("processes", "test_process_pool", "ProcessPoolSpawnProcessPoolExecutorTest"),
    ("processes", "test_wait", "ProcessPoolSpawnWaitTest"),
    ("processes", "test_as_completed", "ProcessPoolSpawnAsCompletedTest"),
    ("processes", "test_shutdown", "ProcessPoolSpawnProcessPoolShutdownTest"),
    ("processes", "test_deadlock", "ProcessPoolSpawnExecutorDeadlockTest"),
    ("processes", "test_init", "ProcessPoolSpawnInitializerTest"),
]

ONE_CALL = "the fault costs one call, which gets an error of its own, and the executor goes on"
ALL_AT_ONCE = (
    "it counts the threads or processes that a pool starts one by one, and ours start at once"
)
SEMAPHORE = (
    "its calls hold a semaphore of multiprocessing, which only its own child processes can take"
)
NAMES = "it reads the names of the pool's own threads"
INSIDE = "it looks at, or replaces, a part of the pool's inside that we do not have"

LEFT_OUT = {
    # (model, test): reason
    ("threads", "test_default_workers"): "our default is 32 threads, whatever the number of CPUs",
    ("threads", "test_idle_thread_reuse"): ALL_AT_ONCE,
    ("threads", "test_saturation"): ALL_AT_ONCE,
    ("threads", "test_threads_terminate"): ALL_AT_ONCE,
    ("threads", "test_thread_names_assigned"): NAMES,
    ("threads", "test_thread_names_default"): NAMES,
    ("processes", "test_saturation"): SEMAPHORE,
    ("processes", "test_processes_terminate"): SEMAPHORE,
    ("processes", "test_killed_child"): ONE_CALL,
    ("processes", "test_error_at_task_pickle"): ONE_CALL + ": TransferError, from PicklingError",
    ("processes", "test_error_at_task_unpickle"): ONE_CALL + ": TransferError",
    ("processes", "test_exit_at_task_unpickle"): ONE_CALL + ": TransferError",
    ("processes", "test_error_during_result_pickle_on_worker"): ONE_CALL + ": TransferError",
    ("processes", "test_exit_during_result_pickle_on_worker"): ONE_CALL + ": TransferError",
    ("processes", "test_error_during_result_unpickle_in_result_handler"): ONE_CALL,
    ("processes", "test_exit_during_result_unpickle_in_result_handler"): ONE_CALL,
    ("processes", "test_shutdown_deadlock_pickle"): ONE_CALL + ": TransferError, not PicklingError",
    ("processes", "test_traceback"): "the worker's traceback is a note on the error (PEP 678)",
    ("processes", "test_max_tasks_per_child_defaults_to_spawn_context"): INSIDE,
    ("processes", "test_python_finalization_error"): INSIDE,
    ("processes", "test_gh105829_should_not_deadlock_if_wakeup_pipe_full"): INSIDE,
}


def installed(module: str) -> str | None:
    """Name the module of these tests on this Python, if it has been installed with them."""
    if importlib.util.find_spec("test") is None:
        return None
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    package = importlib.util.find_spec(PACKAGE).submodule_search_locations
    return f"{PACKAGE}.{module}" if package else PACKAGE


def run(module: str, class_name: str, left_out: list[str]) -> dict[str, list[str]]:
    """Run one class of tests in a program of its own; return what became of each."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("in_place.py"), module, class_name],
        input=json.dumps(left_out),
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Dangling" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("model", "module", "class_name"), CLASSES)
def test_cpythons_own_tests_pass(model, module, class_name) -> None:
    name = installed(module)
    if name is None:
        pytest.skip(NOT_INSTALLED)

    ends = run(name, class_name, [test for of, test in LEFT_OUT if of == model])

    print(class_name, dict(Counter(end for end, _ in ends.values())))  # noqa: T201 - for `-rP`
    failed = {test: text for test, (end, text) in ends.items() if end == "failed"}
    assert not failed, "\n".join(failed.values())
    assert "passed" in {end for end, _ in ends.values()}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older Pythons have fewer tests")
def test_every_reason_is_of_a_test_that_there_is() -> None:
    if installed("") is None:
        pytest.skip(NOT_INSTALLED)
    folders = importlib.util.find_spec(PACKAGE).submodule_search_locations

    text = "".join(path.read_text() for folder in folders for path in Path(folder).glob("*.py"))
    assert [test for _, test in LEFT_OUT if f"def {test}(" not in text] == []
