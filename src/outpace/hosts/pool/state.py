"""The states of a worker, as tables: what may happen to it in each, and what it is then.

Everything that affects the state of a worker is here, after h11's `_state.py`; whoever wants it changed
says what has happened (`State.happened`). There are two machines. The **phase** is how far a
worker is in its life:

    STARTING -> READY -> RETIRING -> LEAVING -> DONE -> DEAD
        any of these -> SEVERED (nothing more is heard of it) -> DEAD

and the **doubt** is whether it still does what it is to do:

    TRUSTED <-> LATE (an item is, and it has been asked where) -> KILLED_LATE
    TRUSTED <-> STILL (it has items and nothing moves, and it has been asked) -> KILLED_STILL

What is in no table cannot happen: `Impossible`. If it was the worker that did it, it makes no sense, as
if what it sent had been garbled.

Pure. Tested by `tests/hosts/test_state.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Phase(Enum):
    """How far a worker is in its life."""

    STARTING = auto()  # launched, and not heard of yet
    READY = auto()  # is given work
    RETIRING = auto()  # is given nothing more; ends after what it has
    LEAVING = auto()  # has been told that it is over
    DONE = auto()  # has said goodbye
    SEVERED = auto()  # nothing more is heard of it, and it may be alive
    DEAD = auto()


class Doubt(Enum):
    """Whether a worker still does what it is to do."""

    TRUSTED = auto()
    LATE = auto()  # one of its items is: it has been asked where it is, and is about to be killed
    STILL = auto()  # it has items and does nothing: it has been asked, and has time to answer
    KILLED_LATE = auto()
    KILLED_STILL = auto()


class Happened(Enum):
    """What can happen to a worker."""

    READY = auto()  # it says that it is
    RETIRED = auto()  # it has had its share of items or memory, or is not needed any more
    DISMISSED = auto()  # it is told that it is over
    SAID_BYE = auto()
    LOST = auto()  # its connection has ended, or made no sense
    DIED = auto()
    FOUND_LATE = auto()
    FOUND_STILL = auto()
    SPARED = auto()  # what was late has ended, or it has moved
    KILLED = auto()  # for what was doubted


class Impossible(Exception):  # noqa: N818 - what it is
    """Something has happened that cannot, in the state that the worker was in."""


P, D, H = Phase, Doubt, Happened

PHASES: dict[Phase, dict[Happened, Phase]] = {
    P.STARTING: {
        H.READY: P.READY,
        H.RETIRED: P.RETIRING,
        H.DISMISSED: P.LEAVING,
        H.SAID_BYE: P.DONE,
        H.LOST: P.SEVERED,
        H.DIED: P.DEAD,
    },
    P.READY: {
        H.RETIRED: P.RETIRING,
        H.DISMISSED: P.LEAVING,
        H.SAID_BYE: P.DONE,
        H.LOST: P.SEVERED,
        H.DIED: P.DEAD,
    },
    P.RETIRING: {
        H.READY: P.RETIRING,  # it was retired before it had started
        H.RETIRED: P.RETIRING,
        H.DISMISSED: P.LEAVING,
        H.SAID_BYE: P.DONE,
        H.LOST: P.SEVERED,
        H.DIED: P.DEAD,
    },
    P.LEAVING: {
        H.READY: P.LEAVING,  # it was just about to say so
        H.RETIRED: P.LEAVING,
        H.DISMISSED: P.LEAVING,
        H.SAID_BYE: P.DONE,
        H.LOST: P.SEVERED,
        H.DIED: P.DEAD,
    },
    P.DONE: {
        H.RETIRED: P.DONE,
        H.DISMISSED: P.DONE,
        H.LOST: P.DONE,  # the end of its connection was to be expected
        H.DIED: P.DEAD,
    },
    P.SEVERED: {
        H.RETIRED: P.SEVERED,
        H.DISMISSED: P.SEVERED,
        H.LOST: P.SEVERED,
        H.DIED: P.DEAD,
    },
    P.DEAD: {},
}

DOUBTS: dict[Doubt, dict[Happened, Doubt]] = {
    D.TRUSTED: {H.FOUND_LATE: D.LATE, H.FOUND_STILL: D.STILL},
    D.LATE: {H.SPARED: D.TRUSTED, H.KILLED: D.KILLED_LATE},
    D.STILL: {H.SPARED: D.TRUSTED, H.KILLED: D.KILLED_STILL},
    D.KILLED_LATE: {},  # once is enough; its death will be reported
    D.KILLED_STILL: {},
}
OF_DOUBT = {happened for row in DOUBTS.values() for happened in row}


@dataclass(slots=True)
class State:
    """The state of one worker."""

    phase: Phase = Phase.STARTING
    doubt: Doubt = Doubt.TRUSTED
    was_ready: bool = False
    is_retired: bool = False

    @property
    def is_killed(self) -> bool:
        """Say whether it was killed for what it was doubted for."""
        return self.doubt in (Doubt.KILLED_LATE, Doubt.KILLED_STILL)

    def happened(self, what: Happened) -> None:
        """Become what follows; raise `Impossible` where the tables have nothing."""
        try:
            if what in OF_DOUBT:
                self.doubt = DOUBTS[self.doubt][what]
            else:
                self.phase = PHASES[self.phase][what]
        except KeyError:
            msg = f"{what.name} cannot happen to a worker that is {self.phase.name}, {self.doubt.name}"
            raise Impossible(msg) from None
        if what is Happened.READY:
            self.was_ready = True
        elif what is Happened.RETIRED:
            self.is_retired = True
