"""What a fork of the caller finds of a run: a copy, of no use to it, that must do the original no harm.

The copy shares sockets, epoll and workers with the original: to close it properly would end what the
parent is doing. So whatever must not be closed in a fork says here how it is let go instead. A process
that an item forks ends with its part of the item. A lock that another thread had is free. Tested by
`tests/conformance/test_forks.py`.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

LAST_WORD = 1.0  # seconds for streams that another thread had locked: Python's own grace

L = TypeVar("L")  # a lock or an event of `threading`

_letting_go: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def in_a_fork(what: Any, let_go: Callable[[Any], object]) -> None:
    """Have `let_go(what)` called in every fork of this process, as long as `what` is there."""
    with suppress(TypeError):  # a loop of somebody else's making may take no weak reference
        _letting_go[what] = let_go


def free_in_forks(lock: L) -> L:
    """Return a lock, or an event, and have it be free in forks: the thread that had it is not there.

    As the standard library has it with its own; whoever waits for another would for ever. A lock that
    the forking thread itself has stays as it is.
    """
    in_a_fork(lock, _free)
    return lock


def _free(lock: Any) -> None:
    """Make a lock what it was at first."""
    if not getattr(lock, "_is_owned", bool)():
        lock._at_fork_reinit()  # noqa: SLF001 - what `concurrent.futures` and `logging` call


def end_fork(error: BaseException | None) -> NoReturn:
    """End a process that an item has forked, as a program ends: with its code, and what it has to say.

    What follows the item is the parent's. Else the fork would wait for chunks that nobody sends, and
    whoever waits for the fork would, too.
    """
    code = 0 if error is None else 1
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        code = error.code or 0
    try:
        last_word = threading.Thread(target=_say_last, args=(error,), daemon=True)
        last_word.start()
        last_word.join(LAST_WORD)
    finally:
        os._exit(code & 0xFF)


def _say_last(error: BaseException | None) -> None:
    """Say on stderr what Python would say of it, and write out what has been printed."""
    with suppress(Exception):  # whatever the streams are by now
        if not isinstance(error, SystemExit | None):
            sys.excepthook(type(error), error, error.__traceback__)
        elif error is not None and not isinstance(error.code, int | None):  # as `sys.exit` has it
            sys.stderr.write(f"{error.code}\n")
        sys.stderr.flush()
    with suppress(Exception):
        sys.stdout.flush()


def _forked() -> None:
    """Let go of everything, in the child."""
    for what, let_go in list(_letting_go.items()):
        with suppress(Exception):  # a fork at any moment finds it in any state
            let_go(what)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
