"""Which modules a worker cannot import, so that their functions and classes must travel by value.

A module that was loaded from a path that is not on `sys.path` (a test under pytest's importlib mode, a
plug-in, a file given on a command line) is in this process's `sys.modules` but nowhere to be found for
a fresh interpreter. cloudpickle can send what it defines by value, if told to.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from types import ModuleType, TracebackType

import cloudpickle

from outpace.flow.forks import free_in_forks
from outpace.flow.protocol import Call

# cloudpickle's registry is the whole process's.
_one_at_a_time = free_in_forks(threading.RLock())


class by_value:  # noqa: N801 - reads as what it does: `with by_value(call): pack(…)`
    """A block in which cloudpickle sends a job's unimportable modules by value."""

    def __init__(self, call: Call) -> None:
        """Find the modules of the function and the setup that a worker could not import."""
        found = {module.__name__: module for fn in (call.fn, call.setup) for module in _modules(fn)}
        self._modules = [module for module in found.values() if not importable(module)]
        self._registered: list[ModuleType] = []

    @property
    def active(self) -> bool:
        """Say whether there are any."""
        return bool(self._modules)

    def __enter__(self) -> None:
        """Register them, except what somebody else has registered."""
        if self._modules:
            _one_at_a_time.acquire()
            known = cloudpickle.list_registry_pickle_by_value()
            self._registered = [m for m in self._modules if m.__name__ not in known]
            for module in self._registered:
                # A module that is in sys.modules under no name, or another's, cannot be registered.
                if sys.modules.get(module.__name__) is module:
                    cloudpickle.register_pickle_by_value(module)

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        """Leave cloudpickle as it was."""
        if self._modules:
            for module in self._registered:
                with contextlib.suppress(ValueError):
                    cloudpickle.unregister_pickle_by_value(module)
            _one_at_a_time.release()


def importable(module: ModuleType) -> bool:
    """Say whether a fresh interpreter with our `sys.path` would find this same module."""
    spec = getattr(module, "__spec__", None)
    if module.__name__ == "__main__" or spec is None or spec.origin in (None, "built-in", "frozen"):
        return True  # cloudpickle knows about __main__; the others are everywhere
    path = None
    names = module.__name__.split(".")
    for depth in range(1, len(names)):
        parent = sys.modules.get(".".join(names[:depth]))
        if parent is None:
            return False
        if depth == 1 and not _is_found(parent, None):
            return False
        path = getattr(parent, "__path__", None)
    return _is_found(module, path)


def _is_found(module: ModuleType, path: object) -> bool:
    """Say whether one of the import system's finders finds it, and from the same file."""
    ours = getattr(module, "__spec__", None)
    for finder in sys.meta_path:  # not importlib.util.find_spec: that looks in sys.modules first
        try:
            spec = finder.find_spec(module.__name__, path)  # type: ignore[arg-type]
        except (ImportError, ValueError, TypeError, AttributeError):
            continue
        if spec is not None:
            return ours is None or spec.origin == ours.origin
    return False


def _modules(fn: object) -> list[ModuleType]:
    """Return the modules that a function, partial or callable object comes from."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    names = {getattr(fn, "__module__", None), type(fn).__module__}
    return [sys.modules[name] for name in names if name in sys.modules]
