"""How calls go out: one at a time, each to a lane that has nothing to do.

What the engine does for the items of a map, several of them in one chunk and the next chunk in hand,
would be wrong for calls: they may wait for one another, and whoever waits for the result of a short one
must not wait for the long one that happened to travel behind it. So the engine's own measuring,
`chunk=None`, is for who asks for it.

Pure, as the dispatcher is.
"""

from __future__ import annotations

from dataclasses import fields

from outpace.flow.dispatch import Dispatcher

# bench/executor.py, two threads: 59 us a no-op without any in hand, 40 with 1, 31 with 4, 20 with 16;
# but what is in hand cannot be cancelled any more, so it is few, and only calls that are over at once.
IN_HAND = 4  # calls for each lane of this process that wait in the lanes' own queue
SHORT = 0.001  # seconds that a call may take for that


class OneAtATime(Dispatcher):
    """Send items out one by one, each to a lane that has nothing to do.

    Where the lanes take from one queue, any of them takes the next item, so a few that wait there keep
    nobody from anything: `in_hand` of them for each slot, while items are short.
    """

    __slots__ = ("in_hand",)
    in_hand: int

    def _room(self) -> int:
        """Say whether one more item may go out."""
        slots = max(1, min(self.limit.current, self.slots))
        short = self._item_s is not None and self._item_s < SHORT
        return int(self._out.items < slots * (1 + self.in_hand * short))


def one_at_a_time(dispatcher: Dispatcher, in_hand: int) -> OneAtATime:
    """Make the dispatcher that sends items out one by one, otherwise the same."""
    made = OneAtATime(
        **{each.name: getattr(dispatcher, each.name) for each in fields(dispatcher) if each.init}
    )
    made.in_hand = in_hand
    return made
