"""The pool in virtual time: whatever workers do, every item has one end, and so has the pool."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.errors import SetupError, TransferError, UsageError, WorkerStartError
from outpace.flow.data import Chunk, Report
from outpace.flow.ending import HURRY
from outpace.flow.protocol import Care
from outpace.hosts.pool.pool import DYING, GONE, LAST_WORD
from outpace.hosts.pool.restart import IN_A_ROW, STARTS
from outpace.hosts.pool.shutdown import EXIT_PATIENCE
from outpace.hosts.pool.timeouts import ANSWER, ASKED

sys.path.insert(0, str(Path(__file__).parent))

from virtual import MOMENT, Deed, Habits, VirtualRun

DONE, DIES, HANGS, FAILS = Deed(), Deed(end="dies"), Deed(end="hangs"), Deed(end="fails")
SEVERS, STOPS = Deed(end="severs"), Deed(end="stops")


def run(deeds: list[Deed], **settings: Any) -> tuple[list[str], VirtualRun]:
    """Carry out items and close; return how each has ended, in order."""
    made = VirtualRun(deeds, **settings).open()
    kinds = made.run()
    made.close()
    assert made.world.is_closed
    assert all(link.is_closed for link in made.world.links)
    return [kinds.get(n, "never") for n in range(len(deeds))], made


# Deaths.


def test_items_that_succeed_are_reported_and_nobody_is_restarted() -> None:
    kinds, made = run([DONE] * 20, workers=3)
    assert kinds == ["done"] * 20
    assert len(made.world.links) == 3
    assert made.workers.usage.cpu_s == 3.0
    assert [link.killed_because for link in made.world.links] == [[]] * 3


@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_of_items_one_after_another_only_the_deadly_ones_are_lost(chunk: int) -> None:
    deeds = [DIES if n % 4 == 2 else DONE for n in range(20)]
    kinds, _ = run(deeds, chunk=chunk)
    assert kinds == ["lost" if n % 4 == 2 else "done" for n in range(20)]


@pytest.mark.parametrize("lanes", [2, 5])
def test_of_items_at_once_each_suspect_runs_alone_before_it_is_called_lost(lanes: int) -> None:
    deeds = [DIES if n == 7 else Deed(0.02) for n in range(30)]
    kinds, made = run(deeds, workers=1, lanes=lanes)
    assert kinds == ["lost" if n == 7 else "done" for n in range(30)]
    alone = [link for link in made.world.links if link.place.number >= 1]
    assert [link.place.lanes for link in alone] == [1] * len(alone)


def test_a_dead_worker_is_replaced_at_once() -> None:
    kinds, made = run([DIES, DONE, DONE, DONE], workers=1)
    assert kinds == ["lost", "done", "done", "done"]
    assert [link.place.number for link in made.world.links] == [0, 0]


def test_deaths_in_a_row_with_nothing_done_in_between_are_given_up() -> None:
    _, made = run([DIES] * 100)
    assert isinstance(made.given_up, WorkerStartError)
    assert f"{IN_A_ROW} in a row" in str(made.given_up)


def test_workers_that_never_start_are_given_up_soon() -> None:
    made = VirtualRun([DONE], habits=Habits(stillborn=set(range(100))))
    with pytest.raises(WorkerStartError, match=f"{STARTS} in a row"):
        made.open()
    made.close()
    assert len(made.world.links) <= 2 + STARTS


def test_one_that_does_not_start_is_replaced() -> None:
    kinds, made = run([DONE] * 5, habits=Habits(stillborn={0}))
    assert kinds == ["done"] * 5
    assert len(made.world.links) == 3


def test_with_max_crashes_the_others_go_on_and_there_is_less_room() -> None:
    made = VirtualRun([DIES, *[DONE] * 20], workers=3, care=Care(max_crashes=0)).open()
    assert made.workers.slots == 3
    kinds = made.run()
    assert list(kinds.values()).count("done") == 20
    assert made.workers.slots == 2
    made.close()


def test_the_last_worker_that_dies_as_often_as_it_may_ends_it() -> None:
    kinds, made = run([DIES, DONE] * 5, workers=1, care=Care(max_crashes=2))
    assert kinds[:4] == ["lost", "done"] * 2
    assert "as often as max_crashes= allows: it ended with exit code 3" in str(made.given_up)


def test_a_worker_whose_connection_ends_has_a_moment_to_die_and_is_killed() -> None:
    kinds, made = run([DONE, SEVERS, DONE], workers=1, chunk=1)
    assert kinds == ["done", "lost", "done"]
    severed = made.world.links[0]
    assert severed.killed_because == ["nothing more is heard of it"]
    assert made.world.now - 1000.0 >= DYING


def test_one_that_cannot_even_be_killed_is_given_up_all_the_same() -> None:
    habits = Habits(killed=1e12)
    made = VirtualRun([SEVERS, DONE], workers=1, habits=habits).open()
    assert made.run() == {0: "lost", 1: "done"}
    assert made.world.now - 1000.0 >= DYING + LAST_WORD
    assert made.close() < EXIT_PATIENCE


# Values that cannot travel.


def test_an_item_that_cannot_be_sent_costs_itself() -> None:
    deeds = [Deed(end="unsendable") if n == 4 else DONE for n in range(10)]
    kinds, made = run(deeds, chunk=5)
    assert kinds == ["failed" if n == 4 else "done" for n in range(10)]
    assert made.reported == Counter(range(10))


def test_an_item_that_cannot_be_read_costs_itself() -> None:
    deeds = [Deed(end="unreadable") if n == 4 else DONE for n in range(10)]
    kinds, _ = run(deeds, chunk=5)
    assert kinds == ["failed" if n == 4 else "done" for n in range(10)]


def test_its_error_says_what_it_was_and_what_to_do() -> None:
    made = VirtualRun([Deed(end="unsendable")]).open()
    made.workers.start(Chunk(0, made.deeds))
    (report,) = made.workers.reports(0.0)
    assert isinstance(report, Report)
    error = report.failures[0].error
    assert isinstance(error, TransferError)
    assert "the item, a Deed, cannot be sent to a worker process" in str(error)
    made.close()


# Shares.


@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_no_worker_carries_out_more_items_than_it_may(chunk: int) -> None:
    kinds, made = run([DONE] * 50, chunk=chunk, care=Care(max_items=7))
    assert kinds == ["done"] * 50
    assert max(link.items for link in made.world.links) <= 7
    assert len(made.world.links) <= 50 / 7 + 4


def test_its_successor_is_not_waited_for_inside_start() -> None:
    made = VirtualRun([DONE] * 3, workers=1, care=Care(max_items=1)).open()
    before = made.world.now
    made.workers.start(Chunk(0, made.deeds))
    assert made.world.now == before
    assert len(made.world.links) == 2  # it is on its way
    made.close()


def test_a_worker_that_has_grown_too_large_is_replaced_between_items() -> None:
    habits = Habits(weight=lambda items: 10 * items)
    kinds, made = run([DONE] * 20, workers=1, care=Care(max_memory=45), habits=habits)
    assert kinds == ["done"] * 20
    assert max(link.items for link in made.world.links) <= 7  # two chunks were out at that moment


def test_one_that_is_too_large_from_the_start_is_an_error() -> None:
    made = VirtualRun([DONE], care=Care(max_memory=5), habits=Habits(weight=lambda _: 10))
    with pytest.raises(UsageError, match="a fresh worker process takes"):
        made.open()
    made.close()


# Time.


def test_an_item_that_takes_too_long_costs_its_worker_and_nobody_else() -> None:
    kinds, made = run([DONE, HANGS, *[DONE] * 10], timeout=1.0)
    assert kinds == ["done", "timed-out", *["done"] * 10]
    assert sum(link.killed_because == ["it is late"] for link in made.world.links) == 1
    assert made.world.now - 1000.0 <= 2.0 + ASKED + 0.5


def test_one_that_does_not_die_of_being_killed_for_it_is_given_up_all_the_same() -> None:
    made = VirtualRun([HANGS, DONE], workers=1, timeout=1.0, habits=Habits(killed=1e12)).open()
    assert made.run() == {0: "timed-out", 1: "done"}
    assert made.world.now - 1000.0 >= 1.0 + GONE
    made.close()


def test_a_worker_that_is_stopped_between_two_items_is_killed_and_its_items_go_back() -> None:
    made = VirtualRun([], workers=1, timeout=1.0).open()
    made.workers.start(Chunk(0, [STOPS]))
    while not (news := made.workers.reports(None)):
        pass  # it looks, and waits
    (returned,) = news
    assert list(returned.indexes) == [0]
    assert made.world.links[0].killed_because == ["it stands still"]
    assert made.world.now - 1000.0 >= 1.0 + ANSWER
    made.close()


def test_a_setup_that_does_not_open_in_time_is_an_error() -> None:
    made = VirtualRun([DONE], setup=60.0, habits=Habits(starts=100.0))
    with pytest.raises(SetupError, match="setup has not opened within 60 s"):
        made.open()
    assert made.close() <= HURRY + EXIT_PATIENCE + 1


# Growing and shrinking.


def test_it_grows_while_it_runs() -> None:
    made = VirtualRun([Deed(1.0)] * 40, workers=1).open()
    made.run(stop_after=4)
    made.workers.resize(4)
    assert made.workers.slots == 4
    before = made.world.now
    made.run_rest()
    assert made.world.now - before <= 36 / 4 + 2
    made.close()
    assert {link.place.number for link in made.world.links} == {0, 1, 2, 3}


def test_it_shrinks_while_it_runs_and_interrupts_nobody() -> None:
    made = VirtualRun([Deed(1.0)] * 20, workers=4).open()
    made.run(stop_after=4)
    made.workers.resize(1)
    assert made.workers.slots == 1
    assert made.run_rest() == dict.fromkeys(range(20), "done")
    assert len(made.workers.processes()) == 1
    assert [link.killed_because for link in made.world.links] == [[]] * 4
    made.close()


# Endings.


def test_idle_workers_go_in_peace() -> None:
    made = VirtualRun([DONE] * 4, habits=Habits(exits=3.0)).open()
    made.run()
    assert made.close() == pytest.approx(3.0, abs=0.1)
    assert [link.killed_because for link in made.world.links] == [[]] * 2


def test_busy_workers_are_recalled_and_killed_when_they_do_not_come() -> None:
    made = VirtualRun([HANGS] * 2).open()
    made.start_all()
    assert made.close() == pytest.approx(HURRY, abs=0.1)
    assert [link.killed_because for link in made.world.links] == [["it is on an item"]] * 2


def test_a_setup_that_does_not_close_is_an_error_and_killed() -> None:
    made = VirtualRun([DONE], habits=Habits(exits=1e6)).open()
    made.run()
    before = made.world.now
    with pytest.raises(SetupError, match="longer than 10 s"):
        made.close()
    assert made.world.now - before == pytest.approx(EXIT_PATIENCE, abs=0.1)


def test_in_a_hurry_nobody_is_waited_for() -> None:
    made = VirtualRun([DONE], habits=Habits(exits=1e6)).open()
    made.run()
    assert made.close(hurry=True) < 2 * HURRY


def test_what_cannot_even_be_killed_does_not_keep_it_from_ending() -> None:
    made = VirtualRun([HANGS] * 2, habits=Habits(killed=1e12)).open()
    made.start_all()
    assert made.close() <= 2 * EXIT_PATIENCE + HURRY


# Whatever happens.

deeds = st.builds(
    Deed,
    st.sampled_from([0.001, 0.01, 0.1, 0.5]),
    st.sampled_from(
        ["done"] * 7 + ["fails", "dies", "hangs", "severs", "stops", "unsendable", "unreadable"]
    ),
)
ENDS = {
    "done": {"done"},
    "fails": {"failed"},
    "dies": {"lost"},
    "hangs": {"timed-out"},
    "stops": {"timed-out", "done"},  # it does nothing in the middle of a chunk
    "unsendable": {"failed"},
    "unreadable": {"failed"},
    "severs": {"lost", "done"},  # it was done, if its report was faster
}


@given(
    st.lists(deeds, max_size=40),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 7),
    st.sampled_from([None, 1, 5]),
    st.lists(st.integers(1, 5), max_size=3),
    st.booleans(),
)
def test_every_item_has_one_end_and_it_is_its_own(  # noqa: PLR0917 - what is drawn
    some: list[Deed],
    workers: int,
    lanes: int,
    chunk: int,
    max_items: int | None,
    sizes: list[int],
    hurry: bool,  # noqa: FBT001
) -> None:
    care = Care(max_items=max_items, max_crashes=10**9)
    made = VirtualRun(some, workers=workers, lanes=lanes, chunk=chunk, timeout=1.0, care=care)
    made.open()
    for part, size in enumerate(sizes, start=1):
        made.run(stop_after=part * len(some) // (len(sizes) + 1))
        made.workers.resize(size)
    kinds = made.run_rest()
    assert made.given_up is None
    assert made.reported == Counter(range(len(some)))
    for index, deed in enumerate(some):
        # What took all of its worker along, nobody can tell from what ran beside it.
        blamed_with = {"lost"} if any(d.end == "severs" for d in some) else set()
        if lanes > 1 and any(d.end == "stops" for d in some):
            blamed_with.add("timed-out")
        assert kinds[index] in ENDS[deed.end] | blamed_with, (index, deed)
    deadly = sum(deed.end in ("dies", "hangs", "severs", "stops") for deed in some)
    # Every second death settles an item at least, which then runs alone at most once.
    restarts = (3 * len(some) + 1 if deadly else 0) + (0 if max_items is None else 2 * len(some))
    assert len(made.world.links) <= workers + sum(sizes) + restarts
    assert made.close(hurry=hurry) <= HURRY + 2 * EXIT_PATIENCE
    assert all(link.is_closed for link in made.world.links)
    assert not made.world.alive


@given(
    st.lists(deeds, min_size=1, max_size=30),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.1, 1e12]),
    st.sampled_from([0.001, 1e12]),
    st.booleans(),
)
def test_it_can_be_closed_at_any_time_and_ends_soon(  # noqa: PLR0917 - what is drawn
    some: list[Deed],
    workers: int,
    lanes: int,
    after: int,
    recalled: float,
    killed: float,
    hurry: bool,  # noqa: FBT001
) -> None:
    habits = Habits(recalled=recalled, killed=killed)
    made = VirtualRun(some, workers=workers, lanes=lanes, timeout=1.0, habits=habits).open()
    made.run(stop_after=min(after, len(some)) - 1)
    before = made.world.now
    try:
        made.close(hurry=hurry)
    except SetupError:
        assert killed > 1
    assert made.world.now - before <= HURRY + 2 * EXIT_PATIENCE + MOMENT
    assert max(made.reported.values(), default=0) <= 1
    assert all(link.is_closed for link in made.world.links)
    if killed < 1:
        assert not made.world.alive
