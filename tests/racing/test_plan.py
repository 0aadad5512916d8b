"""Which setting each model gets, and who is stopped."""

import pytest

from outpace.racing import plan

WAIT = plan.Profile(wall_s=0.1, cpu_s=0.002)
COMPUTE = plan.Profile(wall_s=0.1, cpu_s=0.1)
THREADS = plan.ModelTraits(hosted=False, overlaps=True, native_async=False)
TASKS = plan.ModelTraits(hosted=False, overlaps=True, native_async=True)
PROCESSES = plan.ModelTraits(hosted=True, overlaps=False, native_async=False)
PROCESS_TASKS = plan.ModelTraits(hosted=True, overlaps=True, native_async=True)


@pytest.mark.parametrize(
    ("kind", "profile", "wish", "expected"),
    [
        (THREADS, WAIT, {}, plan.Setting(None, 50)),  # 0.1 / 0.002 fill one core
        (THREADS, COMPUTE, {}, plan.Setting(None, 2)),
        (THREADS, WAIT, {"workers": 5}, plan.Setting(None, 5)),
        (TASKS, WAIT, {}, plan.Setting(None, 160)),
        (TASKS, WAIT, {"workers": 5}, plan.Setting(None, 160)),  # a loop has no workers
        (TASKS, WAIT, {"in_flight": 9}, plan.Setting(None, 9)),
        (PROCESSES, WAIT, {}, plan.Setting(8, None)),
        (PROCESSES, COMPUTE, {}, plan.Setting(2, None)),
        (PROCESSES, WAIT, {"in_flight": 160}, plan.Setting(8, 160)),  # not 160 processes
        (PROCESSES, WAIT, {"in_flight": 5, "meant_for_it": True}, plan.Setting(5, 5)),
        (PROCESS_TASKS, WAIT, {}, plan.Setting(2, 160)),
        (PROCESS_TASKS, COMPUTE, {"workers": 4}, plan.Setting(4, 4)),
    ],
)
def test_each_model_gets_what_a_good_user_would_choose(kind, profile, wish, expected) -> None:
    assert plan.choose_setting(kind, profile, cpus=2, items=160, **wish) == expected


def test_nobody_may_run_longer_than_twice_serial_or_what_is_left() -> None:
    assert plan.allowed_s(10.0, 100.0) == 25.0
    assert plan.allowed_s(10.0, 5.0) == 5.0
    assert plan.allowed_s(None, 100.0) == 60.0


@pytest.mark.parametrize(
    ("facts", "runs"),
    [
        ({"trials": 1, "asked": None, "last_s": 1.0, "elapsed_s": 5.0}, True),
        ({"trials": 3, "asked": None, "last_s": 1.0, "elapsed_s": 5.0}, False),
        ({"trials": 1, "asked": None, "last_s": 16.0, "elapsed_s": 20.0}, False),
        ({"trials": 1, "asked": None, "last_s": 0.5, "elapsed_s": 50.0}, True),  # cheap
        ({"trials": 1, "asked": 2, "last_s": 16.0, "elapsed_s": 20.0}, True),
        ({"trials": 2, "asked": 2, "last_s": 1.0, "elapsed_s": 20.0}, False),
        ({"trials": 1, "asked": 9, "last_s": 1.0, "elapsed_s": 99.5}, False),  # the budget
    ],
)
def test_another_round_is_run_when_it_is_asked_for_or_fits(facts, runs) -> None:
    assert plan.runs_again(**facts, budget_s=100.0, stopped=False) is runs


def test_a_stopped_entrant_never_runs_again() -> None:
    assert not plan.runs_again(
        trials=1, asked=5, last_s=0.1, elapsed_s=0.0, budget_s=100.0, stopped=True
    )
