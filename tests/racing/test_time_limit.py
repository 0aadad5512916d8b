"""A race ends when its budget is spent or somebody interrupts it, also in the middle of an item."""

import asyncio
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest

import outpace
from outpace.flow.signals import Terminated
from outpace.racing import controls, plan, runner

pytestmark = pytest.mark.skipif(os.name != "posix", reason="breaks in by a signal; needs POSIX")

BUDGET = 1.0
LONG = 8.0  # for those that have workers to start, on a busy machine
SLACK = 10.0  # seconds beyond it, on a busy machine


@pytest.fixture(autouse=True)
def _no_controls(monkeypatch) -> None:
    measured = controls.Controls({"threads": 1.0, "processes": 2.0}, {"threads": 20.0})
    monkeypatch.setattr(runner, "measure_controls", lambda: measured)


@pytest.fixture
def never():
    """Give an event that comes when the test is over, so that no thread is left waiting for it."""
    event = threading.Event()
    yield event
    event.set()


def sleeps(n: int) -> int:
    if n == 3:
        time.sleep(1000)
    return n


def computes(n: int) -> int:
    while n == 3:
        pass
    return n


def swallows(n: int) -> int:
    for _ in range(2 if n == 3 else 0):
        try:
            time.sleep(1000)
        except BaseException:  # noqa: BLE001 - as some people do
            continue
    if n == 3:
        time.sleep(1000)
    return n


async def awaits(n: int) -> int:
    await asyncio.sleep(1000 if n == 3 else 0)
    return n


@pytest.mark.slow
@pytest.mark.parametrize("fn", [sleeps, computes, awaits, swallows])
def test_the_budget_ends_serial_inside_an_item_and_names_it(fn) -> None:
    began = time.monotonic()
    race = outpace.race(fn, range(6), models=["serial"], budget=BUDGET)
    serial = race.entrant("serial")

    assert time.monotonic() - began < BUDGET + SLACK
    assert serial.status == "stopped"
    assert serial.done == 3
    assert serial.hanging_item == 3
    assert "with 3 of 6 items done: item 3 (3) had been running for" in serial.reason
    assert serial.makespan_s is None  # there is nothing to go by
    assert "item 3 did not end" in str(race.recommendation)
    assert str(race).count("item 3 (3)") == 1


@pytest.mark.slow
@pytest.mark.parametrize("model", ["threads", "asyncio"])
def test_the_others_run_for_as_long_as_there_is_and_name_it_too(never, model) -> None:
    def waits(n: int) -> int:
        if n == 3:
            never.wait()
        return n

    race = outpace.race(waits, range(6), models=[model], budget=LONG, workers=2)

    assert [entrant.hanging_item for entrant in race.entrants] == [3, 3]
    assert race.entrant(model).done <= {"threads": 5, "asyncio": 3}[model]
    assert ("goes on in its thread" in race.entrant(model).reason) is (model == "threads")


@pytest.mark.slow
def test_worker_processes_that_hang_are_stopped(never) -> None:
    caller = os.getpid()

    def hangs_elsewhere(n: int) -> int:
        while n == 3 and os.getpid() != caller:
            time.sleep(0.01)
        return n

    race = outpace.race(hangs_elsewhere, range(6), models=["processes"], budget=10.0)

    assert race.entrant("serial").status == "ran"
    assert race.entrant("processes").hanging_item == 3
    assert race.recommendation.model == "serial"


@pytest.mark.slow
def test_a_race_in_another_thread_ends_as_well(never) -> None:
    def waits(n: int) -> int:
        if n == 3:
            never.wait()
        return n

    races = []

    def run() -> None:
        races.append(outpace.race(waits, range(6), models=["asyncio"], budget=LONG))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LONG + SLACK)

    assert [entrant.hanging_item for entrant in races[0].entrants] == [3, 3]


@pytest.mark.slow
def test_a_setup_that_never_opens_is_stopped_as_well(never) -> None:
    @contextmanager
    def setup():
        never.wait()
        yield 1

    race = outpace.race(lambda n, _: n, range(3), models=["threads"], setup=setup, budget=BUDGET)

    assert {e.status for e in race.entrants} == {"stopped"}
    assert "before its workers were ready" in race.entrant("serial").reason
    str(race)


@pytest.mark.slow
def test_what_is_stopped_between_two_items_hangs_in_none() -> None:
    race = outpace.race(
        lambda _: time.sleep(0.02), range(10_000), models=["serial"], budget=2 * BUDGET
    )

    assert race.entrant("serial").hanging_item is None
    assert "all would have taken about" in race.entrant("serial").reason


def test_the_signal_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGURG)
    outpace.race(sleeps, range(6), models=["serial"], budget=0.2)
    assert signal.getsignal(signal.SIGURG) is before


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_an_interrupt_in_the_middle_of_serial_has_the_race_so_far(number, error) -> None:
    def interrupted(n: int) -> int:
        if n == 3:
            time.sleep(0.1)
            signal.raise_signal(number)
        time.sleep(0.06)  # each is a report of its own
        return n

    with pytest.raises(error) as caught:
        outpace.race(interrupted, range(6), models=["threads"])
    race = caught.value.race

    assert race.entrant("serial").status == "stopped"
    assert "3 of 6 items done" in race.entrant("serial").reason
    assert race.entrant("threads").reason == "the race was interrupted before it had run"
    assert "the race was interrupted" in str(race)


def test_sigterm_in_a_setup_is_no_failure_of_the_setup() -> None:
    @contextmanager
    def setup():
        signal.raise_signal(signal.SIGTERM)
        yield

    with pytest.raises(Terminated):
        list(outpace.map(lambda n, _: n, range(3), model="serial", setup=setup))


def test_an_interrupt_in_a_later_round_leaves_what_there_was_whole(monkeypatch) -> None:
    def interrupted(n: int) -> int:
        calls.append(n)
        if len(calls) == 5:  # the first of the second model
            signal.raise_signal(signal.SIGTERM)
        return n

    calls: list[int] = []
    with pytest.raises(Terminated) as caught:
        outpace.race(interrupted, range(4), models=["asyncio"])

    assert caught.value.race.entrant("serial").status == "ran"
    assert caught.value.race.entrant("serial").results == "same"


@pytest.mark.parametrize(
    ("inside", "ran", "done_s", "done", "expected"),
    [
        (5.0, 5.0, 0.0, 0, True),  # nothing has ever ended
        (5.0, 5.1, 0.1, 3, True),
        (0.02, 5.0, 4.9, 250, False),  # an item like any other
        (8.0, 18.0, 10.0, 1, False),
        (0.4, 60.0, 59.0, 600, False),  # longer than others, but nothing that anybody waited for
    ],
)
def test_an_item_hangs_that_takes_far_longer_than_the_others(
    inside, ran, done_s, done, expected
) -> None:
    assert plan.hangs(inside, ran, done_s, done) is expected


def test_where_serial_hung_what_is_left_is_shared_among_the_others() -> None:
    assert plan.allowed_s(60.0, 40.0, hanging=5) == 8.0
    assert plan.allowed_s(6.0, 4.0, hanging=40) == 1.0  # less would not start a process
    assert plan.allowed_s(6.0, 0.5, hanging=40) == 0.5
