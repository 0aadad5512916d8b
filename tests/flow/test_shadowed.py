"""A file of the user's with the name of a module of the standard library is named, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import outpace
from outpace.flow.shadowed import shadowed

SCRIPT = """
import sys
import outpace

if __name__ == "__main__":
    print(list(outpace.map(abs, [1, -2], model=sys.argv[1])))
"""


def carried_out(script: Path, model: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), model],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("signal", "threads"),
        ("types", "serial"),
        ("weakref", "serial"),
        ("heapq", "threads"),
        ("queue", "threads"),
        ("socket", "processes"),
        ("string", "processes"),
        ("asyncio", "asyncio"),
        ("concurrent", "asyncio"),
    ],
)
def test_a_file_beside_the_script_is_named(name: str, model: str, tmp_path: Path) -> None:
    shadow, script = tmp_path / f"{name}.py", tmp_path / "script.py"
    shadow.write_text("mine = 1\n")
    script.write_text(SCRIPT)

    done = carried_out(script, model)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: {shadow} has the name of the standard library's module {name!r}, and Python "
        "takes it for that: give the file another name"
    )


def test_a_script_that_has_such_a_name_itself_is_named(tmp_path: Path) -> None:
    script = tmp_path / "signal.py"
    script.write_text("import outpace\nprint(outpace.map(abs, [1]))\n")

    done = carried_out(script, "")

    assert (
        f"ImportError: {script} has the name of the standard library's module 'signal'"
        in done.stderr
    )


def test_a_file_that_harms_nobody_is_left_alone(tmp_path: Path) -> None:
    script = tmp_path / "calendar.py"
    script.write_text(SCRIPT)

    assert carried_out(script, "threads").stdout == "[1, 2]\n"


def test_other_errors_are_what_they_are() -> None:
    def of_ours() -> None:
        outpace.nothing  # noqa: B018

    def of_the_standard_library() -> None:
        subprocess.nothing  # noqa: B018

    for wrong in (
        of_ours,
        of_the_standard_library,
        lambda: [].nothing,
        lambda: __import__("nothing"),
    ):
        with pytest.raises((AttributeError, ImportError)) as caught:
            wrong()
        assert shadowed(caught.value) is None
    for error in (AttributeError("no"), ImportError("no"), ImportError("no", name="foo.signal")):
        assert shadowed(error) is None
