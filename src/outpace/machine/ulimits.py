"""How many descriptors and threads this process may have, and what to say where it needs more."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from outpace.errors import WorkerStartError


@contextlib.contextmanager
def enough_descriptors(what: str, instead: str) -> Iterator[None]:
    """Say in one line, as a `WorkerStartError`, that there are too few file descriptors, if so.

    `what` says who needs about how many, and `instead` what needs fewer.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        allowed = descriptor_limit() if error.errno == errno.EMFILE else None
        most = "there are no more" if allowed is None else f"this process may have {allowed} in all"
        msg = (
            f"{what} file descriptors beside those that are open, and {most}; "
            f"raise the limit (ulimit -n), or use {instead}"
        )
        raise WorkerStartError(msg) from error


def descriptor_limit() -> int | None:
    """Return how many descriptors this process may have open, None where nobody says."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:  # pragma: no cover - Windows
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def more_threads() -> str:
    """Say what to do where no thread can be started: which limit of this process there is to raise."""
    with contextlib.suppress(ImportError):  # not on Windows
        import resource  # noqa: PLC0415 - only then

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            return (
                f"raise the limit on a process's addresses (ulimit -v), now {allowed / 1e6:.0f} MB"
            )
    return "raise the limit on threads (ulimit -u, or the container's)"
