"""Every error a user of outpace can meet: what happened, why probably, and what to do.

A wrong input is a `UsageError` (or `UsageTypeError` where Python has `TypeError`): raised before any
work starts, and one clear line on the command line. What goes wrong with an item is never raised by
`run`; it is that item's outcome. Nothing here is raised for the user's own exceptions: those arrive
as they are, with a note that says which item it was.
"""

from __future__ import annotations

from typing import Any


class OutpaceError(Exception):
    """Be the base of every exception that outpace itself raises."""


class UsageError(OutpaceError, ValueError):
    """Say that an argument or an option has a value that cannot be used."""


class UsageTypeError(OutpaceError, TypeError):
    """Say that an argument is of a kind that cannot be used."""


class UnknownModelError(UsageError):
    """Say that no model has this name, and which ones there are."""


class ModelUnavailableError(UsageError):
    """Say that a model cannot run on this machine or Python, and what would make it run."""


class SetupError(OutpaceError, RuntimeError):
    """Say that `setup` failed in a lane; `__cause__` is its own exception where it could travel."""


class WorkerStartError(OutpaceError, RuntimeError):
    """Say that a worker process could not be started, with what it printed or raised."""


class WorkerLostError(OutpaceError, RuntimeError):
    """Say that the worker that had this item vanished: by a signal, an exit, or a kill.

    `exitcode` is as in `subprocess.Popen.returncode`: negative for a signal, None when unknown.
    """

    def __init__(self, message: str, exitcode: int | None = None) -> None:
        """Keep the exit code beside the message."""
        super().__init__(message)
        self.exitcode = exitcode

    def __reduce__(self) -> tuple[type, tuple[str, int | None]]:
        """Pickle with the exit code."""
        return type(self), (str(self), self.exitcode)


class TransferError(OutpaceError, TypeError):
    """Say that an item or a result could not travel between processes, and which part of it."""


class RemoteError(OutpaceError, RuntimeError):
    """Stand in for an exception that could not travel: its type's name, its text, its traceback."""


class FetchError(OutpaceError, RuntimeError):
    """Say why a page could not be fetched: `kind` groups causes that a person can act on.

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
    """Say that a page could not be fetched now, and may be a little later."""
