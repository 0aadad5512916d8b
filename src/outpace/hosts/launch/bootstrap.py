"""The first thing that a new interpreter of ours does: import one module of `hosts` and nothing else.

`import outpace` gives a user all the doors, which a worker never opens: 17 of the 57 ms of imports
that starting one used to take. So here the package is only found; its `__init__` is carried out when
somebody asks the package for a name, as a function of the user's may (`outpace.map` in a worker).

Imported on its own, from this folder, before there is a package. Tested by
`tests/hosts/test_processes.py`; measured by `bench/dispatch.py --only start-up`.
"""

from __future__ import annotations

import importlib
import sys
from _thread import RLock
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any


def boot(root: str, module: str) -> None:
    """Carry out `main` of a module of ours, with the package found in the folder `root`."""
    del sys.path[0]  # this file's folder
    if root not in sys.path:
        sys.path.append(root)
    del sys.modules[__name__]
    spec = PathFinder.find_spec("outpace", [root])
    assert spec is not None
    package = module_from_spec(spec)
    package.__class__ = _Found
    sys.modules["outpace"] = package
    importlib.import_module(f"outpace.hosts.{module}").main(*sys.argv[1:])


class _Found(ModuleType):
    """A package whose `__init__` is still to be carried out."""

    lock = RLock()
    begun = False

    def __getattr__(self, name: str) -> Any:
        """Carry it out, once, and look again."""
        with _Found.lock:
            if not _Found.begun:
                _Found.begun = True
                spec = self.__spec__
                assert spec is not None
                assert spec.loader is not None
                spec.loader.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)
