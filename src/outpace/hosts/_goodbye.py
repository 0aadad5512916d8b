"""The end of a run's workers: idle ones close their setups in peace, busy ones are made to stop.

A worker that is on an item has `HURRY` seconds to unwind from it before it is killed; the exit of a
setup has `EXIT_PATIENCE`, because it may flush files or say goodbye to a server, or `HURRY` when
somebody wants everything to end at once. Tested by `tests/hosts/test_goodbye.py`.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping

from outpace.errors import SetupError
from outpace.flow.ending import HURRY
from outpace.hosts._peer import Peer

EXIT_PATIENCE = 10.0  # seconds; arbitrary: longer than any flush, shorter than anybody waits

clock = time.perf_counter


def say_goodbye(
    workers: Mapping[int, Peer], turn: Callable[[float], None], *, hurry: bool
) -> SetupError | None:
    """Tell every worker that it is over, and listen (`turn`) until they are gone; kill who is not.

    Returns an error when the exit of a setup took too long.
    """
    began = clock()
    busy = {pid for pid, worker in workers.items() if worker.is_busy}
    for pid, worker in workers.items():
        with contextlib.suppress(OSError):
            worker.channel.sock.shutdown(socket.SHUT_WR)
        if pid in busy:
            worker.process.kill_group(signal.SIGTERM)
    _listen(workers, turn, began + (0.0 if not busy else HURRY), busy)
    _kill([workers[pid] for pid in busy & workers.keys() if workers[pid].is_stuck])
    _listen(workers, turn, began + (HURRY if hurry else EXIT_PATIENCE), workers)
    if not workers:
        return None
    late = workers.keys() - busy
    _kill(workers.values())
    _listen(workers, turn, clock() + EXIT_PATIENCE, workers)
    if hurry or not late:
        return None
    msg = (
        f"the exit of setup took longer than {EXIT_PATIENCE:g} s in a worker process: it was killed"
    )
    return SetupError(msg)


def _listen(
    workers: Mapping[int, Peer], turn: Callable[[float], None], until: float, to: Iterable[int]
) -> None:
    """Listen until none of those are left, or time is up."""
    wanted = to if to is workers else set(to)
    while any(pid in workers for pid in wanted) and (left := until - clock()) > 0:
        turn(left)


def _kill(workers: Iterable[Peer]) -> None:
    """Kill them, and all they have started."""
    for worker in workers:
        worker.process.kill_group()
