"""What the dispatcher makes of failures that are to be tried again: scenarios in virtual time."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outpace.flow.credit import credit_for
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.dispatch import Dispatcher, Pull, Settle, Start
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome, InOrder
from outpace.flow.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Sequence


def make(
    retry: Retry | None,
    slots: int = 2,
    *,
    ordered: bool = True,
    lanes: int = 1,
    shared: bool = False,
    fixed_chunk: int | None = None,
    **more: Any,
) -> Dispatcher:
    return Dispatcher(
        limit=Fixed(slots),
        order=InOrder() if ordered else AsTheyCome(),
        credit=credit_for(slots, lanes, fixed_chunk, shared=shared),
        keep_order_window=ordered,
        retry=retry,
        dice=lambda: 1.0,
        **more,
    )


def report(indexes: Sequence[int], bad: Sequence[int] = (), kind: Any = "failed") -> Report:
    """Make the report of items of which some failed."""
    ended = array("d", [1.0]) * len(indexes)
    failures = {n: Failure(OSError(i), kind) for n, i in enumerate(indexes) if i in bad}
    values = [None if i in bad else i for i in indexes]
    return Report(indexes, values, ended, ended, failures)


def go(dispatcher: Dispatcher, now: float = 0.0) -> tuple[list[Chunk], list[Any]]:
    """Carry out what is decided, with no items to read; return what starts and what leaves."""
    started, left = [], []
    for action in dispatcher.decide(now):
        match action:
            case Start(chunk):
                started.append(chunk)
            case Settle(settled, positions):
                left += [settled.outcome(position) for position in positions]
            case Pull():
                dispatcher.exhaust()
    return started, left


def with_items(count: int, retry: Retry | None, **more: Any) -> tuple[Dispatcher, list[Chunk]]:
    dispatcher = make(retry, fixed_chunk=1, **more)
    dispatcher.admit(list("abcdefghij"[:count]), 0.0)
    started, _ = go(dispatcher)
    return dispatcher, started


def test_an_item_that_failed_waits_its_pause_and_goes_out_again() -> None:
    dispatcher, _ = with_items(1, Retry(times=2, wait=4.0))
    dispatcher.observe(report([0], bad=[0]), 10.0)
    assert go(dispatcher, 10.0) == ([], [])
    assert not dispatcher.finished
    assert not dispatcher.awaits_reports
    assert dispatcher.pause(11.0) == 3.0
    assert go(dispatcher, 13.9) == ([], [])
    ((chunk,), left) = go(dispatcher, 14.0)
    assert (chunk.first, chunk.items, chunk.attempt, left) == (0, ["a"], 2, [])
    assert dispatcher.pause(14.0) is None
    dispatcher.observe(report([0]), 15.0)
    (_, (outcome,)) = go(dispatcher, 15.0)
    assert (outcome.kind, outcome.value, outcome.attempts) == ("done", 0, 2)
    assert dispatcher.finished
    assert (dispatcher.counts.retries, dispatcher.counts.failed) == (1, 0)


def test_after_its_last_attempt_a_failure_is_final() -> None:
    dispatcher, _ = with_items(1, Retry(times=2, wait=1.0))
    now = 0.0
    for attempt in (1, 2):
        dispatcher.observe(report([0], bad=[0]), now)
        now += 10.0
        ((chunk,), _) = go(dispatcher, now)
        assert chunk.attempt == attempt + 1
    dispatcher.observe(report([0], bad=[0]), now)
    (_, (outcome,)) = go(dispatcher, now)
    assert (outcome.kind, outcome.attempts) == ("failed", 3)
    assert dispatcher.finished
    assert (dispatcher.counts.retries, dispatcher.counts.failed) == (2, 1)


@pytest.mark.parametrize("kind", ["failed", "timed-out", "lost"])
def test_every_kind_of_failure_is_tried_again_but_a_cancelled_one(kind: str) -> None:
    for what, again in ((kind, True), ("cancelled", False)):
        dispatcher, _ = with_items(1, Retry(wait=0.0))
        dispatcher.observe(report([0], bad=[0], kind=what), 1.0)
        started, left = go(dispatcher, 1.0)
        assert (len(started), len(left)) == ((1, 0) if again else (0, 1))


def test_of_a_chunk_only_what_failed_stays_behind() -> None:
    dispatcher = make(Retry(wait=5.0), slots=1, ordered=False, fixed_chunk=4)
    dispatcher.admit(list("abcd"), 0.0)
    go(dispatcher)
    dispatcher.observe(report(range(4), bad=[1, 2]), 1.0)
    _, left = go(dispatcher, 1.0)
    assert [o.index for o in left] == [0, 3]
    assert all(o.ok for o in left)
    started, _ = go(dispatcher, 6.0)
    assert started[0].first == 1


def test_in_order_whoever_comes_after_waits_for_the_last_attempt() -> None:
    dispatcher, _ = with_items(2, Retry(wait=3.0))
    dispatcher.observe(report([0], bad=[0]), 1.0)
    dispatcher.observe(report([1]), 1.0)
    assert go(dispatcher, 1.0)[1] == []
    go(dispatcher, 4.0)
    dispatcher.observe(report([0]), 5.0)
    assert [o.index for o in go(dispatcher, 5.0)[1]] == [0, 1]


def test_what_is_tried_again_goes_before_what_has_not_begun() -> None:
    dispatcher = make(Retry(wait=1.0), slots=1, fixed_chunk=1)
    dispatcher.admit(list("abc"), 0.0)
    go(dispatcher)
    dispatcher.observe(report([0], bad=[0]), 0.0)
    started, _ = go(dispatcher, 0.5)
    assert [chunk.first for chunk in started] == [1]  # meanwhile another
    dispatcher.observe(report([1]), 1.0)
    started, _ = go(dispatcher, 1.0)
    assert (started[0].first, started[0].attempt) == (0, 2)


def test_the_first_to_be_due_goes_first() -> None:
    dispatcher = make(
        Retry(times=5, wait=lambda _, error: error.args[0] * -1.0 + 5.0), slots=3, fixed_chunk=1
    )
    dispatcher.admit(list("abc"), 0.0)
    go(dispatcher)
    for index in range(3):
        dispatcher.observe(report([index], bad=[index]), 0.0)
    assert dispatcher.pause(0.0) == 3.0
    assert [chunk.first for chunk in go(dispatcher, 3.0)[0]] == [2]
    assert [chunk.first for chunk in go(dispatcher, 4.0)[0]] == [1]
    assert [chunk.first for chunk in go(dispatcher, 5.0)[0]] == [0]


def test_an_item_that_comes_back_unstarted_has_had_no_attempt() -> None:
    dispatcher, _ = with_items(1, Retry(times=1, wait=0.0))
    for _ in range(5):
        dispatcher.observe(Returned([0]), 0.0)
        ((chunk,), _) = go(dispatcher, 0.0)
        assert chunk.attempt == 1
    dispatcher.observe(report([0], bad=[0]), 0.0)
    ((chunk,), _) = go(dispatcher, 0.0)
    assert chunk.attempt == 2
    dispatcher.observe(Returned([0]), 0.0)
    ((chunk,), _) = go(dispatcher, 0.0)
    assert chunk.attempt == 2  # and none is forgotten, either


def test_stop_settles_what_was_to_be_tried_again_with_its_last_failure() -> None:
    dispatcher, _ = with_items(2, Retry(wait=100.0))
    dispatcher.observe(report([0], bad=[0]), 0.0)
    dispatcher.stop()
    dispatcher.observe(report([1], bad=[1]), 1.0)
    started, left = go(dispatcher, 1.0)
    assert started == []
    assert [(o.index, o.kind, o.attempts) for o in left] == [(0, "failed", 1), (1, "failed", 1)]
    assert dispatcher.finished


def test_without_a_retry_nothing_is_tried_again() -> None:
    dispatcher, _ = with_items(1, None)
    dispatcher.observe(report([0], bad=[0]), 0.0)
    assert [o.kind for o in go(dispatcher)[1]] == ["failed"]


class Watched:
    """Be a dispatcher under observation, and the virtual time that it lives in."""

    def __init__(self, dispatcher: Dispatcher, items: int, times: int) -> None:
        self.dispatcher, self.times = dispatcher, times
        self.unread = list(range(items))
        self.out: list[Chunk] = []
        self.attempts: Counter[int] = Counter()
        self.settled: list[Any] = []
        self.now, self.stopped = 0.0, False

    def decide(self) -> None:
        for action in self.dispatcher.decide(self.now):
            match action:
                case Pull(room):
                    assert not self.stopped
                    some, self.unread = self.unread[:room], self.unread[room:]
                    self.dispatcher.admit(some, self.now)
                    if len(some) < room:
                        self.dispatcher.exhaust()
                case Start(chunk):
                    self.start(chunk)
                case Settle(release, positions):
                    self.settled += [release.outcome(position) for position in positions]

    def start(self, chunk: Chunk) -> None:
        for index in chunk.indexes:
            assert not any(index in other.indexes for other in self.out)
            assert chunk.attempt == self.attempts[index] + 1
            assert chunk.attempt <= self.times + 1
            assert not self.stopped or index < self.dispatcher.begun
        self.out.append(chunk)

    def something_happens(self, data: st.DataObject, *, surprises: bool) -> None:
        """Let time pass, or a chunk be reported or given back."""
        if not self.out:
            pause = self.dispatcher.pause(self.now)
            assert pause is not None, "nothing is out and nothing is awaited"
            self.now += pause
            return
        self.now += data.draw(st.sampled_from([0.0, 0.1, 3.0]), "passes")
        chunk = self.out.pop(data.draw(st.integers(0, len(self.out) - 1), "which"))
        if surprises and data.draw(st.integers(0, 5), "given back") == 0:
            self.dispatcher.observe(Returned(chunk.indexes), self.now)
            return
        bad = [n for n in chunk.indexes if data.draw(st.booleans(), f"{n} fails")]
        self.attempts.update(chunk.indexes)
        self.dispatcher.observe(report(chunk.indexes, bad=bad), self.now)

    def check_the_end(self) -> None:
        """Check what has come out, and how often it was tried."""
        for outcome in self.settled:
            assert outcome.attempts == self.attempts[outcome.index] <= self.times + 1
            assert outcome.ok or self.stopped or outcome.attempts == self.times + 1
        counts, attempts = self.dispatcher.counts, self.attempts
        assert counts.retries == sum(attempts.values()) - len(attempts)
        assert counts.bad == sum(not o.ok for o in self.settled)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_fails_however_often_no_item_is_attempted_more_than_it_may_be(
    data: st.DataObject,
) -> None:
    items, times = data.draw(st.integers(1, 30), "items"), data.draw(st.integers(1, 4), "times")
    slots = data.draw(st.integers(1, 4), "slots")
    ordered, shared = data.draw(st.booleans(), "ordered"), data.draw(st.booleans(), "shared")
    stop_at = data.draw(st.none() | st.integers(0, 40), "stop at")
    dispatcher = make(
        Retry(times=times, wait=1.0),
        slots,
        ordered=ordered,
        shared=shared,
        lanes=slots if shared else 1,
        fixed_chunk=data.draw(st.sampled_from([None, 1, 5]), "chunk"),
    )
    watched = Watched(dispatcher, items, times)
    for step in range(3000):
        if step == stop_at:
            dispatcher.stop()
            watched.stopped = True
        watched.decide()
        if dispatcher.finished:
            break
        watched.something_happens(data, surprises=step < 200)
    assert dispatcher.finished
    indexes = [o.index for o in watched.settled]
    assert sorted(indexes) == list(range(len(indexes)))
    assert watched.stopped or len(indexes) == items
    if ordered:
        assert indexes == sorted(indexes)
    watched.check_the_end()
