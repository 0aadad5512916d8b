"""The torture script, in small: it runs, and finds nothing wrong."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "bench/torture.py"
# The timeout is longer than a busy machine holds anybody up.
SMALL = ["--items", "2000", "--seed", "1", "--timeout", "3"]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks for what is left in /proc"),
    pytest.mark.slow,
]


def parts() -> list[str]:
    """Return the names of the parts, as its documentation lists them."""
    text = ast.get_docstring(ast.parse(SCRIPT.read_text(encoding="utf-8"))) or ""
    listed = [
        line.split()[0] for line in text.splitlines() if line[:4] == " " * 4 and line[4:5] > " "
    ]
    names = [name for name in listed if name != "python"]
    models = ["processes", "processes+threads", "processes+asyncio"]
    return [f"items-{model}" for model in models] + names[1:]


@pytest.mark.parametrize(
    "part",
    [
        # It compares with pure waiting, of which there has to be much.
        pytest.param(part, marks=pytest.mark.thorough if part == "waits" else ())
        for part in parts()
    ],
)
def test_nothing_deviates_in_a_small_torture(part: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *SMALL, "--only", part],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{part} " in done.stdout
    assert "0 deviations" in done.stdout
