"""Progress on one line of a terminal, redrawn at most ten times a second; silent elsewhere.

No thread: a thread of ours beside the measured work would be part of what is measured.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

EVERY = 0.1  # seconds between two drawings


class Line:
    """Be a line on a terminal that is written over and over."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        """Draw on a stream (stderr), unless it is no terminal or the user wants quiet."""
        self._stream = stream or sys.stderr
        self._on = not quiet and self._stream.isatty()
        self._drawn = 0.0
        self._dirty = False

    def __call__(self, text: str) -> None:
        """Show a text in place of the last one, if it is time."""
        now = time.monotonic()
        if self._on and now - self._drawn >= EVERY:
            self._drawn, self._dirty = now, True
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._dirty:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._dirty = False
