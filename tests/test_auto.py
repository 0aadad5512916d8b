"""`model="auto"`: what it chooses, why, and that no item runs twice."""

import time

import pytest

import outpace
from outpace import auto
from outpace.auto import Auto, AutoWorkers


def nap(n: int) -> int:
    time.sleep(0.02)
    return n


def long_nap(n: int) -> int:
    time.sleep(
        0.1
    )  # far longer than a busy machine keeps it from a core: that looks like computing
    return n


def compute(n: int) -> int:
    sum(i * i for i in range(150_000))
    return n


async def later(n: int) -> int:
    return n


@pytest.mark.parametrize(
    ("fn", "count", "model", "why"),
    [
        (long_nap, 40, "threads", "waiting"),
        pytest.param(compute, 300, "processes", "computing", marks=pytest.mark.slow),
        (abs, 50, "serial", "serial"),
        (nap, 3, "serial", "serial"),  # over before anything could have started
        (later, 10, "asyncio", "coroutine function"),
    ],
)
def test_the_work_decides_and_the_reason_is_given(fn, count, model, why, monkeypatch) -> None:
    monkeypatch.setattr(auto, "usable_cpus", lambda: 2)
    run = outpace.map(fn, range(count))

    assert list(run) == list(range(count))
    assert run.model == model
    assert run.summary.model == model
    (reason,) = run.summary.reasons
    assert why in reason
    assert reason.startswith(f"{model}: ")
    assert reason in str(run.summary)


@pytest.mark.slow
@pytest.mark.parametrize("fn", [nap, compute])
def test_no_item_runs_twice_and_none_is_left_out(fn, tmp_path) -> None:
    def counted(n: int) -> int:
        with (tmp_path / str(n)).open("x"):  # raises the second time
            return fn(n)

    assert list(outpace.map(counted, iter(range(120)))) == list(range(120))


@pytest.mark.slow
def test_without_a_length_processes_start_once_enough_has_been_spent(monkeypatch) -> None:
    monkeypatch.setattr(auto, "usable_cpus", lambda: 2)
    monkeypatch.setattr(auto, "STARTING", 0.1)
    run = outpace.map(compute, iter(range(100)))

    assert list(run) == list(range(100))
    assert run.model == "processes"


def measured(total: int | None, items: int, wall: float, cpu: float, **more) -> tuple:
    """Return the verdict for figures made up for the purpose."""
    workers = AutoWorkers(Auto(total, more.pop("workers", None), None), None, None)
    workers._items, workers._wall, workers._cpu = items, wall, cpu
    workers._process_cpu = more.get("process_cpu", cpu)
    workers._delay = more.get("delay", 0.0)
    return workers.verdict()


@pytest.mark.parametrize(
    ("figures", "model"),
    [
        ({"total": 1000, "items": 3, "wall": 0.06, "cpu": 0.001}, "threads"),
        ({"total": 1000, "items": 3, "wall": 0.06, "cpu": 0.06}, "processes"),
        ({"total": 1000, "items": 3, "wall": 0.06, "cpu": 0.02, "delay": 0.04}, "processes"),
        ({"total": 8, "items": 3, "wall": 0.06, "cpu": 0.06}, "serial"),  # too little is left
        ({"total": 20, "items": 3, "wall": 0.06, "cpu": 0.06}, "serial"),  # starting eats it
        ({"total": 1000, "items": 3, "wall": 0.06, "cpu": 0.06, "process_cpu": 0.12}, "serial"),
        ({"total": 1000, "items": 3, "wall": 0.06, "cpu": 0.06, "workers": 1}, "serial"),
        ({"total": None, "items": 3, "wall": 0.06, "cpu": 0.06}, None),  # too early to tell
        ({"total": None, "items": 15, "wall": 0.3, "cpu": 0.3}, "processes"),
    ],
)
def test_the_verdict_follows_from_the_figures(figures, model, monkeypatch) -> None:
    monkeypatch.setattr(auto, "usable_cpus", lambda: 2)
    found, why = measured(**figures)
    assert found == model
    assert bool(why) is (model is not None)


@pytest.mark.slow
def test_a_function_that_cannot_travel_stays_where_it_is(monkeypatch) -> None:
    import threading

    monkeypatch.setattr(auto, "usable_cpus", lambda: 2)
    lock = threading.Lock()

    def locked(n: int) -> int:
        with lock:
            return compute(n)

    run = outpace.map(locked, range(200))

    assert list(run) == list(range(200))
    assert run.model == "serial"
    assert "lock" in run.summary.reasons[0]
