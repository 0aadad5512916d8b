"""Which modules travel by value, because a worker could not import them."""

from __future__ import annotations

import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

import outpace
from outpace.flow.protocol import Call
from outpace.hosts.channel.by_value import by_value, importable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

SOURCE = """
import dataclasses

FACTOR = 3

@dataclasses.dataclass
class Box:
    content: int

class Refused(Exception):
    pass

def triple(item):
    if item == 4:
        raise Refused(item)
    return helper(item)

def helper(item):
    return item * FACTOR

def boxed(item):
    return Box(item.content * FACTOR)
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Give a way to load a module from a path, as pytest, plug-ins and command lines do."""

    def load_module(name: str) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(SOURCE)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load_module


def test_what_the_path_leads_to_is_importable() -> None:
    import email.mime.text
    import json

    assert importable(json)
    assert importable(email.mime.text)
    assert importable(sys)
    assert importable(outpace)


def test_what_was_loaded_from_a_path_is_not(load: Callable[[str], ModuleType]) -> None:
    assert not importable(load("loaded_from_a_path"))


def test_another_module_of_the_same_name_on_the_path_does_not_count(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not importable(load("colorsys"))


def test_it_becomes_importable_when_its_folder_is_put_on_the_path(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("put_on_the_path")
    monkeypatch.syspath_prepend(tmp_path)
    assert importable(module)


def test_functions_of_such_a_module_run_in_workers(load: Callable[[str], ModuleType]) -> None:
    module = load("runs_in_workers")
    assert list(outpace.map(module.triple, [1, 2], model="processes", workers=1)) == [3, 6]


def test_its_classes_come_back_as_the_callers_own(load: Callable[[str], ModuleType]) -> None:
    module = load("classes_come_back")
    (box,) = outpace.map(module.boxed, [module.Box(2)], model="processes", workers=1)
    assert type(box) is module.Box
    assert box == module.Box(6)
    (outcome,) = outpace.run(module.triple, [4], model="processes", workers=1)
    assert type(outcome.error) is module.Refused


def test_cloudpickle_is_left_as_it_was(load: Callable[[str], ModuleType]) -> None:
    module = load("leaves_cloudpickle_alone")
    before = cloudpickle.list_registry_pickle_by_value()
    with by_value(Call(module.triple)):
        assert module.__name__ in cloudpickle.list_registry_pickle_by_value()
    assert cloudpickle.list_registry_pickle_by_value() == before
    cloudpickle.register_pickle_by_value(module)  # by somebody else: it stays
    with by_value(Call(module.triple)):
        pass
    assert module.__name__ in cloudpickle.list_registry_pickle_by_value()
    cloudpickle.unregister_pickle_by_value(module)


def test_two_threads_do_not_take_a_module_from_each_other(
    load: Callable[[str], ModuleType],
) -> None:
    module = load("shared_by_threads")
    inside, go_on = threading.Event(), threading.Event()
    packed: list[Any] = []

    def first() -> None:
        with by_value(Call(module.triple)):
            inside.set()
            go_on.wait(20)

    def second() -> None:
        inside.wait(20)
        threading.Timer(0, go_on.set).start()
        with by_value(Call(module.triple)):
            packed.append(cloudpickle.dumps(module.triple))

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    del sys.modules[module.__name__]
    assert cloudpickle.loads(packed[0])(2) == 6, "it needs no module of that name"
