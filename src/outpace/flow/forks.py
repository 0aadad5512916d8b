"""What a fork of the caller finds of a run: a copy, of no use to it, that must do the original no harm.

The copy shares sockets, epoll and workers with the original: to close it properly would end what the
parent is doing. So whatever must not be closed in a fork says here how it is let go instead. Tested by
`tests/conformance/test_forks.py`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_letting_go: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def in_a_fork(what: Any, let_go: Callable[[Any], object]) -> None:
    """Have `let_go(what)` called in every fork of this process, as long as `what` is there."""
    with suppress(TypeError):  # a loop of somebody else's making may take no weak reference
        _letting_go[what] = let_go


def _forked() -> None:
    """Let go of everything, in the child."""
    for what, let_go in list(_letting_go.items()):
        with suppress(Exception):  # a fork at any moment finds it in any state
            let_go(what)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
