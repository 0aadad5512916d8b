"""Credit: how much the workers may hold at once, and how large a chunk is.

Four ways, by what the workers are like; the dispatcher is handed one of them.

**By chunks**, where every lane takes chunks of its own. A lane is given chunks that are worth about
`AIM` seconds by the times measured so far, growing by at most `GROWTH` a step, never more than a small
share of what is left when that is known. It has a second chunk waiting only when items are so short that
the round trip for the next one would be felt. Every chunk that is out has an unfinished item, so as many
chunks as lanes can never leave a lane idle, whatever the sizes are.

**By items**, where the lanes of a worker take from one queue, item by item (an event loop): as many
items as there are lanes, and some more while items are short.

**One by one**, for calls that may wait for one another: whoever waits for the result of a short one must
not wait for the long one that happened to travel behind it.

**Ahead**, for workers that choose among what they have which goes first: as many as they may hold.

Pure. Tested by `tests/flow/test_credit.py`, and by the scenarios of `tests/flow/test_dispatch.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from outpace.flow.data import Report
from outpace.flow.outstanding import Outstanding

# bench/chunks.py sweeps these; what it showed was seen on two cores that others used as well.
# AIM: items of 10 us cost the same from 2 to 200 ms. Uneven ones, their number unknown, took 1.6 x the
# bound at 2 ms, 1.3 at 5, 1.1 at 20 and 1.06 at 50; but the memory that large items take grows with it.
# MOST: a lane alone has 1/SHARE of it; from 4,096 there up no-ops cost the same, and what is read ahead
# of a slow item doubles each time. GROWTH from 2 to 64 and SHARE from 1 to 16 made no difference above
# 3 %, so they are small enough to err little and large enough to matter.
AIM = 0.02  # seconds of work in a chunk
GROWTH = 4  # a chunk is at most this many times the last one
MOST = 16_384  # items that the lanes of a worker have together when each has one chunk
SHARE = 4  # a chunk is at most 1/SHARE of a lane's part of what is left, so that the tail is short

# bench/executor.py, two threads: 59 us a no-op without any in hand, 40 with 1, 31 with 4, 20 with 16;
# but what is in hand cannot be cancelled any more, so it is few, and only calls that are over at once.
IN_HAND = 4  # calls for each lane of this process that wait in the lanes' own queue
SHORT = 0.001  # seconds that a call may take for that


@dataclass(slots=True)
class Measured:
    """What reports have told of the items: the size that a chunk should have, and what an item takes."""

    size: int = 1
    item_s: float | None = None

    @property
    def is_short(self) -> bool:
        """Say whether items are known to be shorter than a chunk should be."""
        return self.item_s is not None and self.item_s < AIM

    def learn(self, report: Report, together: int, lanes: int) -> None:
        """Adjust to what items take, and to what carrying them takes.

        `together` items of a row kept `lanes` waiting: each of the row counts that many times.
        """
        n, carried_s = len(report), 2 * report.carried_s  # the caller's half costs about the same
        if isinstance(report.indexes, range):
            item_s = (report.ended[-1] - report.started[0] + carried_s) / n * together
        else:
            item_s = (sum(report.ended) - sum(report.started) + carried_s * lanes) / n
        if report.failures and item_s <= 0:
            return  # lost, or never able to travel: they did not run
        self.item_s = item_s if self.item_s is None else (self.item_s + item_s) / 2
        wanted = AIM / self.item_s if self.item_s > 0 else MOST
        self.size = max(1, int(min(wanted, self.size * GROWTH, MOST)))


@dataclass(slots=True)
class Credit(ABC):
    """How much the workers may hold: `lanes` in all of them, `of_worker` of these in each.

    `fixed` is the size that the user wants a chunk to have, if any.
    """

    lanes: int
    of_worker: int = 1
    fixed: int | None = None
    measured: Measured = field(default_factory=Measured)

    @abstractmethod
    def room(self, out: Outstanding, limit: int, left: int | None) -> int:
        """Say how many items may go out now as one chunk, 0 for none.

        `limit` is how many may be in flight; `left` how many are not out yet, if that is known.
        """

    def resized(self, lanes: int, of_worker: int, *, shared: bool) -> Credit:
        """Return the credit of workers that have changed, with all that was measured."""
        return credit_for(lanes, of_worker, self.fixed, self.measured, shared=shared)

    def learn(self, report: Report) -> None:
        """Adjust to what a report tells."""
        self.measured.learn(report, 1, self.of_worker)

    @property
    def held(self) -> int:
        """Say how many items all workers together hold when each has one chunk for every lane."""
        return self.lanes * min(self.measured.size, self._most)

    @property
    def is_divisible(self) -> bool:
        """Say whether who finds a chunk much too long may give back the rest."""
        return self.fixed is None and self.lanes > 1

    @property
    def _most(self) -> int:
        """Say how many items one lane may have in a chunk."""
        return max(1, MOST // max(self.of_worker, SHARE))

    def _fitted(self, size: int, left: int | None) -> int:
        """Return the size that a chunk gets which should have this one."""
        if self.fixed is not None:
            return self.fixed
        return size if left is None else min(size, max(1, left // (self.lanes * SHARE)))


@dataclass(slots=True)
class ByChunks(Credit):
    """Credit counted in chunks: one for each lane, and another while items are short."""

    def room(self, out: Outstanding, limit: int, left: int | None) -> int:
        """Say how many items may go out now as one chunk, 0 for none."""
        lanes = max(1, min(limit, self.lanes))
        if out.chunks >= (lanes * 2 if self.measured.is_short else lanes):
            return 0
        return self._fitted(min(self.measured.size, self._most), left)


@dataclass(slots=True)
class ByItems(Credit):
    """Credit counted in items: as many as there are lanes, and some more while they are short."""

    def room(self, out: Outstanding, limit: int, left: int | None) -> int:
        """Say how many items may go out now as one chunk, 0 for none."""
        lanes, size = max(1, min(limit, self.lanes)), 1
        if self.measured.item_s is not None:
            size = max(1, self.measured.size * self.of_worker // SHARE)
        size = self._fitted(min(size, MOST // SHARE), left)
        ahead = self.held if self.measured.is_short else 0
        free = lanes + ahead - out.items
        return min(size, free) if free >= size or out.items < lanes else 0

    def learn(self, report: Report) -> None:
        """Adjust to what a report tells: one after another, items kept all lanes of a worker waiting."""
        self.measured.learn(report, self.of_worker, self.of_worker)


@dataclass(slots=True)
class Ahead(Credit):
    """Credit for workers that choose among what they have: `hold` items, however many of them run.

    So a driver of requests finds one of a site that may be asked, when most are of one that may not.
    """

    hold: int = 1

    def room(self, out: Outstanding, limit: int, left: int | None) -> int:  # noqa: ARG002
        """Say how many items may go out now as one chunk, 0 for none."""
        free, size = self.hold - out.items, self._fitted(1, left)
        return min(size, free) if free >= size or not out.items else 0

    def resized(self, lanes: int, of_worker: int, *, shared: bool) -> Credit:  # noqa: ARG002
        """Return the credit of workers that have changed, with all that was measured."""
        return Ahead(lanes, of_worker, self.fixed, self.measured, self.hold)


@dataclass(slots=True)
class OneByOne(Credit):
    """Credit for single items, each for a lane that has nothing to do.

    Where the lanes take from one queue, any of them takes the next item, so a few that wait there keep
    nobody from anything: `in_hand` of them for each lane, while items are short.
    """

    in_hand: int = 0

    def room(self, out: Outstanding, limit: int, left: int | None) -> int:  # noqa: ARG002
        """Say whether one more item may go out."""
        item_s = self.measured.item_s
        short = item_s is not None and item_s < SHORT
        return int(out.items < max(1, min(limit, self.lanes)) * (1 + self.in_hand * short))

    def resized(self, lanes: int, of_worker: int, *, shared: bool) -> Credit:  # noqa: ARG002
        """Return the credit of workers that have changed, with all that was measured."""
        return OneByOne(lanes, of_worker, self.fixed, self.measured, self.in_hand)


def credit_for(
    lanes: int,
    of_worker: int = 1,
    fixed: int | None = None,
    measured: Measured | None = None,
    *,
    shared: bool = False,
) -> Credit:
    """Return the credit of workers: `shared` says that the lanes of each take from one queue."""
    return (ByItems if shared else ByChunks)(lanes, of_worker, fixed, measured or Measured())
