"""How a call reaches a worker that cannot import its function.

A job has one function, and its host looks at that function's module once. Calls come with functions of
their own: those of modules that a fresh interpreter would not find (`hosts.channel.by_value` says which)
are pickled here, by value, and unpickle as what they were.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
from types import ModuleType
from typing import Any

from outpace.flow.protocol import Call
from outpace.futures.calls import Submitted
from outpace.hosts.channel.by_value import by_value, importable
from outpace.hosts.channel.framing import pack

PLAIN = frozenset({int, float, str, bytes, bool, complex, list, tuple, dict, set, type(None)})


class ByValue:
    """Be a call that is pickled already, and that unpickles as the call itself."""

    __slots__ = ("_pickle",)

    def __init__(self, pickled: bytes) -> None:
        """Keep the pickle."""
        self._pickle = pickled

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        """Unpickle as what is inside."""
        return pickle.loads, (self._pickle,)


class Customs:
    """Look at every call that leaves for a worker elsewhere, and remember which modules are known."""

    def __init__(self) -> None:
        """Know no module yet."""
        self._known: dict[str, tuple[ModuleType, bool]] = {}

    def portable(self, call: Submitted) -> Submitted | ByValue:
        """Return the call as it can travel: itself, unless a worker could not import a part of it.

        Raises what the pickling raises: then the call cannot travel at all.
        """
        strange = [part for part in _parts(call) if self._is_strange(part)]
        if not strange:
            return call
        with contextlib.ExitStack() as registered:
            for part in strange:
                registered.enter_context(by_value(Call(part)))
            return ByValue(bytes(pack(call, by_value=True, whole=True).pickle))

    def _is_strange(self, part: Any) -> bool:
        """Say whether a function, or the class of an object, is of a module that workers lack."""
        return not all(map(self._is_importable, {_module(part), type(part).__module__}))

    def _is_importable(self, name: object) -> bool:
        """Say whether a worker can import the module of this name, if there is such a module."""
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is None or not isinstance(name, str):
            return True
        known = self._known.get(name)
        if known is None or known[0] is not module:
            known = self._known[name] = module, importable(module)
        return known[1]


def _parts(call: Submitted) -> list[Any]:
    """Return what a call is made of, except what is everywhere."""
    fn, args, kwargs = call
    parts = [part for part in (*args, *kwargs.values()) if type(part) not in PLAIN]
    parts.append(fn)
    for part in parts:
        if isinstance(part, functools.partial):  # `parts` grows until nothing is left to unpack
            parts.extend([part.func, *part.args, *part.keywords.values()])
    return parts


def _module(part: Any) -> object:
    """Name the module that a thing says it comes from, whatever asking it for that does."""
    try:
        return getattr(part, "__module__", None)
    except Exception:  # noqa: BLE001 - a __getattr__ can raise anything
        return None
