"""How code of ours is known again in a stack: by marks, not by what it happens to be called.

A stack that faulthandler has written is text; whoever reads it knows the functions that items run under
from their code objects. In a stack of frames, a module in which a loop runs has an attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_carrying: set[tuple[str, str]] = set()


def carries_items(fn: F) -> F:
    """Mark a function that calls what is the user's, item by item, or runs the loop that does."""
    code: Any = fn.__code__
    _carrying.add((_file_name(code.co_filename), code.co_name))
    return fn


def is_carrying(path: str, function: str) -> bool:
    """Say whether a line of a stack is of a marked function.

    Of the path only the last part counts: faulthandler writes others than ASCII in a way of its own.
    """
    return (_file_name(path), function) in _carrying


def _file_name(path: str) -> str:
    """Return the last part of a path."""
    return path.replace("\\", "/").rpartition("/")[2]
