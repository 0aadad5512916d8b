"""A plug-in of pytest that puts our backend in the place of two of joblib's own, for joblib's own tests.

Both go by the names of those that they replace, which is what the tests ask for.
"""

import fnmatch
import json
import os
from typing import Any

import joblib.parallel
import pytest

from outpace.futures.joblib import OutpaceBackend


class LokyBackend(OutpaceBackend):
    """Be our backend over processes."""


class ThreadingBackend(OutpaceBackend):
    """Be our backend over threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(model="threads", **options)


joblib.parallel.BACKENDS.update(loky=LokyBackend, threading=ThreadingBackend)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not for ours, and for another part: `test_joblib.py` says what."""
    part, parts = map(int, os.environ["PART"].split("/"))
    patterns = json.loads(os.environ["LEFT_OUT"])
    kept, left = [], []
    for item in items:
        out = any(fnmatch.fnmatchcase(item.name, pattern) for pattern in patterns)
        (left if out else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept[part::parts]
