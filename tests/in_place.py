"""Run CPython's own tests of `concurrent.futures` where they are, with our executor in the pools' place.

    python tests/in_place.py threads|processes MODULE CLASS <<< '["names", "left", "out"]'

It prints what became of each test as JSON. `substitute` puts ours into `concurrent.futures` before any
test is imported, and into the programs that the tests start.
"""

import concurrent.futures
import importlib
import json
import sys
import unittest
from pathlib import Path

import outpace


class End:
    """Be what a test waits for when it looks inside a pool: a thread, a process, a queue.

    All of ours have ended when the manager's thread has: it closes everything.
    """

    def __init__(self, manager) -> None:
        self.manager = manager

    def join(self) -> None:
        self.manager._thread.join()

    join_thread = join

    @property
    def name(self):
        return self.manager._thread.name


class Inside:
    """Be what the tests look at inside the standard pools."""

    _call_queue = _executor_manager_thread = property(lambda self: End(self._manager))
    _threads = property(lambda self: [End(self._manager)])
    _processes = property(lambda self: {0: End(self._manager)})
    _broken = property(lambda self: self._manager._why_not)


class Threads(Inside, outpace.Executor):
    """Be our executor with the arguments of a ThreadPoolExecutor."""

    def __init__(
        self, max_workers=None, thread_name_prefix="", initializer=None, initargs=()
    ) -> None:
        super().__init__(
            "threads", max_workers=max_workers, initializer=initializer, initargs=initargs
        )


class Processes(Inside, outpace.Executor):
    """Be our executor with the arguments of a ProcessPoolExecutor: it has its own way of starting."""

    def __init__(
        self,
        max_workers=None,
        mp_context=None,
        initializer=None,
        initargs=(),
        *,
        max_tasks_per_child=None,
    ) -> None:
        super().__init__(
            "processes",
            max_workers=max_workers,
            initializer=initializer,
            initargs=initargs,
            max_items=max_tasks_per_child,
        )


def substitute() -> None:
    """Put ours in the place of the standard pools."""
    Threads.__name__, Processes.__name__ = "ThreadPoolExecutor", "ProcessPoolExecutor"
    concurrent.futures.ThreadPoolExecutor = Threads
    concurrent.futures.ProcessPoolExecutor = Processes


def in_programs(run):
    """Have the programs that a test starts do the same first."""
    prelude = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import in_place; in_place.substitute()\n"
    )
    return lambda option, source: run(option, prelude + source)


class Result(unittest.TestResult):
    """Collect what became of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = {}

    def startTest(self, test) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self.ends[test.id()] = ("passed", "")

    def addError(self, test, err) -> None:  # noqa: N802
        self.ends[test.id()] = ("failed", self._exc_info_to_string(err, test))

    addFailure = addError  # noqa: N815

    def addSubTest(self, test, subtest, err) -> None:  # noqa: N802
        if err is not None:
            self.addError(test, err)

    def addSkip(self, test, reason) -> None:  # noqa: N802
        self.ends[test.id()] = ("skipped", reason)


def main(name: str, class_name: str) -> None:
    """Run one class of tests, without those that are named on stdin."""
    left_out = set(json.load(sys.stdin))
    substitute()
    module = importlib.import_module(name)
    if hasattr(module, "BrokenProcessPool"):
        module.BrokenProcessPool = concurrent.futures.BrokenExecutor
    if hasattr(module, "assert_python_ok"):
        module.assert_python_ok = in_programs(module.assert_python_ok)
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(getattr(module, class_name))
    chosen, result = unittest.TestSuite(), Result()
    for test in tests:
        if test._testMethodName in left_out:
            result.ends[test.id()] = ("left out", "")
        else:
            chosen.addTest(test)
    module.setUpModule()
    try:
        chosen.run(result)
    finally:
        unittest.doModuleCleanups()
    sys.stdout.write("\n" + json.dumps(result.ends) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
