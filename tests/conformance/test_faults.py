"""Every fault of the table under every model: it costs what the table says, and nobody else anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outpace.registry import all_models

sys.path.insert(0, str(Path(__file__).parent))  # workers look there too

import deeds
import faults

if TYPE_CHECKING:
    from faults import End, Fault, Seen

    from outpace.registry import Model

posix = pytest.mark.skipif(os.name != "posix", reason="most of these faults are POSIX's")
MODELS = [model for model in all_models() if model.unavailable() is None]


def needs_process(fault: Fault, kind: str, model: Model) -> bool:
    """Say whether a cell starts processes, or something else that takes long."""
    ends = fault.end(model, kind).kind in ("ends", "hangs")
    return bool(fault.slow or fault.apart or ends or model.host)


def marks(fault: Fault, kind: str, model: Model) -> list[pytest.MarkDecorator]:
    """Say when a cell is carried out: those that take long with one kind of function, in turns.

    What a plain function and a coroutine do to a process is mostly the same; the rest is thorough.
    """
    if not needs_process(fault, kind, model):
        return []
    turn = faults.FAULTS.index(fault) + MODELS.index(model) + fault.kinds.index(kind)
    alike = len(fault.kinds) > 1 and turn % 2
    return [pytest.mark.slow, *[pytest.mark.thorough] * alike]


CELLS = [
    pytest.param(
        fault,
        kind,
        model,
        id=f"{fault.name}-{kind}-{model.name}",
        marks=marks(fault, kind, model),
    )
    for fault in faults.FAULTS
    for kind in fault.kinds
    for model in MODELS
]

PROGRAM = """
import dataclasses, json, sys
folder, name, kind, model, path = sys.argv[1:]
sys.path.insert(0, folder)
import faults
seen = faults.carry_out(faults.named(name), kind, model)
with open(path, "w") as file:
    json.dump(dataclasses.asdict(seen), file)
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("fault", "kind", "model"), CELLS)
def test_a_fault_costs_what_the_table_says(
    fault: Fault, kind: str, model: Model, tmp_path: Path
) -> None:
    end = fault.end(model, kind)
    if end.kind in ("ends", "hangs"):
        program_ends(Program(fault, kind, model, tmp_path), end)
    elif fault.apart and model.host is None:
        came_out(Program(fault, kind, model, tmp_path).seen(), end, fault)
    else:
        came_out(faults.carry_out(fault, kind, model.name), end, fault)


def came_out(seen: Seen, end: End, fault: Fault) -> None:
    """Check everything that was seen."""
    rows = {index: row for index, *row in seen.rows}
    came = len(rows) if end.came == faults.SOME else end.came
    assert list(rows) == [row[0] for row in seen.rows] == list(range(came))
    if end.kind == "raises":
        assert seen.raised is not None
        name, text = seen.raised
        assert name in end.error.split("|")
        assert re.search(end.says, text), text
    else:
        assert seen.raised is None
    if end.kind not in ("raises", "left"):
        kind, error, text = rows.pop(faults.BAD)
        assert (kind, error) == (end.kind, end.error), text
        assert re.search(end.says, text), text
    assert {tuple(row) for row in rows.values()} <= {("done", "", "")}
    assert seen.touched is end.touches


class Program:
    """Be a program of its own that carries out one cell."""

    def __init__(self, fault: Fault, kind: str, model: Model, folder: Path) -> None:
        self.path, self.here = folder / "seen.json", folder / "here"
        script = folder / "program.py"
        script.write_text(PROGRAM)
        place = str(Path(__file__).parent)
        environment: dict[str, Any] = {**os.environ, deeds.HERE: str(self.here)}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
        self.process = subprocess.Popen(
            [sys.executable, str(script), place, fault.name, kind, model.name, str(self.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )

    def seen(self) -> Seen:
        """Wait for its end; return what it has seen."""
        code, said = self.end()
        assert code == 0, said
        return faults.Seen(**json.loads(self.path.read_text()))

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code, and what it has said."""
        try:
            _, said = self.process.communicate(timeout=120)
        finally:
            self.process.kill()
            self.process.wait()
        return self.process.returncode, said

    def wait_until_stuck(self) -> None:
        """Wait until the deed has begun that does not end."""
        while not self.here.exists() and self.process.poll() is None:
            time.sleep(0.005)


def program_ends(program: Program, end: End) -> None:
    """Check how a program ends, by itself or when it is told to."""
    if end.kind == "hangs":
        program.wait_until_stuck()
        program.process.send_signal(2)
        if end.exitcode == -9:
            with pytest.raises(subprocess.TimeoutExpired):
                program.process.wait(1.0)
            program.process.kill()
    code, said = program.end()
    assert code == end.exitcode, said
    assert re.search(end.says, said), said
