"""Who is to blame when a worker dies: only what had started, and nobody on mere suspicion.

An item that was alone in its worker is to blame. Of several, those that may have done it are suspects,
and each runs again alone, in a worker of its own, before it is called lost. An event loop narrows it
down: only the item that had the loop can have ended the process. Where nobody stands out (all were
waiting, as when somebody outside kills a worker), all go back free once; who is there the second time is
a suspect. A worker that was found broken was so before, perhaps: all that it had begun are suspects. So
every death either settles an item or makes the circle smaller, and none repeats for ever.

Pure. Tested by `tests/hosts/test_blame.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from outpace.flow.board import Board


@dataclass(slots=True)
class Scene:
    """What is known of a worker at its death: what was out to it, and what its board shows.

    `running` had begun and not ended; `stepping` is the one of them that had the event loop, if there
    is a loop; `ended` had ended and were not reported; `lanes` is how many can run at once.
    """

    out: set[int]
    running: list[int]
    stepping: int | None
    ended: set[int]
    lanes: int
    has_loop: bool = False
    alone: bool = False  # a suspect ran, and nothing else
    cut_off: bool = False  # it did not die, but could not be understood any more

    @classmethod
    def of(
        cls,
        board: Board | None,
        out: Iterable[int],
        lanes: int,
        *,
        alone: bool,
        cut_off: bool = False,
    ) -> Scene:
        """Read it off a board; without one, nobody knows what ran."""
        there = set(out)
        if board is None:
            return cls(there, [], None, set(), lanes, alone=alone, cut_off=cut_off)
        step = board.stepping()
        return cls(
            out=there,
            running=[index for index, _ in board.running() if index in there],
            stepping=step[0] if step is not None and step[0] in there else None,
            ended={index for ended in board.ended() for index in ended if index in there},
            lanes=lanes,
            has_loop=board.on_loop is not None,
            alone=alone,
            cut_off=cut_off,
        )


@dataclass(slots=True)
class Verdict:
    """Whose fault it was, and who is to run again alone. Everybody else goes back free."""

    lost: Sequence[int] = ()
    suspects: Sequence[int] = ()


@dataclass(slots=True)
class Judge:
    """Who was there at deaths that nobody stood out at."""

    seen: set[int] = field(default_factory=set)

    def judge(self, scene: Scene) -> Verdict:
        """Say who is to blame."""
        if scene.alone:
            return Verdict(lost=sorted(scene.out))
        if scene.cut_off and scene.ended:  # it may have gone on for a while after whoever did it
            return Verdict(suspects=sorted(scene.ended | set(scene.running)))
        if scene.stepping is not None:
            return Verdict(suspects=[scene.stepping])
        if scene.lanes == 1 and len(scene.running) == 1:
            return Verdict(lost=scene.running)
        if not scene.running and scene.ended:
            return Verdict(suspects=sorted(scene.ended))  # it died over the report of these
        return self._whoever_is_there_again(scene.running or sorted(scene.out))

    def _whoever_is_there_again(self, present: list[int]) -> Verdict:
        """Suspect those that were there the last time, too."""
        again = [index for index in present if index in self.seen]
        self.seen.update(present)
        return Verdict(suspects=again)
