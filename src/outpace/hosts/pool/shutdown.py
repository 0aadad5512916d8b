"""The end of a pool's workers: idle ones close their setups in peace, busy ones are made to stop.

A worker that is on an item has `HURRY` seconds to unwind from it before it is killed; the exit of a
setup has `EXIT_PATIENCE`, because it may flush files or say goodbye to a server, or `HURRY` when
somebody wants everything to end at once. Whatever happens, it is over some time after that.

Pure. Tested by `tests/hosts/test_shutdown.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, auto

from outpace.errors import SetupError
from outpace.flow.ending import HURRY
from outpace.hosts.channel.messages import Recall
from outpace.hosts.pool.worker import Worker

EXIT_PATIENCE = 10.0  # seconds; arbitrary: longer than any flush, shorter than anybody waits


class Stage(Enum):
    """What is waited for."""

    BUSY = auto()  # that those which are on an item come out of it
    ALL = auto()  # that every setup is closed
    KILLED = auto()  # that those which were killed are gone
    OVER = auto()  # nothing: they are gone, or nobody can do more about it


class Shutdown:
    """The steps of an end, and when the next one is due."""

    def __init__(self, workers: Collection[Worker], now: float, *, hurry: bool) -> None:
        """Tell every worker that it is over, and busy ones to unwind."""
        self.error: SetupError | None = None  # that the exit of a setup took too long
        self._hurry = hurry
        self._began = now
        self._busy = {worker for worker in workers if worker.is_busy}
        self.stage = Stage.BUSY
        self.due = now + HURRY
        for worker in workers:
            worker.dismiss()
            if worker in self._busy:
                worker.link.send(Recall())
        self.look(workers, now)

    def look(self, workers: Collection[Worker], now: float) -> None:
        """Take the next step, if it is due or there is nobody to wait for."""
        if self.stage is Stage.BUSY:
            busy = self._busy.intersection(workers)
            if busy and now < self.due:
                return
            _kill((worker for worker in busy if worker.is_stuck), "it is on an item")
            self.stage = Stage.ALL
            self.due = self._began + (HURRY if self._hurry else EXIT_PATIENCE)
        if self.stage is Stage.ALL and workers:
            if now < self.due:
                return
            if self._busy.issuperset(workers) or self._hurry:
                pass  # what was on an item is expected to be late
            else:
                msg = (
                    f"the exit of setup took longer than {EXIT_PATIENCE:g} s in a worker process: "
                    "it was killed"
                )
                self.error = SetupError(msg)
            _kill(workers, "its setup does not close")
            self.stage, self.due = Stage.KILLED, now + EXIT_PATIENCE
        if not workers or now >= self.due:
            self.stage = Stage.OVER


def _kill(workers: Iterable[Worker], why: str) -> None:
    """Kill them, and all they have started."""
    for worker in workers:
        worker.link.kill(why)
