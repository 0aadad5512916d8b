"""What scikit-learn's own tests of its searches take with our backend of joblib, beside loky's.

    python bench/sklearn_search.py [--repeat N] [--tests MODULE] [--only EXPRESSION] [--json F]

The tests run where they are installed, each run in an interpreter of its own, the backends in turn, so
that a ratio is of two runs side by side. A test that fails with ours and not with loky's is named, and
then the exit code is 1. `--only` is pytest's `-k`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from xml.etree import ElementTree as ET

from _harness import clock, say
from _show import head, number, save, show, spread

BACKENDS = ("loky", "outpace")
NEEDED = {"sklearn": "scikit-learn", "joblib": "joblib", "pytest": "pytest"}


def run(backend: str, tests: str, only: str) -> tuple[float, set[str], int]:
    """Run the tests with a backend; return the seconds, those that failed, and how many there were."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "--pyargs", tests, "-k", only),
            *("-p", "_joblib_backend", "-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", folder, "--junitxml", str(report)),
        ]
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        env = {"JOBLIB_BACKEND": backend, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        began = clock()
        done = subprocess.run(
            command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False
        )
        seconds = clock() - began
        if not report.exists():
            sys.exit(done.stdout + done.stderr)
        cases = list(ET.parse(report).iter("testcase"))
    failed = {
        f"{case.get('classname')}.{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    return seconds, failed, len(cases)


def main() -> None:
    """Run, print the table, and say what failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tests", default="sklearn.model_selection.tests.test_search")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", metavar="F", help="also write the numbers to this file")
    args = parser.parse_args()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"to be installed: pip install {' '.join(NEEDED[name] for name in missing)}")
    head()
    took: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    failed: dict[str, set[str]] = {backend: set() for backend in BACKENDS}
    count = 0
    for turn in range(args.repeat):
        for backend in BACKENDS[:: 1 if turn % 2 == 0 else -1]:
            say(f"round {turn + 1} of {args.repeat}: {backend}")
            seconds, failures, count = run(backend, args.tests, args.only)
            took[backend].append(seconds)
            failed[backend] |= failures
    say("")
    ratios = [ours / lokys for lokys, ours in zip(*took.values(), strict=True)]
    rows = [
        [backend, spread(took[backend]), number(ratio), str(len(failed[backend]))]
        for backend, ratio in zip(BACKENDS, (1.0, median(ratios)), strict=True)
    ]
    show(f"{count} tests of {args.tests}", ["backend", "seconds", "ratio", "failed"], rows)
    ours_alone = sorted(failed["outpace"] - failed["loky"])
    for name in ours_alone:
        print(f"fails with ours alone: {name}")
    save(args.json, {"sklearn_search": took, "fails_with_ours_alone": ours_alone})
    sys.exit(bool(ours_alone))


if __name__ == "__main__":
    main()
