"""From what a user types to what it names: a function, the items of a file."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from outpace.errors import UsageError, did_you_mean
from outpace.flow.signals import Terminated

EXPERIMENTS = ("pages", "sums")


def function(name: str) -> Callable[..., Any]:
    """Return the function that MODULE:FUNCTION names; MODULE is a dotted name or a path to a file.

    Raises `UsageError` when there is no such module or function, or importing it fails.
    """
    module_name, attribute = check(name)
    module = _module(module_name)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [repr(n) for n in dir(found) if not n.startswith("__")]
            msg = f"{module_name} has no {attribute!r}{did_you_mean(repr(part), public)}"
            raise UsageError(msg) from None
    if not callable(found):
        msg = f"{name} is not a function: it is of type {type(found).__name__}"
        raise UsageError(msg)
    return found  # type: ignore[no-any-return]


def check(name: str) -> tuple[str, str]:
    """Return the two parts of MODULE:FUNCTION; raise `UsageError` when it is none."""
    module_name, _, attribute = name.rpartition(":")
    if not module_name or not attribute:
        raise UsageError(_no_function(name))
    return module_name, attribute


def items(path: str, column: str | None = None) -> list[Any]:
    """Read the items of a file by its suffix: .json, .jsonl, .csv; else text, one item a line.

    `-` is standard input, as text. Of a .csv with a header, `column` chooses one column, and without
    it every row is a dict. Raises `UsageError` for a file that is missing, empty or not what it says.
    """
    text = _text(path)
    suffix = Path(path).suffix.lower() if path != "-" else ""
    if column is not None and suffix != ".csv":
        msg = f"--column is for .csv files, and {path} is none"
        raise UsageError(msg)
    try:
        read = {".json": _json, ".jsonl": _jsonl, ".csv": _csv}.get(suffix, _lines)
        found = read(text)
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not what its suffix says: {error}"
        raise UsageError(msg) from None
    if not found:
        msg = f"{path} has no items in it"
        raise UsageError(msg)
    if column is not None:
        if column not in found[0]:
            msg = f"{path} has no column {column!r}; it has {', '.join(map(str, found[0]))}"
            raise UsageError(msg)
        return [row[column] for row in found]
    return found


def _text(path: str) -> str:
    """Return the text of a file, or of standard input."""
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        msg = f"there is no file {path!r}{_close_by(Path(path))}"
        raise UsageError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path} is not text in UTF-8: {error}"
        raise UsageError(msg) from None
    except OSError as error:
        msg = f"{path!r} cannot be read: {error.strerror}"
        raise UsageError(msg) from None


def _lines(text: str) -> list[Any]:
    """Read one item a line; a blank line is none."""
    return [line for line in text.splitlines() if line.strip()]


def _json(text: str) -> list[Any]:
    """Read a JSON array."""
    found = json.loads(text)
    if not isinstance(found, list):
        msg = f"it holds a {type(found).__name__}, and a list of items is needed"
        raise ValueError(msg)  # noqa: TRY004 - the file is wrong, not a type of ours
    return found


def _jsonl(text: str) -> list[Any]:
    """Read one JSON value a line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except ValueError as error:
                msg = f"line {number}: {error}"
                raise ValueError(msg) from None
    return found


def _csv(text: str) -> list[Any]:
    """Read rows as dicts by the header."""
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        found = list(reader)
    except csv.Error as error:
        msg = f"line {reader.line_num}: {error}"
        raise ValueError(msg) from None
    for number, row in enumerate(found, 2):
        if None in row or None in row.values():
            msg = f"line {number} has not as many fields as the header"
            raise ValueError(msg)
    return found


def _module(name: str) -> ModuleType:
    """Import a module by its dotted name or its path."""
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            msg = f"there is no file {name!r}{_close_by(path)}"
            raise UsageError(msg)
        folder, name = str(path.resolve().parent), path.stem
    else:
        folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # the workers get sys.path, and so find it too
    try:
        if path.suffix == ".py" and _is_taken(name, path):
            return _by_path(path)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            msg = f"there is no module {name!r} here or on sys.path{_close_by(path, '.py')}"
            raise UsageError(msg) from None
        msg = f"{name} cannot be imported: {error}"
        raise UsageError(msg) from None
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        msg = f"{name} cannot be imported: {type(error).__name__}: {error}{_where(error, name)}"
        raise UsageError(msg) from error


def _is_taken(name: str, path: Path) -> bool:
    """Say whether another module has the name of this file already."""
    loaded = sys.modules.get(name)
    return not name.isidentifier() or (
        loaded is not None and getattr(loaded, "__file__", None) != str(path.resolve())
    )


def _by_path(path: Path) -> ModuleType:
    """Load a file under a name of its own."""
    name = f"outpace_file_{path.stem.replace('-', '_').replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _where(error: BaseException, name: str) -> str:
    """Say which line of the user's own file an import stopped at."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


def _no_function(name: str) -> str:
    """Say how to name a function, starting from what was written instead."""
    module = name.strip(":")
    if module and (name != module or name.endswith(".py") or Path(f"{name}.py").is_file()):
        right = f"MODULE{name}" if name.startswith(":") else f"{module}:FUNCTION"
        return f"{name!r} names no function: write {right}"
    if meant := did_you_mean(name, EXPERIMENTS):
        return f"there is no experiment {name!r}{meant}"
    return (
        f"{name!r} does not name a function: write MODULE:FUNCTION, as in mymodule:fetch or "
        "scripts/mymodule.py:fetch, or one of the experiments pages and sums"
    )


def _close_by(path: Path, suffix: str = "") -> str:
    """Name a file beside a path that does not exist, if one has nearly its name."""
    try:
        beside = [each.name for each in path.parent.iterdir() if each.name.endswith(suffix)]
    except OSError:
        return ""
    names = [name.removesuffix(suffix) for name in beside]
    return did_you_mean(path.name, names).replace("mean ", f"mean {path.parent}/".replace("./", ""))
