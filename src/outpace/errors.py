"""Every error a user of outpace can meet: what happened, why probably, and what to do.

A wrong input is a `UsageError` (or `UsageTypeError` where Python has `TypeError`): raised before any
work starts, and one clear line on the command line. What goes wrong with an item is never raised by
`run`; it is that item's outcome. Nothing here is raised for the user's own exceptions: those arrive
as they are, with a note that says which item it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return the end of a message that names the closest of some words, if one is close."""
    import difflib  # noqa: PLC0415 - for a mistake only

    close = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {close[0]}?" if close else ""


class OutpaceError(Exception):
    """The base of every exception that outpace itself raises."""


class UsageError(OutpaceError, ValueError):
    """A value of an argument or an option that cannot be used."""


class UsageTypeError(OutpaceError, TypeError):
    """An argument of a kind that cannot be used."""


class UnknownModelError(UsageError):
    """A name that no model has; the message says which ones there are."""


class ModelUnavailableError(UsageError):
    """A model that cannot run on this machine or Python; the message says what would make it run."""


class SetupError(OutpaceError, RuntimeError):
    """A `setup` that failed in a lane; `__cause__` is its own exception where it could travel."""


class WorkerStartError(OutpaceError, RuntimeError):
    """A worker process that could not be started, with what it printed or raised."""


class ItemTimeoutError(OutpaceError, TimeoutError):
    """An item that took longer than its `timeout`, and where it was, when that could be seen.

    `seconds` is the timeout. `trace` is the stack of the stuck worker at that moment, as faulthandler
    writes it, None when there is none.
    """

    def __init__(self, message: str, seconds: float = 0.0, trace: str | None = None) -> None:
        """Keep the facts beside the message."""
        super().__init__(message)
        self.seconds, self.trace = seconds, trace

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickle with the facts."""
        return type(self), (str(self), self.seconds, self.trace)


class WorkerLostError(OutpaceError, RuntimeError):
    """An item whose worker vanished: by a signal, an exit, or a kill.

    `exitcode` is as in `subprocess.Popen.returncode`: negative for a signal, None when unknown;
    `signal` is that signal's name. `peak_bytes` is the most memory that the worker ever had resident,
    where the system tells. `out_of_memory` says whether the kernel has killed for want of memory
    meanwhile. `trace` is what faulthandler wrote when native code crashed, None when it did not.
    """

    def __init__(
        self,
        message: str,
        exitcode: int | None = None,
        peak_bytes: int | None = None,
        *,
        out_of_memory: bool = False,
        trace: str | None = None,
    ) -> None:
        """Keep the facts beside the message."""
        super().__init__(message)
        self.exitcode, self.peak_bytes = exitcode, peak_bytes
        self.out_of_memory, self.trace = out_of_memory, trace

    @property
    def signal(self) -> str | None:
        """Return the name of the signal that killed the worker, None when none did."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        import signal  # noqa: PLC0415 - for whoever asks

        try:
            return signal.Signals(-self.exitcode).name
        except ValueError:
            return f"signal {-self.exitcode}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the facts."""
        facts = (self.exitcode, self.peak_bytes, self.out_of_memory, self.trace)
        return _lost_again, (type(self), str(self), *facts)


def _lost_again(cls: type[WorkerLostError], message: str, *facts: Any) -> WorkerLostError:
    """Make an unpickled `WorkerLostError`."""
    exitcode, peak_bytes, out_of_memory, trace = facts
    return cls(message, exitcode, peak_bytes, out_of_memory=out_of_memory, trace=trace)


class TransferError(OutpaceError, TypeError):
    """An item or a result that could not travel between processes, and which part of it."""


class RemoteError(OutpaceError, RuntimeError):
    """What stands in for an exception that could not travel: its type's name, text and traceback."""


class FetchError(OutpaceError, RuntimeError):
    """A page that could not be fetched, and why: `kind` groups causes that a person can act on.

    `page` is what came all the same (the body of a 404, say), `retry_after` the seconds that the site
    asks to be left alone.
    """

    def __init__(
        self, message: str, kind: str = "other", retry_after: float | None = None, page: Any = None
    ) -> None:
        """Keep the facts beside the message."""
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.page = page

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickle with the facts."""
        return type(self), (str(self), self.kind, self.retry_after, self.page)


class TemporaryFetchError(FetchError):
    """A page that could not be fetched now, and may be a little later."""
