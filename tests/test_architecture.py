"""The layout keeps its promises: the public face, the size of files, what an import costs."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import outpace

SOURCE = Path(outpace.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MOST_IN_A_FUNCTION = 60  # with its docstring; the public doors have twenty lines of it
# Where a class says what it is, and not what it should do: STYLE's noun phrases. The others follow.
NOUNS_IN = ("cli", "errors.py", "experiments", "fetching", "machine", "racing", "record", "report")
IMPERATIVES = {"Be", "Count", "Draw", "Have", "Hold", "Keep", "Know", "Read", "Say", "Write"}

PUBLIC = {
    "Cancelled": None,
    "Done": None,
    "Executor": "(model, workers, *, in_flight, max_workers, setup, initializer, initargs, chunk, "
    "timeout, retries, max_items, max_memory, max_crashes)",
    "Failed": None,
    "Lost": None,
    "Outcome": None,
    "OutpaceError": None,
    "Retry": None,
    "Run": None,
    "Summary": None,
    "TimedOut": None,
    "amap": "(fn, *iterables, model, workers, in_flight, ordered, chunk, setup, timeout, "
    "retries, starmap, rate, group, per_group, group_rate, on_error, max_items, max_memory, "
    "max_crashes, record, progress)",
    "arun": "(fn, *iterables, model, workers, in_flight, ordered, chunk, setup, timeout, "
    "retries, starmap, rate, group, per_group, group_rate, max_items, max_memory, "
    "max_crashes, record, progress)",
    "fetch": "(urls, *, into, in_flight, per_host, rate, delay, workers, retries, resume, "
    "retry_failed, update, record, progress, settings)",
    "map": "(fn, *iterables, model, workers, in_flight, ordered, chunk, setup, timeout, "
    "retries, starmap, rate, group, per_group, group_rate, on_error, max_items, max_memory, "
    "max_crashes, record, progress)",
    "models": "()",
    "race": "(functions, items, *, models, workers, in_flight, repeat, budget, setup, same, "
    "record, progress, name)",
    "register_joblib": "()",
    "run": "(fn, *iterables, model, workers, in_flight, ordered, chunk, setup, timeout, "
    "retries, starmap, rate, group, per_group, group_rate, max_items, max_memory, "
    "max_crashes, record, progress)",
}


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(outpace.__all__) == set(PUBLIC)
    assert outpace.__all__ == sorted(outpace.__all__)
    for name in PUBLIC:
        assert getattr(outpace, name).__doc__


@pytest.mark.parametrize("name", [name for name, shape in PUBLIC.items() if shape])
def test_the_public_signatures_are_these(name) -> None:
    parameters = inspect.signature(getattr(outpace, name)).parameters.values()
    shown, starred = [], False
    for parameter in parameters:
        several = parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
        starred = starred or several or parameter.kind is parameter.KEYWORD_ONLY
        shown.append(f"*{parameter.name}" if several else parameter.name)
    assert f"({', '.join(shown)})" == PUBLIC[name]


def test_no_module_has_the_name_of_a_public_function() -> None:
    """Importing `outpace.race` as a package would replace the function of that name."""
    modules = {path.stem for path in SOURCE.iterdir() if not path.name.startswith("_")}
    assert not modules & set(outpace.__all__)


def test_every_file_says_what_it_is_for_and_every_function_can_be_read_at_once() -> None:
    assert [complaint for path in FILES for complaint in complaints(path)] == []


@pytest.mark.parametrize("room", NOUNS_IN)
def test_a_class_says_what_it_is_in_a_noun_phrase(room) -> None:
    paths = [path for path in FILES if path.relative_to(SOURCE).parts[0] == room]
    assert paths
    first_words = {
        f"{node.name} in {path.relative_to(SOURCE)}": (ast.get_docstring(node) or " ").split()[:1]
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: word for name, word in first_words.items() if IMPERATIVES & set(word)} == {}


def complaints(path: Path) -> Iterator[str]:
    """Say what is wrong with the shape of a file."""
    text, name = path.read_text(), path.relative_to(SOURCE)
    tree = ast.parse(text)

    if not ast.get_docstring(tree):
        yield f"{name} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > MOST_IN_A_FUNCTION:
                yield f"{node.name} in {name} has {length} lines"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import outpace", {"asyncio", "multiprocessing", "requests", "psutil", "rich", "json"}),
        ("import outpace; list(outpace.map(abs, [1], model='serial'))", {"asyncio", "psutil"}),
        (
            "import outpace; list(outpace.map(abs, [1], model='processes'))",
            {"asyncio", "multiprocessing", "psutil"},
        ),
    ],
)
def test_a_plain_use_does_not_import_what_it_does_not_need(code, absent) -> None:
    code += "\nimport sys; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert not absent & set(done.stdout.split())
