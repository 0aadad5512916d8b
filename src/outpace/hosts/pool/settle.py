"""What becomes of all that a dead worker had: lost, timed out, run again alone, or simply given back.

Here the facts are gathered (the board, the last words, how it died); who is to blame for them is
`crash.blame`, and how it is said `crash.wording`.

Pure. Tested by `tests/hosts/test_pool.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.hosts.channel.messages import Died
from outpace.hosts.crash.blame import Judge, Scene, Verdict
from outpace.hosts.crash.wording import TOO_LATE, Obituary, late
from outpace.hosts.pool.state import Doubt
from outpace.hosts.pool.worker import Worker, failures


@dataclass(slots=True)
class Findings:
    """What is to be reported, and the items that are to run again alone."""

    news: list[Report | Returned] = field(default_factory=list)
    suspects: list[Chunk] = field(default_factory=list)


class Inquest:
    """What is found out about the deaths of the workers of one pool."""

    def __init__(self, workers: int, timeout: float | None) -> None:
        """Remember how many workers there are, and what may be late."""
        self._workers = workers
        self._timeout = timeout
        self._judge = Judge()

    def hold(self, worker: Worker, death: Died, now: float) -> Findings:
        """Say what becomes of everything that the worker had."""
        chunks = worker.out.drain()
        out = [index for chunk in chunks for index in chunk.indexes]
        scene = Scene.of(
            worker.link.board,
            out,
            worker.place.lanes,
            alone=worker.suspects is not None,
            cut_off=worker.is_cut_off,
        )
        if worker.was_killed and worker.state.doubt is not Doubt.KILLED_STILL:
            overdue = [index for index in worker.late if index in out]
            one_did_it = worker.is_mute and len(overdue) > 1 and not scene.has_loop
            verdict = Verdict(suspects=overdue) if one_did_it else Verdict(lost=overdue)
        else:
            verdict = self._judge.judge(scene)
        found = Findings()
        since = dict(worker.link.running()) | worker.late
        for chunk in _singled_out(verdict.lost, chunks):
            begun = chunk.first in since or chunk.first in scene.ended
            failure = self._failure(worker, death, begun=begun)
            begin = since.get(chunk.first)
            found.news.append(failures(chunk, failure, worker.place.number, now, begin))
        held = {*verdict.lost, *verdict.suspects}
        for chunk in chunks:
            if free := [index for index in chunk.indexes if index not in held]:
                found.news.append(Returned(free))
        found.suspects = [*_singled_out(verdict.suspects, chunks), *(worker.suspects or ())]
        return found

    def too_late(self, worker: Worker, report: Report) -> None:
        """Let items that have ended while their worker was about to be killed for them be too late.

        What asks a worker where it is can make native code return early, with half of its work done.
        """
        assert self._timeout is not None
        for position, index in enumerate(report.indexes):
            if worker.late.pop(index, None) is not None and position not in report.failures:
                report.values[position] = None
                words = worker.link.last_words()
                report.failures[position] = late(self._timeout, words, TOO_LATE)

    def _failure(self, worker: Worker, death: Died, *, begun: bool) -> Failure:
        """Make the failure of an item that is to blame."""
        if worker.was_killed:
            assert self._timeout is not None
            return late(self._timeout, death.last_words)
        number, cut_off = worker.place.number, worker.is_cut_off
        return Obituary(death, number, self._workers, begun=begun, cut_off=cut_off).lost()


def _singled_out(indexes: Sequence[int], chunks: list[Chunk]) -> list[Chunk]:
    """Return items as chunks of one, in order."""
    wanted = set(indexes)
    return [
        Chunk(index, [chunk.items[index - chunk.first]], chunk.queued, chunk.attempt)
        for chunk in chunks
        for index in chunk.indexes
        if index in wanted
    ]
