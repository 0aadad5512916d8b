"""Timeouts of items in workers: kept by killing.

The engine says which item is late (`flow.deadlines`), off the boards that say what runs since when, so
nothing is sent for it and no item pays. Its worker is first asked to write down where it is, then killed
with all that it has started. Of the items on an event loop, only the one that has the loop is late if
there is one: the others could not be cancelled because of it, and go back free. Of several late ones
in threads each is late by itself if the worker still answers; if it does not, one of them keeps the
GIL, and each runs again alone to see which (`settle`).

A worker can also stand still while it has items and none of them runs: somebody has stopped it between
two, or one can't be unpickled to its end. If then nothing moves between it and us for as long as an item
may take, it is asked, and killed where it has neither answered nor begun anything within `ANSWER`
seconds. Whose fault that is, if anybody's, is found as when a worker dies by itself.

Pure. Tested by `tests/hosts/test_timeouts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from outpace.hosts.pool.state import Doubt, Happened
from outpace.hosts.pool.worker import Worker

ASKED = 0.03  # seconds that a worker has to write down where it is: a stack takes it under 1 ms
# Seconds for a worker that stands still: it may be loading an item or packing a value, which nobody
# sees. Arbitrary: longer than that takes unless it is stuck.
ANSWER = 10.0


class Timeouts:
    """The timeout of every item that is out."""

    def __init__(self, timeout: float, grace: float, now: float) -> None:
        """Look when the first item could be late; coroutines have a grace, to be cancelled in."""
        self._patience = timeout + grace
        self.look_at = now + self._patience
        # The workers in which nothing ran at the last look: what they had moved, and since when.
        self._still: dict[Worker, tuple[int, float]] = {}

    def look(self, workers: Iterable[Worker], now: float) -> None:
        """Kill or spare those that were asked, and ask those that stand still."""
        again, before, self._still = [], self._still, {}
        for worker in (worker for worker in workers if worker.is_at_work):
            here, state = any(worker.link.running()), worker.state
            if state.doubt is Doubt.STILL and (here or worker.link.moved != worker.moved):
                state.happened(Happened.SPARED)
                worker.due = None
            if state.doubt is Doubt.TRUSTED:
                if not here and worker.out.chunks and self._stands_still(worker, before, now):
                    again.append(self._ask_why_still(worker, now))
            elif worker.due is not None and worker.due <= now:
                self._kill_or_spare(worker)
            elif worker.due is not None:
                again.append(worker.due)
        self.look_at = min((*again, now + self._patience))

    def late(self, worker: Worker, index: int, since: float, now: float) -> None:
        """Ask a worker where its late item is, and kill it soon, unless the item is another's victim."""
        state = worker.state
        if now < since + self._patience or not worker.is_at_work:
            return  # a coroutine is cancelled there, and has time to unwind
        if state.doubt in (Doubt.TRUSTED, Doubt.LATE) and self._is_guilty(worker, index):
            worker.late[index] = since
            if state.doubt is Doubt.TRUSTED:
                self.look_at = min(self.look_at, self._ask_where(worker, now))

    def _stands_still(
        self, worker: Worker, before: dict[Worker, tuple[int, float]], now: float
    ) -> bool:
        """Say whether nothing has moved for as long as an item may take."""
        moved = worker.link.moved
        then, since = before.get(worker, (moved, now))
        self._still[worker] = moved, since if then == moved else now
        return now - self._still[worker][1] >= self._patience

    @staticmethod
    def _ask_why_still(worker: Worker, now: float) -> float:
        """Ask a worker whether it is there; return when it is killed unless it does anything."""
        worker.state.happened(Happened.FOUND_STILL)
        worker.due = now + ANSWER
        worker.ask(now, where=False)
        worker.moved = worker.link.moved
        return worker.due

    @staticmethod
    def _ask_where(worker: Worker, now: float) -> float:
        """Ask a worker where its late item is; return when it is killed."""
        worker.state.happened(Happened.FOUND_LATE)
        worker.due = now + ASKED
        worker.ask(now, where=True)
        return worker.due

    @staticmethod
    def _is_guilty(worker: Worker, index: int) -> bool:
        """Say whether a late item is late by itself, and not because another one has the loop."""
        board = worker.link.board
        step = None if board is None else board.stepping()
        return step is None or step[0] == index

    @staticmethod
    def _kill_or_spare(worker: Worker) -> None:
        """Kill it, unless what was late has ended meanwhile; that will be reported, as too late."""
        worker.due = None
        running = {index for index, _ in worker.link.running()}
        still = {index: since for index, since in worker.late.items() if index in running}
        if still:
            worker.late = still
        if still or worker.state.doubt is Doubt.STILL:
            worker.state.happened(Happened.KILLED)
            worker.link.kill("it is late" if still else "it stands still")
        else:
            worker.state.happened(Happened.SPARED)
