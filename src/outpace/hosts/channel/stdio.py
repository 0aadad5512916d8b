"""What items say beside their results: printed lines, log records, warnings.

In a worker they go to the caller as messages, and come out there as if they had been said there: on the
caller's `sys.stdout` (so in a notebook they stand under the cell, and a test captures them), through
the caller's own logging configuration, and as the caller's warnings. Lines are whole: those of two
workers are not torn into each other. A warning that the filters show once is shown once, though every
worker has said it.

What goes to a descriptor directly (a program that an item starts, native code) goes where it always
went. A process that an item forks speaks for itself. Tested by `tests/hosts/test_stdio.py`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from outpace.flow.ending import say
from outpace.hosts.channel.messages import Logged, Printed, Said, Warned
from outpace.hosts.channel.warning_filters import category_named

LINE = 65_536  # characters after which a line that does not end is sent all the same
_STREAMS = ("stdout", "stderr")
Say = Callable[[Said], None]

# The worker's side.


def levels() -> dict[str, Any]:
    """Return which log records the caller wants, to be followed by `listen_here` in a worker."""
    named = logging.root.manager.loggerDict.items()
    return {
        "root": logging.root.level,
        "disable": logging.root.manager.disable,
        "named": {n: level for n, logger in named if (level := getattr(logger, "level", 0))},
    }


def speak_through(say: Say, wanted: dict[str, Any]) -> None:
    """Have everything that is said in this process from now on go to the caller."""
    pid, streams = os.getpid(), (sys.stdout, sys.stderr)
    for name, stream in zip(_STREAMS, streams, strict=True):
        if stream is not None:
            setattr(sys, name, Stream(stream, name, say))
    logging.root.setLevel(wanted["root"])
    logging.disable(wanted["disable"])
    for name, level in wanted["named"].items():
        logging.getLogger(name).setLevel(level)
    handler = Records(say)
    logging.root.addHandler(handler)
    show = warnings.showwarning

    def tell(  # noqa: PLR0917 - the signature of warnings.showwarning
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is not None or os.getpid() != pid:
            show(message, category, filename, lineno, file, line)
        else:
            kind = (category.__module__, category.__qualname__)
            say(Warned(str(message), kind, filename, lineno))

    warnings.showwarning = tell

    def speak_for_itself() -> None:
        sys.stdout, sys.stderr = streams
        logging.root.removeHandler(handler)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=speak_for_itself)


def silence() -> None:
    """Send what stands in an unfinished line; nothing more is said."""
    for name in _STREAMS:
        with contextlib.suppress(Exception):
            getattr(sys, name).finish()


class Stream(io.TextIOBase):
    """A worker's stdout or stderr: lines go to the caller, each whole, whichever thread says it."""

    def __init__(self, real: Any, name: str, say: Say) -> None:
        """Stand in for the real stream."""
        self._real, self._name, self._say = real, name, say
        self._unfinished: dict[int, str] = {}  # by thread

    def write(self, text: str) -> int:
        """Send what is whole of it; raise TypeError for what is no text."""
        before = self._unfinished.pop(me := threading.get_ident(), "")
        whole, newline, rest = (before + text).rpartition("\n")
        if len(rest) > LINE:
            whole, newline, rest = before + text, "", ""
        if rest:
            self._unfinished[me] = rest
        if whole or newline:
            self._say(Printed(self._name, whole + newline))
        return len(text)

    def flush(self) -> None:
        """Send what has been said so far of a line: somebody wants it to be seen."""
        self._finish(threading.get_ident())

    def finish(self) -> None:
        """Send what any thread has left, also one that has ended."""
        for thread in list(self._unfinished):
            self._finish(thread)

    def _finish(self, thread: int) -> None:
        """Send the rest of a thread's line."""
        if rest := self._unfinished.pop(thread, ""):
            self._say(Printed(self._name, rest))

    @property
    def buffer(self) -> _Bytes:
        """Return what takes bytes."""
        return _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding of the real stream."""
        return str(self._real.encoding)

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """Return how the real stream deals with what it cannot encode."""
        return self._real.errors  # type: ignore[no-any-return]

    def fileno(self) -> int:
        """Return the real stream's descriptor: for a program that is to write there."""
        return int(self._real.fileno())

    def isatty(self) -> bool:
        """Say whether the real stream is a terminal."""
        return bool(self._real.isatty())

    def writable(self) -> bool:
        """Say yes."""
        return True


class _Bytes(io.BufferedIOBase):
    """What takes bytes for a stream of text."""

    def __init__(self, stream: Stream) -> None:
        """Write to that stream."""
        self._stream = stream

    def write(self, data: Any) -> int:
        """Write them as text."""
        self._stream.write(bytes(data).decode(self._stream.encoding, "replace"))
        return len(data)

    def flush(self) -> None:
        """Flush the stream."""
        if not self.closed:
            self._stream.flush()

    def writable(self) -> bool:
        """Say yes."""
        return True


class Records(logging.Handler):
    """Log records on their way to the caller: facts as they are, message and traceback as text."""

    def __init__(self, say: Say) -> None:
        """Take records of every level; the loggers' own levels decide."""
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        try:
            facts = dict(vars(record), msg=record.getMessage(), args=None)
            if record.exc_info:
                facts["exc_text"] = logging.Formatter().formatException(record.exc_info)
            facts["exc_info"] = None
            self._say(Logged(record.name, facts))
        except Exception:  # noqa: BLE001 - logging never raises
            self.handleError(record)


# The caller's side.


class Relay:
    """The caller's end of what workers say."""

    def __init__(self) -> None:
        """Have said nothing yet."""
        self._warned: dict[Any, Any] = {}
        self._broken: Any = None  # a stream that takes nothing any more

    def say_again(self, said: Said) -> None:
        """Say it here."""
        match said:
            case Printed(stream, text):
                self._print(stream, text)
            case Logged(name, facts):
                with contextlib.suppress(Exception):  # a handler of the user's may raise anything
                    record = logging.makeLogRecord(facts or {})
                    logger = logging.getLogger(name)
                    if facts is not None and logger.isEnabledFor(record.levelno):
                        logger.handle(record)
            case Warned(text, category, file, line):
                # A filter that makes errors of warnings has done so in the worker already.
                with contextlib.suppress(Exception):
                    warnings.warn_explicit(
                        text, category_named(*category), file, line, registry=self._warned
                    )

    def _print(self, name: str, text: str) -> None:
        """Write it; where nobody reads that any more, say so once: the work itself goes on."""
        stream = getattr(sys, name)
        if stream is None or stream is self._broken:
            return
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError as error:
                stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            stream.flush()
        except Exception as error:  # noqa: BLE001 - a stream of the user's may raise anything
            self._broken = stream
            say(f"what items print is lost from here on: sys.{name} raised {error!r}")
