"""Code that travels by value keeps its file, its lines and their text, as a traceback shows them."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import outpace
from outpace.hosts.channel.framing import pack
from outpace.machine import cpus


def fails(item: int) -> float:
    return item / 0


async def fails_later(item: int) -> float:
    return item / 0


class Work:
    def fails(self, item: int) -> float:
        return item / 0

    @staticmethod
    def fails_alone(item: int) -> float:
        return item / 0

    def __call__(self, item: int) -> float:
        return item / 0


def nested(by: int) -> Callable[[int], float]:
    def innermost(item: int) -> float:
        return item / by

    return lambda item: innermost(item)  # noqa: PLW0108 - its own frame is to be seen, too


KINDS = {  # how the failing frame is called: the function
    "fails": fails,
    "fails_later": fails_later,
    "<lambda>": lambda item: item / 0,
    "Work.fails": Work().fails,
    "Work.fails_alone": Work.fails_alone,
    "Work.__call__": Work(),
}


def traceback_of(fn: Any) -> str:
    (outcome,) = outpace.run(fn, [1], model="processes", workers=1)
    assert isinstance(outcome, outpace.Failed)
    assert outcome.traceback is not None
    return outcome.traceback


@pytest.mark.parametrize("kind", KINDS)
def test_a_workers_traceback_names_file_line_and_source(kind: str) -> None:
    told = traceback_of(KINDS[kind])

    frame = told.partition(f'File "{__file__}", line ')[2]
    assert frame, told
    line, _, rest = frame.partition(f", in {kind.rpartition('.')[2]}\n")
    text = Path(__file__).read_text(encoding="utf-8").splitlines()[int(line) - 1].strip()
    assert " item / 0" in text
    assert rest.strip().startswith(text), told


def test_each_frame_of_nested_functions_is_shown() -> None:
    told = traceback_of(nested(0))
    assert ", in <lambda>\n    return lambda item: innermost(item)" in told
    assert ", in innermost\n    return item / by\n" in told


# Programs, whose functions are of __main__.

PROGRAM = """\
import outpace

def work(item):
    return item / 0

for outcome in outpace.run(work, [1], model="processes", workers=1): print(outcome.traceback)
"""
SHOWN = ", line 4, in work\n    return item / 0\n"
keeps_typed = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="Python keeps the text of -c and of a prompt from 3.13 on"
)


def test_a_function_of_main_is_named_as_its_script_has_it(run_python: Any, tmp_path: Path) -> None:
    assert f'File "{tmp_path / "program.py"}"{SHOWN}' in run_python(PROGRAM).stdout


def test_a_program_read_from_stdin_says_so(run_python: Any) -> None:
    assert 'File "<stdin>", line 4, in work\n' in run_python(PROGRAM, stdin=True).stdout


def test_the_cell_of_a_notebook_is_shown(run_python: Any) -> None:
    """As IPython has it: compiled under a name of its own, its text known to linecache alone."""
    name = "/nowhere/ipykernel_7/1234.py"
    done = run_python(
        "import linecache\n"
        f"cell, name = {PROGRAM!r}, {name!r}\n"
        "linecache.cache[name] = len(cell), None, cell.splitlines(keepends=True), name\n"
        "exec(compile(cell, name, 'exec'))\n"
    )
    assert f'File "{name}"{SHOWN}' in done.stdout


@keeps_typed
def test_a_program_of_dash_c_is_shown(run_python: Any) -> None:
    done = run_python(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PROGRAM!r}], check=True)"
    )
    assert f'File "<string>"{SHOWN}' in done.stdout


@keeps_typed
def test_what_is_typed_at_a_prompt_is_shown(run_python: Any) -> None:
    typed = PROGRAM + "\n"  # a blank line ends a block
    done = run_python(
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-i'], input={typed!r}, text=True, check=True)"
    )
    assert ", line 2, in work\n    return item / 0\n" in done.stdout


# The code itself.


def test_code_arrives_as_it_was() -> None:
    code = nested(3).__code__
    assert pack(code, by_value=True).load() == code
    assert pack(code, by_value=True).load().co_filename == __file__


def test_code_with_a_constant_that_no_compiler_makes_travels_all_the_same() -> None:
    def halved(item: int) -> Any:
        return item * 0.25

    consts = tuple(Decimal("0.5") if one == 0.25 else one for one in halved.__code__.co_consts)
    odd = types.FunctionType(halved.__code__.replace(co_consts=consts), {})
    assert pack(odd, by_value=True).load()(3) == Decimal("1.5")


def test_pickles_of_others_are_not_changed() -> None:
    """cloudpickle names code as it likes, or as it says: only what we send is ours to decide."""
    before = cloudpickle.dumps(nested(3))
    pack(nested(3), by_value=True)
    assert cloudpickle.dumps(nested(3)) == before


CACHED = """
import functools, outpace

@functools.lru_cache(maxsize=8)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

class Shop:
    @functools.cache
    def price(self, n):
        return n * 2

def uses(n):
    return fib(n), Shop().price(n)

def local():
    return functools.cache(lambda n: -n)

fib(5)
for fn in (fib, uses, local()):
    print(list(outpace.map(fn, [10, 20], model="processes")))
print(list(outpace.map(lambda _: fib.cache_info().currsize, [0], model="processes")))
print(list(outpace.map(lambda _: fib.cache_parameters(), [0], model="processes")))
"""


@pytest.mark.slow
def test_a_cached_function_of_main_travels_with_its_cache_empty(run_python: Any) -> None:
    done = run_python(CACHED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[55, 6765]",
        "[(55, 20), (6765, 40)]",
        "[-10, -20]",
        "[0]",
        "[{'maxsize': 8, 'typed': False}]",
    ]


def test_a_cached_function_that_can_be_imported_is_imported() -> None:
    cached = cpus.usable_cpus
    assert isinstance(cached, type(functools.cache(len)))
    assert pack(cached, by_value=True).load() is cached
