"""dev.py, as far as it decides anything by itself."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("outpace_dev", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lowest_version_of_every_dependency_is_known(dev: ModuleType) -> None:
    lowest = dev.lowest(PROJECT)
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=~; ]", one)[0] for group in groups for one in group} - {"outpace"}
    assert {one.partition("==")[0] for one in lowest} == names
    for one in lowest:
        assert re.fullmatch(r"[\w.-]+==[\d.]+(; .+)?", one), f"{one}: say from which version on"


def test_a_dependency_at_its_lowest_keeps_its_marker_and_loses_its_extras(dev: ModuleType) -> None:
    project = {
        "name": "outpace",
        "dependencies": ["a>=3", "b.c-d[x,y]>=0.2; python_version < '3.15'"],
        "optional-dependencies": {"more": ["outpace[less]", "ruff~=0.17.0"], "less": ["a>=3"]},
    }
    assert dev.lowest(project) == ["a==3", "b.c-d==0.2; python_version < '3.15'", "ruff==0.17.0"]


@pytest.mark.parametrize("two", [("--lowest", "--newest"), ("--others", "--lowest")])
def test_two_kinds_of_test_run_at_once_are_refused(dev: ModuleType, two: tuple[str, str]) -> None:
    with pytest.raises(dev.Problem, match=f"{min(two)} and {max(two)} do not go together"):
        dev.test(list(two))
