"""Timeouts of items in worker processes: read off the boards, kept by killing.

Nothing is sent for it and no item pays: the boards say what runs since when, and one looks only when
something could be late (`drivers._late.Watch`). A worker with a late item is first asked to write down
where it is, then killed with its whole process group. Of the items on an event loop, only the one that
has the loop is late if there is one: the others could not be cancelled because of it, and go back free.
Of several late ones in threads each is late by itself if the worker still answers; if it does not, one
of them keeps the GIL, and each runs again alone to see which (`_inquest`).
Tested by `tests/hosts/test_deadlines.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from outpace.drivers._late import Watch
from outpace.hosts._peer import Peer

ASKED = 0.03  # seconds that a worker has to write down where it is: a stack takes it under 1 ms


class Deadlines:
    """Keep the timeout of every item."""

    def __init__(self, timeout: float, grace: float, now: float) -> None:
        """Look when the first item could be late; coroutines have a grace, to be cancelled in."""
        self._watch = Watch(timeout + grace, now)

    @property
    def look_at(self) -> float:
        """Say when to look next."""
        return self._watch.look_at

    def look(self, peers: Iterable[Peer], now: float) -> None:
        """Ask or kill the workers whose time is up."""
        running: dict[tuple[Peer, int], float] = {}
        asked = []
        for peer in peers:
            if peer.kill_at is None:
                running |= {(peer, i): since for i, since in peer.running()} if peer.ready else {}
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
        if still := {index: since for index, since in peer.late.items() if index in running}:
            peer.late = still
            peer.process.kill_group()
            peer.kill_at = float("inf")  # once is enough; its death will be reported
        else:
            peer.kill_at = None
