"""The caller's warnings filters, on their way to a worker.

A filter names a class of warnings, and unpickling a class imports its module: a caller that had
imported NumPy and requests had every worker import them too, for filters that those had added
(75 -> 200 ms of start-up). So a class travels as its name, and where its module is not imported a
class stands in that is recognised by name. Filters that a module adds when an item imports it later
go on top, as in any interpreter. Tested by `tests/hosts/test_warning_filters.py`.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

Named = tuple[str, Any, tuple[str, str], Any, int]


def named_filters() -> list[Named]:
    """Return the filters in force here, with the classes as names."""
    filters: list[Any] = list(warnings.filters)
    return [
        (action, message, (category.__module__, category.__qualname__), module, line)
        for action, message, category, module, line in filters
    ]


def set_filters(filters: list[Named]) -> None:
    """Put filters in force."""
    warnings.resetwarnings()  # also makes every module forget what it has warned about
    warnings.filters[:] = [  # type: ignore[index]
        (action, message, category_named(*name), module, line)
        for action, message, name, module, line in filters
    ]


class _ByName(type):
    """The kind of class that stands in for one whose module is not imported here."""

    stands_for: tuple[str, str]

    def __subclasscheck__(cls, subclass: type) -> bool:
        """Say whether a class is, or is derived from, one of that name."""
        return any((c.__module__, c.__qualname__) == cls.stands_for for c in subclass.__mro__)


def category_named(module: str, name: str) -> type:
    """Return the class of that name, if it is here, or a stand-in."""
    found = getattr(sys.modules.get(module), name, None)
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    return _ByName(name, (Warning,), {"stands_for": (module, name)})
