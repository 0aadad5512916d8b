"""The repr of anything, for a message that has room for the beginning of it, at what that costs.

Every failed item is shown in a note, and an item may be a gigabyte. Of the builtin containers, text and
bytes only the beginning is looked at, however long they are. What any other type's repr does is its
own business and cannot be broken off, so it is made; but a type whose slow ones have taken `PATIENCE`
seconds in all is from then on shown by its name alone, as in `<DataFrame>`.

Tested by `tests/flow/test_brief.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, repeat
from typing import Any

SLOW = 0.001  # seconds from which a repr counts: those of plain objects take some µs
PATIENCE = 0.5  # seconds that slow reprs of one type may take in all, before the last of them
MARGIN = 4_000  # characters of a repr that are looked at for their lines
# What repr writes around the items of a container; an empty one is for repr.
AROUND: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    dict: ("{", "}"),
}

clock = time.perf_counter
# Mutable, for the whole process: the seconds that slow reprs have taken, by the names of their types.
_spent: dict[tuple[str, str], float] = {}


def brief(item: Any, room: int) -> str:
    """Return an item's repr in one line: all of it, or so much of its beginning that it does not fit.

    Raises whatever the item's own repr raises.
    """
    if isinstance(item, str | bytes | bytearray):
        return repr(item[: room + 1])
    if type(item) not in AROUND or not item:
        return _timed(item)
    text, after = AROUND[type(item)]
    parts: Iterable[Any] = item
    marks: Iterator[str] = repeat(", ")
    if type(item) is dict:
        parts, marks = chain.from_iterable(item.items()), cycle((": ", ", "))
    between = ""
    for part, behind in zip(parts, marks, strict=False):
        text += between + brief(part, max(0, room - len(text)))
        if len(text) > room:
            return text
        between = behind
    return f"{text}{',' * (type(item) is tuple and len(item) == 1)}{after}"


def _timed(item: object) -> str:
    """Return the repr that a type has, in one line; its name where that has cost too much already."""
    kind = type(item)
    name = str(kind.__module__), kind.__qualname__
    if _spent.get(name, 0.0) >= PATIENCE:
        return f"<{kind.__name__}>"
    began = clock()
    text = repr(item)
    if (took := clock() - began) >= SLOW:
        _spent[name] = _spent.get(name, 0.0) + took
    if len(text) > MARGIN:
        text = f"{text[:MARGIN]}…"
    return " ".join(map(str.strip, text.splitlines())) if "\n" in text else text
