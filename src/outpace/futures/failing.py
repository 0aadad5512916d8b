"""What a future raises when its call gave no value, and what an executor raises that is broken.

Here and not in `outpace.errors`, which everybody imports: they bring `concurrent.futures`.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor

from outpace.errors import OutpaceError, TransferError, WorkerLostError
from outpace.flow.data import Failure
from outpace.flow.show import annotate, said
from outpace.futures.calls import Submitted


class ExecutorBrokenError(OutpaceError, BrokenExecutor):
    """Say that an executor has no workers and will have none; `__cause__` says why."""


class CallLostError(WorkerLostError, BrokenExecutor):
    """Say that the worker that had this call vanished; the executor goes on.

    It is also a `concurrent.futures.BrokenExecutor`, so that what was written for the standard pools
    catches it; there it would cost every call that was submitted, here it costs this one.
    """


def cannot_travel(call: Submitted, error: Exception) -> TransferError:
    """Make the error of a call that cannot be pickled."""
    name = getattr(call[0], "__qualname__", type(call[0]).__name__)
    made = TransferError(
        f"the call of {name} cannot be sent to a worker process: {said(error)}; "
        "pass plain data, or use threads"
    )
    made.__cause__ = error
    return made


def error_of(failure: Failure) -> BaseException:
    """Return the error of a call, with the worker's traceback noted on it."""
    error = failure.error
    if failure.kind == "lost" and not isinstance(error, BrokenExecutor):
        lost = CallLostError.__new__(CallLostError, *error.args)
        lost.__dict__.update(error.__dict__)
        error = lost
    if failure.traceback:
        annotate(error, f"in a worker process:\n{failure.traceback.rstrip()}")
    return error
