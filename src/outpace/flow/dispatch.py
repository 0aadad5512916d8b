"""The dispatcher: which item goes when. It decides; whoever drives the engine does.

It owns all mutable state of a run and does no I/O: it reads no clock, starts no thread, throws no
dice, and does not even read the caller's iterable (it asks for items with `Pull` and is given them with
`admit`). So it is tested by scenarios and by Hypothesis in virtual time (`tests/flow/test_dispatch.py`).

Guarantees, each with a test there: every admitted item is settled exactly once; no more chunks are
out than the limit allows; nothing is pulled after `stop` or beyond the reorder window; with `InOrder`
what is released is in order; no item is attempted more often than its `Retry` says.

An item's states:  waiting -> in flight -> settled;  back from in flight to waiting when a worker
returns it; and in flight -> backing off -> waiting when it failed and is to be tried again.

**Chunks.** A slot (one lane of one worker) is given chunks that are worth about `AIM` seconds by the
times measured so far, growing by at most `GROWTH` a step, never more than a small share of what is
left when that is known. A slot has a second chunk waiting only when items are so short that the round
trip for the next one would be felt, and a lane gives back the rest of a chunk that turns out to be
much longer; so a slow item never strands others behind it. Credit is counted in chunks, not items:
every chunk that is out has an unfinished item, so as many chunks as slots can never leave a slot
idle, whatever the sizes are. A worker whose lanes share one queue (`shared`: an event loop) is
simpler: its credit is counted in items, as many as it has lanes and some more.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from outpace.flow.data import Chunk, Report, Returned, Settled
from outpace.flow.limit import Limit
from outpace.flow.order import Order, Release
from outpace.flow.outstanding import Outstanding
from outpace.flow.retry import Retry

# bench/chunks.py sweeps these; what it showed was seen on two cores that others used as well.
# AIM: items of 10 us cost the same from 2 to 200 ms. Uneven ones, their number unknown, took 1.6 x the
# bound at 2 ms, 1.3 at 5, 1.1 at 20 and 1.06 at 50; but the memory that large items take grows with it.
# MOST: a lane alone has 1/SHARE of it; from 4,096 there up no-ops cost the same, and what is read ahead
# of a slow item doubles each time. GROWTH from 2 to 64 and SHARE from 1 to 16 made no difference above
# 3 %, so they are small enough to err little and large enough to matter.
AIM = 0.02  # seconds of work in a chunk
GROWTH = 4  # a chunk is at most this many times the last one
MOST = 16_384  # items that the lanes of a worker have together when each has one chunk
SHARE = 4  # a chunk is at most 1/SHARE of a slot's part of what is left, so that the tail is short
EARLY = 1_024  # finished items that may wait for a slow one before them, when outcomes are in order


@dataclass(slots=True, frozen=True)
class Pull:
    """Ask for up to `room` more items; `admit` and `exhaust` are the answers."""

    room: int


@dataclass(slots=True, frozen=True)
class Start:
    """Hand this chunk to the workers."""

    chunk: Chunk


@dataclass(slots=True, frozen=True)
class Settle:
    """Let these finished items go to whoever waits for them."""

    settled: Settled
    positions: Sequence[int]


Action = Pull | Start | Settle


@dataclass(slots=True)
class Counts:
    """Be how many items there were of each fate."""

    pulled: int = 0
    settled: int = 0
    failed: int = 0
    timed_out: int = 0
    lost: int = 0
    retries: int = 0
    chunks: int = 0

    @property
    def bad(self) -> int:
        """Count the items that ended without a value."""
        return self.failed + self.timed_out + self.lost


@dataclass(slots=True, eq=False, repr=False)
class Dispatcher:
    """Decide which items go out, and put together what comes back.

    `slots` is how many items the workers can run at once and `lanes` how many of these one worker
    has; `shared` says that the lanes of a worker take from one queue, item by item. `total` is how
    many items there will be, if known; `fixed_chunk` overrides the measuring. `retry` says which
    failures are final, and `dice` gives the chance in its pauses, from 0 to 1.
    """

    limit: Limit
    order: Order
    slots: int
    lanes: int = 1
    shared: bool = False
    total: int | None = None
    fixed_chunk: int | None = None
    keep_order_window: bool = True
    retry: Retry | None = None
    dice: Callable[[], float] = lambda: 0.5
    counts: Counts = field(default_factory=Counts)

    # The mutable state.
    reading_held: bool = field(default=False, init=False)
    begun: int = field(default=0, init=False)  # items before this index have gone out once
    _size: int = field(default=1, init=False)  # of the next chunk
    _item_s: float | None = field(default=None, init=False)  # what an item takes in its lane
    _next: int = field(default=0, init=False)  # the index of the next item to be admitted
    _exhausted: bool = field(default=False, init=False)
    _waiting: deque[Chunk] = field(default_factory=deque, init=False)
    _waiting_items: int = field(default=0, init=False)
    _out: Outstanding = field(default_factory=Outstanding, init=False)
    _releases: deque[Release] = field(default_factory=deque, init=False)
    # Backing off: when each is due, its index, and what it comes to if it is not tried again after all.
    _resting: list[tuple[float, int, Settled]] = field(default_factory=list, init=False)
    _stopped: bool = field(default=False, init=False)

    # Events: what happened.

    def admit(self, items: list[Any], now: float) -> None:
        """Take in the next items of the iterable."""
        if items:
            self._waiting.append(Chunk(self._next, items, now))
            self._waiting_items += len(items)
            self._next += len(items)
            self.counts.pulled += len(items)

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
        self._waiting = deque(chunk for chunk in self._waiting if chunk.first < self.begun)
        self._waiting_items = sum(map(len, self._waiting))

    def resize(self, slots: int, lanes: int, *, shared: bool) -> None:
        """Learn that the workers have changed."""
        self.slots, self.lanes, self.shared = slots, lanes, shared

    def observe(self, report: Report | Returned, now: float = 0.0) -> Settled | None:
        """Take in what a worker said; return the attempts that have ended, None where none has."""
        if isinstance(report, Returned):
            self._take_back(report)
            return None
        settled = Settled(report, *self._out.match(report.indexes))
        self._learn(report)
        final: Settled | None = settled
        if report.failures and self.retry is not None and not self._stopped:
            final = self._to_rest(settled, self.retry, now)
        if final is not None:
            self._leave(final)
        return settled

    def _leave(self, settled: Settled) -> None:
        """Count what is finished, and let it leave when it is its turn."""
        counts = self.counts
        counts.settled += len(settled)
        for failure in settled.report.failures.values():
            match failure.kind:
                case "lost":
                    counts.lost += 1
                case "timed-out":
                    counts.timed_out += 1
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
        self._waiting.extendleft(reversed(risen))
        self._waiting_items += len(risen)
        self.counts.retries += len(risen)

    # Decisions: what to do.

    @property
    def finished(self) -> bool:
        """Say whether every item is settled and released, and no more will come."""
        return self._exhausted and not (
            self._waiting or self._out.chunks or self._releases or self._resting
        )

    def pause(self, now: float) -> float | None:
        """Say how many seconds there are until an item is to be tried again, None without one."""
        return max(0.0, self._resting[0][0] - now) if self._resting else None

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
        self.reading_held = False
        while not self.reading_held and (room := self._room()) > 0:
            if not self._waiting and not self._exhausted and self._within_window():
                yield Pull(room)
            if not self._waiting:
                break
            chunk = self._next_chunk(room)
            self._out.add(chunk)
            self.begun = max(self.begun, chunk.indexes.stop)
            self.counts.chunks += 1
            yield Start(chunk)
        yield from self._settle()

    def _settle(self) -> Iterator[Action]:
        """Yield what is to leave."""
        while self._releases:
            yield Settle(*self._releases.popleft())

    def _room(self) -> int:
        """Say how many items may go out now as one chunk, 0 for none."""
        slots = max(1, min(self.limit.current, self.slots))
        short = self._item_s is not None and self._item_s < AIM
        size = self._chunk_size()
        if not self.shared:
            return size if self._out.chunks < (slots * 2 if short else slots) else 0
        ahead = self._held() if short else 0
        out = self._out.items
        free = slots + ahead - out
        return min(size, free) if free >= size or out < slots else 0

    def _chunk_size(self) -> int:
        """Say how many items the next chunk should have."""
        if self.fixed_chunk is not None:
            return self.fixed_chunk
        if not self.shared:
            size = min(self._size, self._most())
        elif self._item_s is None:
            size = 1
        else:
            size = min(max(1, self._size * self.lanes // SHARE), MOST // SHARE)
        if self.total is not None:
            left = self.total - self._next + self._waiting_items
            size = min(size, max(1, left // (self.slots * SHARE)))
        return size

    def _within_window(self) -> bool:
        """Say whether reading on is allowed, with the first unreleased item still unfinished."""
        if not self.keep_order_window:
            return True
        return self._next - self.order.expected < max(EARLY, 4 * self._held())

    def _held(self) -> int:
        """Say how many items all workers together hold when each has one chunk for every lane."""
        return self.slots * min(self._size, self._most())

    def _most(self) -> int:
        """Say how many items one lane may have in a chunk."""
        return max(1, MOST // max(self.lanes, SHARE))

    def _next_chunk(self, size: int) -> Chunk:
        """Take the next chunk, of that size at most, from what waits."""
        chunk = self._waiting.popleft()
        if len(chunk) > size:
            rest = Chunk(chunk.first + size, chunk.items[size:], chunk.queued, chunk.attempt)
            self._waiting.appendleft(rest)
            chunk.items = chunk.items[:size]
        self._waiting_items -= len(chunk)
        chunk.divisible = self.fixed_chunk is None and self.slots > 1
        return chunk

    def _take_back(self, returned: Returned) -> None:
        """Let unstarted items wait again, before all others and in their order."""
        rest = self._out.take_rest(returned.indexes)
        runs = [rest] if rest is not None else self._take_each(returned)
        self._waiting.extendleft(reversed(runs))
        self._waiting_items += len(returned.indexes)

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

    def _learn(self, report: Report) -> None:
        """Adjust the size of the next chunk to what items take, and to what carrying them takes."""
        n, carried_s = len(report), 2 * report.carried_s  # the caller's half costs about the same
        if isinstance(report.indexes, range):
            item_s = (report.ended[-1] - report.started[0] + carried_s) / n
            if self.shared:  # one after another, they kept all lanes of the worker waiting
                item_s *= self.lanes
        else:
            item_s = (sum(report.ended) - sum(report.started) + carried_s * self.lanes) / n
        if report.failures and item_s <= 0:
            return  # lost, or never able to travel: they did not run
        self._item_s = item_s if self._item_s is None else (self._item_s + item_s) / 2
        wanted = AIM / self._item_s if self._item_s > 0 else MOST
        self._size = max(1, int(min(wanted, self._size * GROWTH, MOST)))
