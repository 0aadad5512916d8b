"""What a command prints: in characters that the stream has, and in one line where it can't be written.

A reader that has seen enough (`| head`) is no error: the rest goes nowhere, and the command goes on to
its own exit code. A full disk is one, and the files that were asked for are written all the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from outpace.errors import OutpaceError
from outpace.flow.show import fitting


class OutputError(OutpaceError):
    """Standard output that can't be written to."""


def out(text: str) -> None:
    """Print to standard output, now; raise `OutputError` when it can't be written to."""
    if sys.stdout is not None:  # it is when a shell has closed it: `>&-`
        _written(sys.stdout, lambda: sys.stdout.write(f"{fitting(text, sys.stdout)}\n"))


def flush() -> None:
    """Have what others have printed written out; raise `OutputError` where that can't be."""
    if sys.stdout is not None:
        _written(sys.stdout, lambda: None)


def complain(text: str) -> None:
    """Say on stderr, in a line, what is wrong; where there is no stderr there is nobody to say it to."""
    if sys.stderr is not None:
        with suppress(OSError, OutputError):
            line = f"outpace: {fitting(text, sys.stderr)}\n"
            _written(sys.stderr, lambda: sys.stderr.write(line))


def _written(stream: TextIO, write: Callable[[], object]) -> None:
    """Write and flush; have what could not be written, and all that follows, go nowhere."""
    try:
        write()
        stream.flush()
    except BrokenPipeError:
        _to_nowhere(stream)
    except OSError as error:
        _to_nowhere(stream)
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def _to_nowhere(stream: TextIO) -> None:
    """Redirect a stream, since Python would complain at its end of what is still in its buffer."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
