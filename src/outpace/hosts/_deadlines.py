"""Timeouts of items in worker processes: read off the boards, kept by killing.

Nothing is sent for it and no item pays: the boards say what runs since when, and one looks only when
something could be late (`drivers._late.Watch`). A worker with a late item is first asked to write down
where it is, then killed with its whole process group. Of the items on an event loop, only the one that
has the loop is late if there is one: the others could not be cancelled because of it, and go back free.
Of several late ones in threads each is late by itself if the worker still answers; if it does not, one
of them keeps the GIL, and each runs again alone to see which (`_inquest`).

A worker can also stand still while it has items and none of them runs: somebody has stopped it between
two, or one can't be unpickled to its end. If then nothing moves on its socket for as long as an item may
take, it is asked, and killed where it has neither answered nor begun anything within `ANSWER` seconds.
Whose fault that is, if anybody's, is found as when a worker dies by itself.
Tested by `tests/hosts/test_deadlines.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from outpace.drivers._late import Watch
from outpace.hosts._peer import KILLED, Peer

ASKED = 0.03  # seconds that a worker has to write down where it is: a stack takes it under 1 ms
# Seconds for a worker that stands still: it may be loading an item or packing a value, which nobody
# sees. Arbitrary: longer than that takes unless it is stuck.
ANSWER = 10.0


class Deadlines:
    """Keep the timeout of every item."""

    def __init__(self, timeout: float, grace: float, now: float) -> None:
        """Look when the first item could be late; coroutines have a grace, to be cancelled in."""
        self._watch = Watch(timeout + grace, now)
        # The workers in which nothing ran at the last look: the bytes they had moved, and since when.
        self._still: dict[Peer, tuple[int, float]] = {}

    @property
    def look_at(self) -> float:
        """Say when to look next."""
        return self._watch.look_at

    def look(self, peers: Iterable[Peer], now: float) -> None:
        """Ask or kill the workers whose time is up."""
        running: dict[tuple[Peer, int], float] = {}
        asked, before, self._still = [], self._still, {}
        for peer in (peer for peer in peers if peer.ready):
            here = {(peer, i): since for i, since in peer.running()}
            if peer.silent is not None and (here or peer.channel.moved != peer.silent):
                self._spare(peer)
            if peer.kill_at is None:
                running |= here
                if not here and peer.out.chunks and self._stands_still(peer, before, now):
                    asked.append(self._ask_the_silent(peer, now))
            elif peer.kill_at <= now:
                self._kill(peer)
            else:
                asked.append(peer.kill_at)
        late: dict[Peer, dict[int, float]] = {}
        for peer, index in self._watch.late(running.items(), now):
            late.setdefault(peer, {})[index] = running[peer, index]
        for peer, items in late.items():
            if self._is_guilty(peer, items):
                peer.kill_at = now + ASKED
                asked.append(peer.kill_at)
                peer.ask(now)
                peer.process.ask_where()
        self._watch.look_at = min(self._watch.look_at, *asked, now + self._watch.timeout)

    def _stands_still(self, peer: Peer, before: dict[Peer, tuple[int, float]], now: float) -> bool:
        """Say whether nothing has moved for as long as an item may take."""
        moved = peer.channel.moved
        then, since = before.get(peer, (moved, now))
        self._still[peer] = moved, since if then == moved else now
        return now - self._still[peer][1] >= self._watch.timeout

    @staticmethod
    def _ask_the_silent(peer: Peer, now: float) -> float:
        """Ask a worker whether it is there; return when it is killed unless it does anything."""
        peer.kill_at = now + ANSWER
        peer.ask(now)
        peer.silent = peer.channel.moved
        return peer.kill_at

    @staticmethod
    def _spare(peer: Peer) -> None:
        """Forget that a worker stood still, now that it has done something, unless it is too late."""
        if peer.kill_at != KILLED:
            peer.silent = peer.kill_at = None

    @staticmethod
    def _is_guilty(peer: Peer, items: dict[int, float]) -> bool:
        """Note which of the late items it is; none while somebody who is not late yet has the loop."""
        step = peer.shared.board.stepping()
        if step is not None:
            items = {index: since for index, since in items.items() if index == step[0]}
        peer.late = items
        return bool(items)

    @staticmethod
    def _kill(peer: Peer) -> None:
        """Kill it, unless what was late has ended meanwhile; that will be reported, as too late."""
        running = {index for index, _ in peer.running()}
        still = {index: since for index, since in peer.late.items() if index in running}
        if still or peer.silent is not None:
            peer.late = still
            peer.process.kill_group()
            peer.kill_at = KILLED  # once is enough; its death will be reported
        else:
            peer.kill_at = None
