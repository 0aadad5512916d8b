"""Ctrl-C and SIGTERM, held back while the driver's loop runs: what they raise would leave it half-way.

Python runs the handler of a signal at the next step of Python code. While libcurl works, that is in one
of the small functions that it calls, where an exception goes through its C code or is printed and lost,
as the version of pycurl has it; or it is between two steps that belong together. So signals are noted
and the loop is woken; their handlers run when it has returned. Tested by tests/drivers/test_curl.py.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Held:
    """Hold signals back while the block lasts; their handlers run, and may raise, at its end."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """Hold nothing yet; `wake` ends what the block waits for."""
        self._wake = wake
        self._noted: list[int] = []
        self._before: list[tuple[int, Callable[[int, FrameType | None], Any]]] = []

    def __enter__(self) -> None:
        """Note signals from here on; only the main thread ever runs their handlers."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._before.append((number, handler))
                signal.signal(number, self._note)

    def __exit__(self, *_: object) -> None:
        """Be as before, and let happen what was held back."""
        before, self._before = self._before, []
        for number, handler in before:
            signal.signal(number, handler)
        noted, self._noted = self._noted, []
        for number, handler in before:
            if number in noted:
                handler(number, None)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal."""
        self._noted.append(number)
        self._wake()
