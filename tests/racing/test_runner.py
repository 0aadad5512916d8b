"""Whole races, small and real."""

import json
import time

import pytest

import outpace
from outpace.errors import UsageError, UsageTypeError
from outpace.racing import controls, runner


@pytest.fixture(autouse=True)
def _no_controls(monkeypatch) -> None:
    """Leave the controls out: they take a second, and have a test of their own."""
    measured = controls.Controls({"threads": 1.0, "processes": 2.0}, {"threads": 20.0})
    monkeypatch.setattr(runner, "measure_controls", lambda: measured)


def pause(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def apause(seconds: float) -> float:
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


def fail_on_three(n: int) -> int:
    if n == 3:
        raise ValueError("three")
    return n


@pytest.mark.slow
def test_every_model_of_the_registry_is_a_row_with_the_same_results() -> None:
    # Long against a busy machine's delays.
    race = outpace.race([pause, apause], [0.1] * 12, repeat=1)

    assert [e.model for e in race.entrants] == [m.name for m in outpace.models()]
    assert {e.results for e in race.entrants} == {"same"}
    assert {e.status for e in race.entrants} == {"ran"}
    assert race.entrant("asyncio").function == "apause"
    assert race.entrant("processes+asyncio").function == "apause"
    assert race.entrant("threads").function == "pause"
    assert race.entrant("threads").speedup > 3


@pytest.mark.slow
def test_entrants_take_turns_over_the_rounds(monkeypatch) -> None:
    order = []
    real = runner.run_trial

    def spy(job, opening, *rest):
        order.append(opening.model)
        return real(job, opening, *rest)

    monkeypatch.setattr(runner, "run_trial", spy)
    outpace.race(pause, [0.001] * 4, models=["threads", "asyncio"], repeat=3)

    assert order[:3] == ["serial", "threads", "asyncio"]
    assert order[3:6] == ["asyncio", "threads", "serial"]
    assert len(order) == 9


@pytest.mark.slow
def test_items_that_fail_fail_alike_and_are_told() -> None:
    race = outpace.race(fail_on_three, range(6), models=["threads", "processes"])

    assert {e.results for e in race.entrants} == {"same"}
    assert {e.failed for e in race.entrants} == {1}
    assert any("item 3 (3): ValueError: three" in note for note in race.notes)


@pytest.mark.slow
def test_work_that_is_not_repeatable_is_called_that_and_not_wrong() -> None:
    race = outpace.race(lambda _: time.perf_counter_ns(), range(4), models=["threads"])

    assert {e.results for e in race.entrants} == {"not-repeatable"}


@pytest.mark.slow
def test_results_that_differ_under_one_model_are_found() -> None:
    async def wrong(n: int) -> int:
        return n + (n == 2)

    race = outpace.race([fail_on_three, wrong], range(3), models=["threads", "asyncio"])

    assert race.entrant("asyncio").results == "different"
    assert "item 2" in race.entrant("asyncio").reason
    assert race.entrant("threads").results == "same"


@pytest.mark.slow
def test_a_hopeless_entrant_is_stopped_and_extrapolated(monkeypatch) -> None:
    monkeypatch.setattr(runner.plan, "HOPELESS_S", 1.0)

    async def slow(n: float) -> float:
        time.sleep(0.05)  # noqa: ASYNC251 - blocks the loop, every time
        return n

    race = outpace.race([lambda n: n, slow], [float(n) for n in range(200)], models=["asyncio"])
    stopped = race.entrant("asyncio")

    assert stopped.status == "stopped"
    assert stopped.makespan_s.trials == 0
    assert 5 < stopped.makespan_s.median < 40
    assert stopped.results == "same"  # as far as it got
    assert 0 < stopped.done < 200
    assert "all would have taken about" in stopped.reason


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1e300, float("inf"), 10**400], ids=["1e300", "inf", "10**400"])
def test_a_budget_longer_than_anybody_can_wait_is_none(budget) -> None:
    race = outpace.race(pause, [0.001] * 2, models=["threads"], repeat=1, budget=budget)
    assert [e.status for e in race.entrants] == ["ran", "ran"]


@pytest.mark.slow
def test_serial_itself_is_stopped_by_the_budget(monkeypatch) -> None:
    monkeypatch.setattr(runner, "clock", lambda: 0.0)  # what is between the trials takes no time
    took = []

    def timed_pause(seconds: float) -> float:
        before = time.perf_counter()
        time.sleep(seconds)
        took.append(time.perf_counter() - before)
        return seconds

    race = outpace.race([timed_pause, apause], [0.05] * 160, models=["asyncio"], budget=6.0)

    assert race.entrant("serial").status == "stopped"
    expected = 160 * sum(took) / len(took)
    assert race.entrant("serial").makespan_s.median == pytest.approx(expected, rel=0.3)
    assert race.entrant("asyncio").results == "same"
    assert race.recommendation.model == "asyncio"


@pytest.mark.slow
def test_a_function_that_cannot_travel_is_a_row_that_says_why() -> None:
    import threading

    lock = threading.Lock()

    def locked(n: int) -> int:
        with lock:
            return n

    race = outpace.race(locked, range(4), models=["threads", "processes"])

    assert race.entrant("threads").results == "same"
    assert race.entrant("processes").status == "not-eligible"
    assert "lock" in race.entrant("processes").reason


@pytest.mark.slow
def test_the_setting_can_be_given_for_each_model() -> None:
    race = outpace.race(
        pause,
        [0.001] * 8,
        models=["threads", "processes", "asyncio"],
        in_flight={"threads": 3, "processes": 3},
    )

    assert race.entrant("threads").in_flight == 3
    assert race.entrant("processes").workers == 3


@pytest.mark.slow
def test_functions_can_have_setups_of_their_own() -> None:
    from contextlib import asynccontextmanager, contextmanager

    @contextmanager
    def plain():
        yield 10

    @asynccontextmanager
    async def later():
        yield 10

    async def aadd(n: int, state: int) -> int:
        return n + state

    race = outpace.race([lambda n, s: n + s, aadd], range(5), setup=[plain, later])

    assert {e.results for e in race.entrants} == {"same"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"items": []}, UsageError, "no items"),
        ({"items": 3}, UsageTypeError, "iterable"),
        ({"models": ["thread"]}, UsageError, "thread"),
        ({"repeat": 0}, UsageError, "repeat"),
        ({"workers": 0}, UsageError, "workers"),
        ({"in_flight": {"threads": 0}}, UsageError, "threads"),
        ({"budget": -1}, UsageError, "budget"),
        ({"budget": "3"}, UsageError, "budget"),
        ({"models": 3}, UsageTypeError, "in a list, not 3"),
        ({"models": ["auto"]}, UsageError, "auto"),
        ({"in_flight": {"thread": 1}}, UsageError, "thread"),
        ({"functions": []}, UsageError, "function"),
        ({"functions": 3}, UsageTypeError, "callable"),
        ({"functions": [pause, 3]}, UsageTypeError, "callable"),
        ({"setup": [None, None]}, UsageError, "setup"),
    ],
)
def test_a_wrong_argument_is_one_clear_line_before_any_work(arguments, error, words) -> None:
    given = {"functions": pause, "items": [0.0]} | arguments
    with pytest.raises(error) as caught:
        outpace.race(given.pop("functions"), given.pop("items"), **given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_race_is_saved_as_the_json_that_is_promised(tmp_path) -> None:
    race = outpace.race(pause, [0.001] * 4, models=["threads"], name="naps")
    race.save(tmp_path / "race.json")
    saved = json.loads((tmp_path / "race.json").read_text())

    assert saved["schema"] == "outpace.race/1"
    assert saved["job"]["name"] == "naps"
    assert saved["job"]["items"] == 4
    assert {"cpus", "python", "gil", "platform"} <= saved["machine"].keys()
    row = saved["entrants"][1]
    assert row["model"] == "threads"
    assert row["status"] == "ran"
    assert set(row["makespan_s"]) == {"median", "min", "max", "trials"}
    assert row["peak_rss_bytes"] > 1_000_000
    assert saved["recommendation"].keys() == {"model", "reasons"}
    race.save(tmp_path / "race.md")
    assert "recommend" not in (tmp_path / "race.json").read_text().split('"recommendation"')[0]
    assert "threads" in (tmp_path / "race.md").read_text()


@pytest.mark.slow
def test_a_race_refuses_to_be_saved_as_what_it_cannot_be(tmp_path) -> None:
    race = outpace.race(pause, [0.001] * 2, models=["threads"])
    with pytest.raises(UsageError, match=r"race\.pdf"):
        race.save(tmp_path / "race.pdf")


@pytest.mark.slow
def test_the_controls_find_that_waits_overlap(monkeypatch) -> None:
    monkeypatch.setattr(controls, "WAIT_S", 0.5)  # long beside what a busy machine takes to begin
    measured = controls.measure_controls()

    assert measured.wait["asyncio"] > 10
    assert measured.wait["threads"] > 10
    assert set(measured.loop) == {"threads", "processes"}


@pytest.mark.slow
def test_where_every_item_fails_nothing_is_recommended() -> None:
    race = outpace.race(lambda _: 1 / 0, range(4), models=["threads"])

    assert race.recommendation.model == "serial"
    assert "every item failed" in str(race.recommendation)


@pytest.mark.slow
def test_items_that_fail_under_one_model_only_are_different_and_say_why() -> None:
    def generator(n: int):
        yield n

    race = outpace.race(
        generator, range(4), models=["threads", "processes"], same=lambda a, b: type(a) is type(b)
    )

    assert race.entrant("processes").results == "different"
    assert "4 of 4 items failed that do not with serial" in race.entrant("processes").reason
    assert "generator" in race.entrant("processes").reason


@pytest.mark.slow
def test_a_plain_function_on_a_loop_is_told_to_block_it() -> None:
    race = outpace.race(pause, [0.1] * 6, models=["threads", "asyncio"], repeat=1)

    assert "blocks the event loop" in race.entrant("asyncio").reason
    assert race.entrant("threads").reason is None


def test_controls_that_the_cores_cannot_give_are_doubted() -> None:
    assert controls.Controls({"processes": 1.9}, {}).doubts(2) is None
    for gained in (0.9, 2.6):
        assert "something else" in controls.Controls({"processes": gained}, {}).doubts(2)


def test_a_busy_machine_is_not_taken_for_waiting() -> None:
    assert not runner.plan.Profile(wall_s=0.1, cpu_s=0.04, delay_s=0.06).is_waiting
    assert runner.plan.Profile(wall_s=0.1, cpu_s=0.04, delay_s=0.0).is_waiting
