"""What the dispatcher decides: scenarios in virtual time, and what holds whatever happens."""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outpace.flow.credit import AIM, GROWTH, MOST, SHARE, ByItems, credit_for
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.dispatch import EARLY, Dispatcher, Pull, Settle, Start
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome, InOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def make(
    slots: int = 2,
    *,
    ordered: bool = True,
    lanes: int = 1,
    shared: bool = False,
    fixed_chunk: int | None = None,
    **settings: Any,
) -> Dispatcher:
    return Dispatcher(
        limit=Fixed(slots),
        order=InOrder() if ordered else AsTheyCome(),
        credit=credit_for(slots, lanes, fixed_chunk, shared=shared),
        keep_order_window=ordered,
        **settings,
    )


def reported(indexes: Sequence[int], began: float = 0.0, each: float = 1.0) -> Report:
    """Make the report of items that ran one after another; each item's value is its index."""
    edges = [began + n * each for n in range(len(indexes) + 1)]
    return Report(indexes, list(indexes), array("d", edges[:-1]), array("d", edges[1:]))


def lost(indexes: Sequence[int]) -> Report:
    """Make the report of items whose worker died."""
    now = array("d", [5.0]) * len(indexes)
    failure = Failure(RuntimeError("gone"), "lost")
    return Report(
        indexes, [None] * len(indexes), now, now, dict.fromkeys(range(len(indexes)), failure)
    )


# A world in virtual time: workers whose items take as long as a scenario says.


@dataclass
class World:
    """Be the workers and the clock of a run."""

    dispatcher: Dispatcher
    items: int
    takes: Callable[[int], float]
    now: float = 0.0
    pulled: int = 0
    released: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    most_out: int = 0
    idle_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        slots = self.dispatcher.credit.lanes
        self.lines: list[deque[Chunk]] = [deque() for _ in range(slots)]
        self.busy = [False] * slots
        self.shared: deque[tuple[int, Any]] = deque()
        self.events: list[tuple[float, int, Report]] = []
        self.idle_at = [0.0] * slots

    def run(self) -> World:
        """Let everything happen."""
        dispatcher = self.dispatcher
        while not dispatcher.finished:
            for action in dispatcher.decide():
                self.do(action)
            if self.events:
                self.now, slot, report = heapq.heappop(self.events)
                self.busy[slot] = False
                self.idle_at[slot] = self.now
                dispatcher.observe(report)
                self.go_on(slot)
        return self

    def do(self, action: Any) -> None:
        match action:
            case Pull(room):
                some = list(range(self.pulled, min(self.items, self.pulled + room)))
                self.pulled += len(some)
                self.dispatcher.admit(some, self.now)
                if len(some) < room:
                    self.dispatcher.exhaust()
            case Start(chunk):
                self.sizes.append(len(chunk))
                self.take(chunk)
                self.most_out = max(self.most_out, self.dispatcher.in_flight)
            case Settle(settled, positions):
                self.released += [settled.report.values[n] for n in positions]

    def take(self, chunk: Chunk) -> None:
        if isinstance(self.dispatcher.credit, ByItems):
            self.shared.extend(zip(chunk.indexes, chunk.items, strict=True))
            for slot in range(len(self.busy)):
                self.go_on(slot)
            return
        # As hosts do.
        slot = min(range(len(self.lines)), key=lambda n: len(self.lines[n]) + self.busy[n])
        self.lines[slot].append(chunk)
        self.go_on(slot)

    def go_on(self, slot: int) -> None:
        if self.busy[slot] or not (self.shared or self.lines[slot]):
            return
        if isinstance(self.dispatcher.credit, ByItems):
            index, _ = self.shared.popleft()
            indexes: Sequence[int] = [index]
        else:
            indexes = self.lines[slot].popleft().indexes
        edges = [self.now]
        for index in indexes:
            edges.append(edges[-1] + self.takes(index))
        report = Report(indexes, list(indexes), array("d", edges[:-1]), array("d", edges[1:]))
        self.busy[slot] = True
        heapq.heappush(self.events, (edges[-1], slot, report))


SKEWED = [0.05 if n % 50 == 7 else 0.001 for n in range(2_000)]

SCENARIOS = {
    # name: (slots, items, seconds of each, made with, makespan / lower bound at most)
    "even items": (2, 400, [0.01] * 400, {}, 1.02),
    "even items, number known": (2, 400, [0.01] * 400, {"total": 400}, 1.02),
    "one item in 50 takes 50 times as long": (2, 2_000, SKEWED, {"total": 2_000}, 1.05),
    "the same, number unknown": (2, 2_000, SKEWED, {}, 1.05),
    "the same, eight slots": (8, 2_000, SKEWED, {"total": 2_000}, 1.1),
    "the same, as they come": (2, 2_000, SKEWED, {"total": 2_000, "ordered": False}, 1.05),
    "the first item is the whole work": (2, 100, [10.0, *[0.01] * 99], {}, 1.01),
    "the last item is long": (2, 101, [*[0.1] * 100, 1.0], {"total": 101}, 1.2),
    "items grow": (4, 300, [0.0001 * 1.03**n for n in range(300)], {"total": 300}, 1.1),
    "items shrink": (4, 300, [0.0001 * 1.03 ** (299 - n) for n in range(300)], {}, 1.1),
    "no-ops": (2, 200_000, [1e-6] * 200_000, {"total": 200_000}, 1.02),
    "more slots than items": (64, 5, [0.2] * 5, {"total": 5}, 1.01),
    "one item": (2, 1, [0.5], {"total": 1}, 1.01),
    "an event loop": (100, 1_000, [0.5] * 1_000, {"shared": True, "lanes": 100}, 1.02),
    "two event loops": (100, 1_000, [0.5] * 1_000, {"shared": True, "lanes": 50}, 1.02),
    "a loop of no-ops": (100, 50_000, [1e-4] * 50_000, {"shared": True, "lanes": 100}, 1.05),
    "a chunk size of the user's": (2, 400, [0.01] * 400, {"fixed_chunk": 10}, 1.05),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_work_is_spread_so_that_it_ends_as_early_as_it_can(name: str) -> None:
    slots, items, seconds, made_with, at_most = SCENARIOS[name]
    world = World(make(slots, **made_with), items, seconds.__getitem__).run()
    bound = max(sum(seconds) / slots, *seconds)
    assert world.now <= bound * at_most
    assert sorted(world.released) == list(range(items))
    if made_with.get("ordered", True):
        assert world.released == sorted(world.released)


def test_nothing_is_asked_of_workers_when_there_are_no_items() -> None:
    world = World(make(), 0, lambda _: 1.0).run()
    assert (world.sizes, world.released, world.now) == ([], [], 0.0)


def test_the_first_chunks_are_single_items_since_nothing_is_known_yet() -> None:
    dispatcher = make(3)
    sizes = []
    for action in dispatcher.decide():
        if isinstance(action, Pull):
            dispatcher.admit(list(range(action.room)), 0.0)
        elif isinstance(action, Start):
            sizes.append(len(action.chunk))
    assert sizes == [1, 1, 1]


def test_chunks_grow_until_they_are_worth_about_the_aim() -> None:
    world = World(make(2), 100_000, lambda _: 1e-4).run()
    assert world.sizes[0] == 1
    assert all(after <= before * GROWTH for before, after in pairwise(world.sizes))
    assert max(world.sizes) == pytest.approx(AIM / 1e-4, rel=0.05)


def test_a_chunk_has_an_upper_bound_however_short_the_items_are() -> None:
    world = World(make(2), 500_000, lambda _: 1e-9).run()
    assert max(world.sizes) == MOST // SHARE


def test_long_items_travel_one_by_one_and_none_waits_behind_another() -> None:
    world = World(make(4), 40, lambda _: 1.0).run()
    assert set(world.sizes) == {1}
    assert world.most_out == 4


def test_chunks_shrink_towards_the_end_when_the_number_of_items_is_known() -> None:
    world = World(make(2, total=10_000), 10_000, lambda _: 1e-4).run()
    peak = world.sizes.index(max(world.sizes))
    assert world.sizes[-1] == 1
    left = 10_000
    for size in world.sizes:
        assert size <= max(1, left // (2 * SHARE))
        left -= size
    for before, after in pairwise(world.sizes[peak:]):
        assert after <= before + 1  # measured times round one way or the other


def test_a_total_that_is_wrong_does_no_harm() -> None:
    for wrong in (0, 1, 50, 1_000_000):
        world = World(make(2, total=wrong), 300, lambda _: 0.001).run()
        assert world.released == list(range(300))


def test_the_chunk_size_of_the_user_is_kept() -> None:
    world = World(make(2, fixed_chunk=7), 70, lambda _: 1e-6).run()
    assert set(world.sizes) == {7}


def test_a_slow_item_in_order_stops_the_reading_at_the_window_and_not_before() -> None:
    world = World(make(2), 10**9, lambda n: 1e9 if n == 0 else 0.1)
    for _ in range(20_000):
        for action in world.dispatcher.decide():
            world.do(action)
        if world.events[0][0] >= 1e9:
            break
        world.now, slot, report = heapq.heappop(world.events)
        world.busy[slot] = False
        world.dispatcher.observe(report)
        world.go_on(slot)
    assert EARLY <= world.pulled <= EARLY + 2
    assert world.released == []


def test_a_slow_item_stops_nothing_when_outcomes_leave_as_they_come() -> None:
    world = World(make(2, ordered=False), 5_000, lambda n: 1e4 if n == 0 else 0.1).run()
    assert world.released[-1] == 0
    assert world.now == pytest.approx(1e4)


def test_an_event_loop_is_given_as_many_items_as_it_has_lanes_when_they_take_long() -> None:
    world = World(make(100, shared=True, lanes=100), 1_000, lambda _: 1.0).run()
    assert world.most_out == 100


def test_work_goes_out_before_results_do() -> None:
    dispatcher = make(1)
    dispatcher.admit([0, 1], 0.0)
    (first,) = [a for a in dispatcher.decide() if isinstance(a, Start)]
    dispatcher.observe(reported(first.chunk.indexes))
    kinds = [type(action) for action in dispatcher.decide()]
    assert kinds == [Start, Settle]


def test_what_a_dead_worker_never_began_goes_out_again_before_anything_else() -> None:
    dispatcher = make(2, fixed_chunk=3)
    dispatcher.admit(list(range(12)), 0.0)
    chunks = [a.chunk for a in dispatcher.decide() if isinstance(a, Start)]
    assert [list(c.indexes) for c in chunks] == [[0, 1, 2], [3, 4, 5]]
    dispatcher.observe(lost(range(3)))
    dispatcher.observe(Returned(range(3, 6)))
    again = [a.chunk for a in dispatcher.decide() if isinstance(a, Start)]
    assert [list(c.indexes) for c in again] == [[3, 4, 5], [6, 7, 8]]
    assert [c.items for c in again] == [[3, 4, 5], [6, 7, 8]]
    assert dispatcher.counts.lost == 3


def test_items_that_never_ran_teach_nothing_about_how_long_items_take() -> None:
    dispatcher = make(2)
    dispatcher.admit([0, 1], 0.0)
    list(dispatcher.decide())
    dispatcher.observe(lost([0]))
    dispatcher.observe(lost([1]))
    dispatcher.admit(list(range(2, 30)), 0.0)
    sizes = [len(a.chunk) for a in dispatcher.decide() if isinstance(a, Start)]
    assert sizes == [1, 1]


def test_after_stop_only_what_is_out_comes_in() -> None:
    dispatcher = make(2)
    dispatcher.admit(list(range(10)), 0.0)
    list(dispatcher.decide())
    dispatcher.stop()
    assert not list(dispatcher.decide())
    dispatcher.observe(reported(range(1)))
    dispatcher.observe(reported(range(1, 2)))
    released = [a.settled.report.values[p] for a in dispatcher.decide() for p in a.positions]
    assert released == [0, 1]
    assert dispatcher.finished


def test_after_stop_an_item_that_comes_back_unstarted_goes_out_again() -> None:
    dispatcher = make(2)
    dispatcher.admit(list(range(10)), 0.0)
    list(dispatcher.decide())
    dispatcher.stop()
    dispatcher.observe(Returned([0]))
    dispatcher.observe(reported([1]))
    (again,) = [a.chunk for a in dispatcher.decide() if isinstance(a, Start)]
    assert again.indexes == range(1), "it had gone out, and without it there would be a gap"
    dispatcher.observe(reported([0]))
    released = [a.settled.report.values[p] for a in dispatcher.decide() for p in a.positions]
    assert released == [0, 1]
    assert dispatcher.finished


def test_after_stop_an_item_that_had_come_back_before_goes_out_again_too() -> None:
    dispatcher = make(3)
    dispatcher.admit(list(range(10)), 0.0)
    list(dispatcher.decide())
    dispatcher.observe(Returned([1]))
    dispatcher.stop()
    (again,) = [a.chunk for a in dispatcher.decide() if isinstance(a, Start)]
    assert again.indexes == range(1, 2)
    for index in (2, 0, 1):
        dispatcher.observe(reported([index]))
    assert not [a for a in dispatcher.decide() if isinstance(a, Start)]
    assert dispatcher.finished


def test_a_resize_is_heeded_at_once() -> None:
    dispatcher = make(1)
    dispatcher.admit(list(range(100)), 0.0)
    assert len([a for a in dispatcher.decide() if isinstance(a, Start)]) == 1
    dispatcher.limit = Fixed(8)
    dispatcher.credit = dispatcher.credit.resized(8, 8, shared=True)
    list(dispatcher.decide())
    assert dispatcher.in_flight == 8


# Whatever order things happen in.


class Watched:
    """Be a dispatcher under observation: what it was given, what it did, what must hold."""

    def __init__(self, dispatcher: Dispatcher, items: int) -> None:
        self.dispatcher = dispatcher
        self.items = items
        self.pulled = 0
        self.out: dict[int, int] = {}  # index -> how often it is out now
        self.chunks: list[list[int]] = []  # the unfinished indexes of each chunk that is out
        self.settled: list[int] = []
        self.released: list[int] = []
        self.begun = 0
        self.stopped = False

    def decide(self) -> None:
        for action in self.dispatcher.decide():
            match action:
                case Pull(room):
                    assert not self.stopped
                    assert room > 0
                    some = list(range(self.pulled, min(self.items, self.pulled + room)))
                    self.pulled += len(some)
                    self.dispatcher.admit([f"item {n}" for n in some], 0.0)
                    if len(some) < room:
                        self.dispatcher.exhaust()
                case Start(chunk):
                    self.start(chunk)
                case Settle(settled, positions):
                    for outcome in map(settled.outcome, positions):
                        assert outcome.item == f"item {outcome.index}"
                        assert outcome.value in (outcome.index, None)
                        self.released.append(outcome.index)

    def start(self, chunk: Chunk) -> None:
        assert not self.stopped or chunk.indexes.stop <= self.begun
        self.begun = max(self.begun, chunk.indexes.stop)
        assert chunk.items == [f"item {n}" for n in chunk.indexes]
        for index in chunk.indexes:
            assert index not in self.out, "an item is never out twice"
            assert index not in self.settled, "a settled item is never started again"
            self.out[index] = 1
        self.chunks.append(list(chunk.indexes))
        credit = self.dispatcher.credit
        if isinstance(credit, ByItems):
            # What goes beyond the lanes is bounded by what a worker may hold in all.
            assert len(self.out) <= credit.lanes + MOST * credit.lanes // credit.of_worker
        else:
            assert len(self.chunks) <= 2 * credit.lanes

    def take_out(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            del self.out[index]
            for chunk in self.chunks:
                if index in chunk:
                    chunk.remove(index)
        self.chunks = [chunk for chunk in self.chunks if chunk]

    def report(self, indexes: Sequence[int], each: float, *, dead: bool = False) -> None:
        self.take_out(indexes)
        self.settled += indexes
        self.dispatcher.observe(lost(indexes) if dead else reported(indexes, each=each))

    def give_back(self, indexes: Sequence[int]) -> None:
        self.take_out(indexes)
        self.dispatcher.observe(Returned(indexes))

    def stop(self) -> None:
        self.stopped = True
        self.dispatcher.stop()


def something_happens(data: st.DataObject, watched: Watched) -> None:
    """Let a part of a chunk that is out be reported, lost or returned, in any shape."""
    chunk = data.draw(st.sampled_from(watched.chunks), label="chunk")
    shape = data.draw(st.sampled_from(["whole", "first part", "any part", "scattered"]))
    cut = data.draw(st.integers(1, len(chunk)))
    some: Sequence[int] = chunk[: cut if shape == "first part" else None]
    if shape == "any part":
        some = data.draw(st.permutations(chunk))[:cut]
    elif shape == "scattered":
        everything = [n for c in watched.chunks for n in c]
        some = data.draw(st.permutations(everything))[:cut]
    elif some[-1] - some[0] == len(some) - 1 and data.draw(st.booleans()):
        some = range(some[0], some[-1] + 1)
    match data.draw(st.sampled_from(["report", "report", "report", "lost", "return"])):
        case "report":
            watched.report(some, data.draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.02, 5.0])))
        case "lost":
            watched.report(some, 0.0, dead=True)
        case "return":
            watched.give_back(some)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_item_is_settled_once_whatever_happens_in_whichever_order(
    data: st.DataObject,
) -> None:
    ordered, shared = data.draw(st.booleans(), "ordered"), data.draw(st.booleans(), "shared")
    slots = data.draw(st.integers(1, 4), "slots")
    items = data.draw(st.integers(0, 60), "items")
    dispatcher = make(
        slots,
        ordered=ordered,
        shared=shared,
        lanes=data.draw(st.sampled_from([1, slots])),
        total=data.draw(st.sampled_from([None, items, 2 * items])),
        fixed_chunk=data.draw(st.sampled_from([None, None, 1, 3, 100])),
    )
    watched = Watched(dispatcher, items)
    stop_at = data.draw(st.none() | st.integers(0, 20), "stop at")
    for step in range(600):
        if step == stop_at:
            watched.stop()
        watched.decide()
        if dispatcher.finished:
            break
        if step > 60:  # from here on without surprises
            watched.report(list(watched.chunks[0]), 1e-3)
        else:
            something_happens(data, watched)
        assert dispatcher.in_flight == len(watched.out)
    assert dispatcher.finished
    assert len(watched.settled) == len(set(watched.settled))
    assert sorted(watched.released) == sorted(watched.settled)
    assert dispatcher.counts.settled == len(watched.settled)
    if ordered:
        assert watched.released == sorted(watched.released)
    assert sorted(watched.settled) == list(range(watched.begun))
    if not watched.stopped:
        assert watched.begun == items


@settings(max_examples=30, deadline=None)
@given(
    data=st.data(),
    slots=st.integers(1, 3),
    each=st.sampled_from([1e-6, 1e-4, 1e-2]),
)
def test_with_the_first_item_unfinished_reading_stops_within_the_window(
    data: st.DataObject, slots: int, each: float
) -> None:
    dispatcher = make(slots + 1)
    pulled, waiting = 0, deque[Chunk]()
    for _ in range(3_000):
        for action in dispatcher.decide():
            match action:
                case Pull(room):
                    window = max(EARLY, 4 * dispatcher.credit.held)
                    assert pulled < window
                    pulled += room
                    dispatcher.admit(list(range(pulled - room, pulled)), 0.0)
                    assert pulled <= window + MOST
                case Start(chunk) if chunk.first == 0:
                    assert len(chunk) == 1
                case Start(chunk):
                    waiting.append(chunk)
                case Settle():
                    pytest.fail("nothing may leave before item 0")
        if not waiting:
            break
        waiting.rotate(data.draw(st.integers(0, 3)))
        dispatcher.observe(reported(waiting.popleft().indexes, each=each))
    assert not waiting
