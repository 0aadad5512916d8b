"""The dispatcher: which item goes when. It decides; whoever drives the engine does.

It owns all mutable state of a run and does no I/O: it reads no clock, starts no thread, throws no
dice, and does not even read the caller's iterable (it asks for items with `Pull` and is given them with
`admit`). So it is tested by scenarios and by Hypothesis in virtual time (`tests/flow/test_dispatch.py`).

Guarantees, each with a test there: every admitted item is settled exactly once; no more chunks are
out than the limit allows; nothing is pulled after `stop` or beyond the reorder window; with `InOrder`
what is released is in order; no item is attempted more often than its `Retry` says.

An item's states:  waiting -> in flight -> settled;  back from in flight to waiting when a worker
returns it; and in flight -> backing off -> waiting when it failed and is to be tried again.

How large a chunk is, and how much the workers may hold, is `credit`'s; how many items may be in flight
is `limit`'s. So a slow item never strands others behind it: a lane gives back the rest of a chunk that
turns out to be much longer than it was meant to be.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from outpace.flow.backlog import Backlog, InTurn
from outpace.flow.credit import Credit
from outpace.flow.data import Chunk, Failure, Report, Returned, Settled
from outpace.flow.gate import Gate, Unlimited
from outpace.flow.limit import Limit
from outpace.flow.order import Order, Release
from outpace.flow.outstanding import Outstanding
from outpace.flow.retry import Retry

EARLY = 1_024  # finished items that may wait for a slow one before them, when outcomes are in order


@dataclass(slots=True, frozen=True)
class Pull:
    """Ask for up to `room` more items; `admit` and `exhaust` are the answers."""

    room: int


@dataclass(slots=True, frozen=True)
class Open:
    """Open the workers: there is something for them to do."""


@dataclass(slots=True, frozen=True)
class Start:
    """Hand this chunk to the workers."""

    chunk: Chunk


@dataclass(slots=True, frozen=True)
class Settle:
    """Let these finished items go to whoever waits for them."""

    settled: Settled
    positions: Sequence[int]


Action = Pull | Open | Start | Settle


@dataclass(slots=True)
class Counts:
    """Be how many items there were of each fate."""

    pulled: int = 0
    settled: int = 0
    failed: int = 0
    timed_out: int = 0
    lost: int = 0
    cancelled: int = 0
    retries: int = 0
    chunks: int = 0

    @property
    def bad(self) -> int:
        """Count the items that ended without a value."""
        return self.failed + self.timed_out + self.lost + self.cancelled


@dataclass(slots=True, eq=False, repr=False)
class Dispatcher:
    """Decide which items go out, and put together what comes back.

    `credit` says how much the workers may hold, `limit` how many items may be in flight, `gate` how many
    may start now, and `backlog` which of those that wait goes first. Where it has no workers yet
    (`has_workers`) it asks for them before the first item goes out. `total` is how many items there
    will be, if known. `retry` says which failures are final, and `dice` gives the chance in its pauses,
    from 0 to 1.
    """

    limit: Limit
    order: Order
    credit: Credit
    gate: Gate = field(default_factory=Unlimited)
    backlog: Backlog = field(default_factory=InTurn)
    has_workers: bool = True
    total: int | None = None
    keep_order_window: bool = True
    retry: Retry | None = None
    dice: Callable[[], float] = lambda: 0.5
    counts: Counts = field(default_factory=Counts)

    # The mutable state.
    reading_held: bool = field(default=False, init=False)
    begun: int = field(default=0, init=False)  # items before this index have gone out once
    _next: int = field(default=0, init=False)  # the index of the next item to be admitted
    _exhausted: bool = field(default=False, init=False)
    _out: Outstanding = field(default_factory=Outstanding, init=False)
    _releases: deque[Release] = field(default_factory=deque, init=False)
    # Backing off: when each is due, its index, and what it comes to if it is not tried again after all.
    _resting: list[tuple[float, int, Settled]] = field(default_factory=list, init=False)
    _stopped: bool = field(default=False, init=False)
    _due: float | None = field(default=None, init=False)  # when something may go that might not

    # Events: what happened.

    def admit(self, items: list[Any], now: float, keys: Sequence[Hashable] | None = None) -> None:
        """Take in the next items of the iterable, with the group that each is in, if there are any."""
        if items:
            self.backlog.push(Chunk(self._next, items, now), keys)
            self._next += len(items)
            self.counts.pulled += len(items)

    def refuse(self, item: Any, failure: Failure, now: float) -> None:
        """Take in the next item of the iterable as one that has failed, and is never to start."""
        at = array("d", (now,))
        report = Report([self._next], [None], at, at, {0: failure})
        self._next += 1
        self.counts.pulled += 1
        self._leave(Settled(report, [item], [now], [1]))

    def exhaust(self) -> None:
        """Learn that there are no more items, or that no more are wanted."""
        self._exhausted = True

    def hold_reading(self) -> None:
        """Learn that items come slowly: what is ready goes out before any more are asked for."""
        self.reading_held = True

    def stop(self) -> None:
        """Start nothing new; what has gone out ends, also what a worker gave or gives back.

        So what comes out in order has no gaps: it is the first so many items. Nothing is tried again.
        """
        self._exhausted = self._stopped = True
        while self._resting:
            self._leave(heapq.heappop(self._resting)[2])
        self.backlog.keep(self.begun, in_order=self.keep_order_window)

    def observe(self, report: Report | Returned, now: float = 0.0) -> Settled | None:
        """Take in what a worker said; return the attempts that have ended, None where none has."""
        if isinstance(report, Returned):
            self._take_back(report)
            return None
        settled = Settled(report, *self._out.match(report.indexes))
        self.backlog.ended(report.indexes)
        self.credit.learn(report)
        final: Settled | None = settled
        if report.failures and self.retry is not None and not self._stopped:
            final = self._to_rest(settled, self.retry, now)
        if final is not None:
            self._leave(final)
        return settled

    def _leave(self, settled: Settled) -> None:
        """Count what is finished, and let it leave when it is its turn."""
        self.backlog.forget(settled.report.indexes)
        counts = self.counts
        counts.settled += len(settled)
        for failure in settled.report.failures.values():
            match failure.kind:
                case "lost":
                    counts.lost += 1
                case "timed-out":
                    counts.timed_out += 1
                case "cancelled":
                    counts.cancelled += 1
                case _:
                    counts.failed += 1
        self._releases.extend(self.order.push(settled))

    def _to_rest(self, settled: Settled, retry: Retry, now: float) -> Settled | None:
        """Set aside what is to be tried again; return what is left, None when that is nothing."""
        resting = set()
        for position, failure in settled.report.failures.items():
            pause = retry.pause(settled.attempts[position], failure, self.dice)
            if pause is not None:
                index = settled.report.indexes[position]
                heapq.heappush(self._resting, (now + pause, index, settled.only((position,))))
                resting.add(position)
        if not resting:
            return settled
        left = [position for position in range(len(settled)) if position not in resting]
        return settled.only(left) if left else None

    def _rise(self, now: float) -> None:
        """Let those wait for a worker again whose pause is over, before all others."""
        risen = []
        while self._resting and self._resting[0][0] <= now:
            _, index, settled = heapq.heappop(self._resting)
            attempt = settled.attempts[0] + 1
            risen.append(Chunk(index, [settled.items[0]], settled.queued[0], attempt))
        if risen:
            self.backlog.push_front(risen)
        self.counts.retries += len(risen)

    # Decisions: what to do.

    @property
    def finished(self) -> bool:
        """Say whether every item is settled and released, and no more will come."""
        return self._exhausted and not (
            self.backlog.items or self._out.chunks or self._releases or self._resting
        )

    def pause(self, now: float) -> float | None:
        """Say how many seconds there are until an item may go out that may not now; None without one.

        It is to be tried again, or the rate of starts holds it up.
        """
        dues = [self._resting[0][0]] if self._resting else []
        if self._due is not None:
            dues.append(self._due)
        return max(0.0, min(dues) - now) if dues else None

    @property
    def in_flight(self) -> int:
        """Count the items that are out."""
        return self._out.items

    @property
    def awaits_reports(self) -> bool:
        """Say whether anything is out that a worker has to report."""
        return self._out.chunks > 0

    def decide(self, now: float = 0.0) -> Iterator[Action]:
        """Yield what is to be done now, one action at a time, each done before the next is asked.

        Work goes out before results do, so the workers are busy while the caller looks at a value;
        except where items come slowly.
        """
        self._rise(now)
        if self.reading_held:  # reading takes long, and nobody should wait for it who need not
            yield from self._settle()
        self.reading_held, self._due = False, None
        while not self.reading_held and (room := self._room()) > 0:
            allowed = self.gate.room(now)
            yield from self._pull(
                min(room, max(1, allowed)), now
            )  # one, to know whether there is one
            if allowed <= 0:
                self._due = self.gate.due() if self._is_more else None
                break
            if not self.has_workers and self.backlog.items:
                self.has_workers = True
                yield Open()
                break  # that took its time: nothing has started before it
            chunk = self.backlog.pop(min(room, allowed), now)
            if chunk is None:
                self._due = self.backlog.due()
                break
            self.gate.took(len(chunk), now)
            chunk.divisible = self.credit.is_divisible
            self._out.add(chunk)
            self.begun = max(self.begun, chunk.indexes.stop)
            self.counts.chunks += 1
            yield Start(chunk)
        yield from self._settle()

    @property
    def _is_more(self) -> bool:
        """Say whether there are items that have not gone out, or may be."""
        return self.backlog.items > 0 or not self._exhausted

    def _pull(self, room: int, now: float) -> Iterator[Action]:
        """Ask for items, again while all that come are of groups that have to wait."""
        before = -1
        while (
            before != self._next
            and not (self._exhausted or self.reading_held)
            and self.backlog.wants_more(now)
            and self._within_window()
        ):
            before = self._next
            yield Pull(room)

    def _settle(self) -> Iterator[Action]:
        """Yield what is to leave."""
        while self._releases:
            yield Settle(*self._releases.popleft())

    def _room(self) -> int:
        """Say how many items may go out now as one chunk, 0 for none."""
        left = None if self.total is None else self.total - self._next + self.backlog.items
        return self.credit.room(self._out, self.limit.current, left)

    def _within_window(self) -> bool:
        """Say whether reading on is allowed, with the first unreleased item still unfinished."""
        if not self.keep_order_window:
            return True
        return self._next - self.order.expected < max(EARLY, 4 * self.credit.held)

    def _take_back(self, returned: Returned) -> None:
        """Let unstarted items wait again, before all others and in their order."""
        rest = self._out.take_rest(returned.indexes)
        runs = [rest] if rest is not None else self._take_each(returned)
        self.backlog.ended(returned.indexes)
        self.backlog.push_front(runs)

    def _take_each(self, returned: Returned) -> list[Chunk]:
        """Take back items that are not simply the rest of a chunk."""
        runs: list[Chunk] = []
        for index in returned.indexes:
            chunk = self._out.take_one(index)
            item = chunk.items[index - chunk.first]
            if runs and runs[-1].indexes.stop == index and runs[-1].attempt == chunk.attempt:
                runs[-1].items.append(item)
            else:
                runs.append(Chunk(index, [item], chunk.queued, chunk.attempt))
        return runs
