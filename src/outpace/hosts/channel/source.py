"""How code that travels by value keeps its file, its lines and their text, so that tracebacks show them.

And how a function under `functools.cache` or `lru_cache` travels: pickle and cloudpickle know it by its
name alone, which means nothing where it belongs to `__main__` or was made in a function.

cloudpickle names all code `<dynamic-code>` from 3.1.3 on, for pickles that are the same bytes every
time. Ours need not be, and what a worker says of a function is to be what the caller would say.

Where the text is in no file (the cell of a notebook, a line typed at a prompt, `python -c`), it goes
along. Both ends run the same Python, so code goes as that Python keeps it (`marshal`).
"""

from __future__ import annotations

import functools
import linecache
import marshal
import sys
from types import CodeType
from typing import Any

import cloudpickle

# From 3.13 on, Python keeps what was typed, or came with -c, by code and not by file name: all that
# comes with -c is of one file, "<string>", as is much that was never there.
_typed_lines: Any = getattr(linecache, "_getlines_from_code", None)
_keep_typed: Any = getattr(linecache, "_register_code", None)


_Cached: Any = type(functools.cache(len))


class SourcePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """A cloudpickle pickler that leaves code as it is, and takes cached functions along."""

    def reducer_override(self, value: Any) -> Any:
        """Say how code is to be unpickled; cloudpickle, and then pickle, say so of all else."""
        if type(value) is _Cached and not _can_be_imported(value):
            return _cached, (value.__wrapped__, value.cache_parameters())
        if type(value) is not CodeType:
            return super().reducer_override(value)
        try:
            code = marshal.dumps(value)
        except ValueError:  # somebody has put a constant into it that no compiler would
            return NotImplemented
        if lines := _lines_in_no_file(value.co_filename):
            return _load, (code, lines, False)
        if _typed_lines and (lines := _typed_lines(value)):
            return _load, (code, lines, True)
        return marshal.loads, (code,)


def _can_be_imported(value: Any) -> bool:
    """Say whether a worker finds it by its name: not in `__main__`, nor in what is sent by value."""
    module = getattr(value, "__module__", None)
    if module == "__main__" or module in cloudpickle.list_registry_pickle_by_value():
        return False
    found: Any = sys.modules.get(module) if isinstance(module, str) else None
    for name in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is value


def _cached(fn: Any, parameters: dict[str, Any]) -> Any:
    """Return the function under a cache of its own, which is empty."""
    return functools.lru_cache(**parameters)(fn)


def _lines_in_no_file(name: str) -> list[str] | None:
    """Return the lines that somebody has told `linecache` of; None if they are to be read."""
    known = linecache.cache.get(name, ())  # size, time of the file if there is one, lines, name
    return known[2] if len(known) == 4 and known[1] is None else None


def _load(pickled: bytes, lines: list[str], typed: bool) -> CodeType:  # noqa: FBT001 - pickle's
    """Return the code, and have `linecache` know its lines as it did at the other end."""
    code: CodeType = marshal.loads(pickled)  # noqa: S302 - from our own process
    if typed and _keep_typed:
        _keep_typed(code, "".join(lines), code.co_filename)
    else:
        linecache.cache[code.co_filename] = (sum(map(len, lines)), None, lines, code.co_filename)
    return code
