"""How often a worker is replaced."""

from __future__ import annotations

import os
from typing import Any

import pytest

import outpace
from outpace.errors import UsageError, WorkerStartError
from outpace.hosts.pool.restart import IN_A_ROW, STARTS, RestartPolicy

posix = pytest.mark.skipif(os.name != "posix", reason="workers that end themselves; needs POSIX")


def die(policy: RestartPolicy, number: int = 0, exitcode: int = 1, *, ready: bool = True) -> bool:
    return policy.died(number, exitcode, ready=ready)


def test_a_worker_is_replaced_as_often_as_it_takes_while_items_succeed() -> None:
    policy = RestartPolicy(None)
    for _ in range(10 * IN_A_ROW):
        assert die(policy)
        policy.something_ended_well()


def test_deaths_with_nothing_done_in_between_are_given_up_at_some_time() -> None:
    policy = RestartPolicy(None)
    for _ in range(IN_A_ROW - 1):
        assert die(policy)
    with pytest.raises(WorkerStartError, match=r"20 in a row.*ended with exit code 1.*max_crashes"):
        die(policy)


def test_a_number_of_crashes_is_one_for_each_place() -> None:
    policy = RestartPolicy(2)
    assert [die(policy, 0) for _ in range(4)] == [True, True, False, False]
    assert die(policy, 1)


def test_none_at_all_is_a_number_too() -> None:
    assert not die(RestartPolicy(0))


def test_workers_that_never_become_ready_are_given_up_soon() -> None:
    policy = RestartPolicy(None)
    for _ in range(STARTS - 1):
        assert die(policy, ready=False)
    with pytest.raises(WorkerStartError, match=r"do not start.*3 in a row.*before they were ready"):
        die(policy, ready=False)


def test_one_that_becomes_ready_shows_that_they_can() -> None:
    policy = RestartPolicy(None)
    for _ in range(5):
        die(policy, ready=False)
        policy.somebody_is_ready()


# In a run.


def deadly(item: int) -> int:
    if item % 3 == 0:
        os._exit(5)
    return item


@posix
def test_a_run_of_many_deaths_goes_on_while_items_succeed() -> None:
    outcomes = list(outpace.run(deadly, range(60), model="processes", workers=2, chunk=1))
    assert [o.kind for o in outcomes] == ["lost" if n % 3 == 0 else "done" for n in range(60)]


@posix
def test_max_crashes_ends_it_in_one_clear_error() -> None:
    run = outpace.run(deadly, range(60), model="processes", workers=1, chunk=1, max_crashes=2)
    got: list[Any] = []
    with pytest.raises(WorkerStartError, match=r"as often as max_crashes= allows.*exit code 5"):
        got.extend(run)
    assert [o.kind for o in got] == ["lost", "done", "done", "lost", "done", "done", "lost"][
        : len(got)
    ]
    assert len(got) >= 4


@posix
def test_with_max_crashes_the_workers_that_are_left_go_on() -> None:
    def first_dies(item: int) -> int:
        if item == 0:
            os._exit(5)
        return item

    run = outpace.run(first_dies, range(30), model="processes", workers=2, chunk=1, max_crashes=0)
    assert [o.kind for o in run] == ["lost"] + ["done"] * 29


@pytest.mark.parametrize("wrong", [-1, 1.5, "2", True])
def test_a_wrong_number_is_said_at_once(wrong: Any) -> None:
    with pytest.raises(UsageError, match="max_crashes must be a whole number"):
        outpace.map(abs, [1], model="processes", max_crashes=wrong)
