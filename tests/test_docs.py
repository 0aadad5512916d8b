"""The pages say what is so: their code runs, their commands parse, their links lead somewhere.

What a fenced block is, its first line says:

    ```python             run, all blocks of a page in one process, in order; where a block has lines
                          `# -> text`, that is exactly what it prints
    ```python file=NAME   a file in the folder in which the page's code runs
    ```console            each `$ outpace …` and `$ python3 dev.py …` must be a command that there is
    ```console run        each line that begins with `$` is carried out there, and must succeed
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import outpace
from outpace.cli import parser
from outpace.flow.trace import Blocked
from outpace.record import states
from outpace.record.timeline import Lane, Timeline
from outpace.record.timeline_json import as_json

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(.+?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
PRINTED = "# -> "
CAN_FETCH = importlib.util.find_spec("can_ada") is not None

RUNNER = """
import contextlib, io, json, sys
blocks, failures = json.load(sys.stdin), []
for name, code, expected in blocks:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, name, "exec"))
    if expected and out.getvalue().splitlines() != expected:
        failures.append(f"{name} printed {out.getvalue()!r}, and says {expected}")
sys.exit("\\n".join(failures) or 0)
"""


class Block(NamedTuple):
    """A fenced block of a page; `code` begins with as many empty lines as stand before it there."""

    page: Path
    info: str
    code: str


def blocks(page: Path, info: str) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        before = text.count("\n", 0, found.start(2))
        if re.fullmatch(info, found[1]):
            yield Block(page, found[1], "\n" * before + found[2])


def of_pages_with(info: str) -> pytest.MarkDecorator:
    pages = [page for page in PAGES if any(blocks(page, info))]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"outpace_{path.stem}_for_docs", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a function that makes the folder of a page, with the page's files in it."""

    def made(page: Path) -> Path:
        for block in blocks(page, r"python file=\S+"):
            name = block.info.partition("=")[2]
            (tmp_path / name).write_text(block.code.lstrip("\n"), encoding="utf-8")
        return tmp_path

    return made


# The code.


@pytest.mark.slow
@of_pages_with("python")
def test_the_python_of_a_page_runs_and_prints_what_it_says(page, folder):
    given = [
        (f"{page.name}", block.code, expected_output(block.code))
        for block in blocks(page, "python")
        if CAN_FETCH or "outpace.fetch(" not in block.code
    ]
    if not given:
        pytest.skip("fetch needs can-ada: pip install can-ada builds it (C++)")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        cwd=folder(page),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def expected_output(code: str) -> list[str]:
    return [line[len(PRINTED) :] for line in code.splitlines() if line.startswith(PRINTED)]


# The commands.


def commands(page: Path, info: str) -> Iterator[str]:
    for block in blocks(page, info):
        yield from re.findall(r"(?m)^\$ (.+)$", block.code)


@of_pages_with("console.*")
def test_the_commands_of_a_page_are_commands_that_there_are(page):
    development = load(ROOT / "dev.py")

    for command in commands(page, "console.*"):
        match shlex.split(command):
            case ["outpace", *arguments]:
                parser().parse_args(arguments)
            case ["python3", "dev.py", name, *_]:
                assert name in development.COMMANDS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages speak to a POSIX shell")
@of_pages_with("console run")
def test_the_cheap_commands_of_a_page_succeed(page, folder):
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": os.pathsep.join([programs, os.environ["PATH"]])}

    for command in commands(page, "console run"):
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder(page),
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


# The links.


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made where pages are shown."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page):
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_leads_to_every_page_of_the_docs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    for page in PAGES[2:]:
        assert f"(docs/{page.name}" in text, page.name


# What follows from the code.


def test_the_generated_parts_are_up_to_date():
    for page, text in load(ROOT / "docs" / "generate.py").pages():
        assert page.read_text(encoding="utf-8") == text, "run python docs/generate.py"


def test_every_model_stands_in_the_docs():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")

    for model in outpace.models():
        assert f"\n### {model.name}\n" in text


@pytest.mark.slow
def test_every_field_of_a_races_json_is_described_and_no_other():
    page = (ROOT / "docs" / "race-json.md").read_text(encoding="utf-8")
    described = set(re.findall(r"(?m)^\| `([^`]+)` \|", page))

    race = outpace.race([abs, int], [3, 1, 2], models=["threads"], repeat=1)

    assert set(fields(race.as_json(), within=frozenset({"entrants[].timeline"}))) == described


def test_every_field_of_a_timelines_json_is_described_and_no_other():
    page = (ROOT / "docs" / "timeline-json.md").read_text(encoding="utf-8")
    described = set(re.findall(r"(?m)^\| `([a-z_\[\].]+)` \| \w+ \|", page))
    timeline = Timeline("serial", 0.0, 1.0, 1, 1, [Lane("main")], notes=["a note"])
    timeline.items.add(0, 0, 0.0, 1.0)
    timeline.intervals.add(0, 0, 0.0, 1.0)
    timeline.blocked.append(Blocked("a.py", 1, "sleep()", "0", 1.0, 1, "waiting", "do not"))
    timeline.notes.append("some of it is added up")

    assert set(fields(as_json(timeline))) == described


def test_every_state_of_a_timeline_is_described():
    page = (ROOT / "docs" / "timeline-json.md").read_text(encoding="utf-8")

    assert [name for name in states.NAMES if f"`{name}`" not in page] == []


def fields(value: object, name: str = "", within: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the name of every field in a JSON value that holds no other; do not look `within` some."""
    if name in within:
        yield name
    elif isinstance(value, dict):
        by_model = name in ("machine.controls.loop", "machine.controls.wait")
        for key, inner in value.items():
            path = ".".join(filter(None, (name, "MODEL" if by_model else key)))
            yield from fields(inner, path, within)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{name}[]", within)
    else:
        yield name


# How they are written.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_spelt_the_british_way_and_names_no_machine(page):
    text = page.read_text(encoding="utf-8")

    found = re.findall(r"(?i)\b(?:canceled|behavior|color|optimize\w*|utilization)\b", text)
    found += re.findall(r"(?:/home|/root|/work|/tmp|/Users)/\S*", text)

    assert not found


def test_the_words_of_the_glossary_stand_there_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"(?m)^- \*\*(.+?)\*\*:", text)

    assert len(words) == len(set(words)) > 40


# That these tests can fail.


def test_what_a_block_says_it_prints_is_compared_with_what_it_prints():
    wrong = [("page.md", textwrap.dedent("print(1)\n# -> 2"), ["2"])]

    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(wrong),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 1
    assert "printed '1\\n', and says ['2']" in done.stderr
