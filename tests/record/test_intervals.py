"""What lanes were doing, from steps, samples and CPU shares."""

from array import array
from typing import Any

import pytest

from outpace.flow.data import Report, Settled
from outpace.flow.trace import Trace
from outpace.record import metrics, states
from outpace.record.collect import Collector
from outpace.record.intervals import FROM_ITEMS, FROM_SAMPLES, FROM_STEPS, add_intervals
from outpace.record.lane_intervals import Samples
from outpace.record.sampler.proc import WAIT_NAMES, Wait
from outpace.record.timeline import Timeline

WHO = (7, 70)  # a process and a thread


def settled(
    times: list[tuple[float, float]], trace: Trace | None = None, cpu_s: float = 0.0
) -> Settled:
    started, ended = (array("d", column) for column in zip(*times, strict=True))
    count = len(times)
    report = Report(range(count), [None] * count, started, ended, {}, cpu_s, trace=trace)
    return Settled(report, list(range(count)), [0.0] * count, [1] * count)


def filled(one: Settled, model: str, sampled: Any = None) -> Timeline:
    collector = Collector()
    collector.add(one)
    found = collector.collected(model)
    timeline = Timeline(model, 0.0, max(one.report.ended), 2, 4, found.lanes, found.items)
    add_intervals(timeline, found, sampled or {})
    return timeline


def samples(*bins: tuple[float, float, float, float, Wait]) -> dict[tuple[int, int], Samples]:
    made = Samples()
    for began, ended, cpu, ready, wait in bins:
        made.began.append(began)
        made.ended.append(ended)
        made.cpu_s.append(cpu)
        made.ready_s.append(ready)
        made.wait.append(WAIT_NAMES.index(wait))
    return {WHO: made}


def stepped(*steps: tuple[int, float, float, float]) -> Trace:
    flat = array("d", [x for _, *step in steps for x in step])
    return Trace(
        array("d"),
        steps=flat,
        owners=array("l", [owner for owner, *_ in steps]),
        process=7,
        thread=70,
    )


def state_s(timeline: Timeline) -> dict[str, float]:
    return {
        states.NAMES[n]: seconds
        for n, seconds in enumerate(metrics.total_by_state(timeline))
        if seconds > 1e-9
    }


def test_between_the_steps_of_an_item_it_waits():
    trace = stepped((0, 0.0, 0.001, 0.001), (0, 0.5, 0.51, 0.01), (1, 0.2, 0.21, 0.01))

    timeline = filled(settled([(0.0, 0.51), (0.2, 1.0)], trace), "asyncio")

    assert state_s(timeline) == pytest.approx(
        {"running": 0.021, "waiting": 0.51 + 0.8 - 0.021, "idle": 2.0 - 1.31}
    )
    assert not timeline.is_sampled
    assert timeline.how == FROM_STEPS
    loop = next(n for n, lane in enumerate(timeline.lanes) if lane.kind == "loop")
    assert metrics.seconds_by_state(timeline)[loop][states.RUNNING] == pytest.approx(0.021)


def test_a_long_step_blocks_the_loop_by_computing_or_by_waiting():
    trace = stepped((0, 0.0, 0.1, 0.1), (0, 0.2, 0.4, 0.0))

    timeline = filled(settled([(0.0, 0.4)], trace), "asyncio")

    assert state_s(timeline) == pytest.approx(
        {"blocking-computing": 0.1, "waiting": 0.1, "blocking-waiting": 0.2}
    )


def test_what_a_long_step_did_is_seen_from_outside_where_that_was_possible():
    trace = stepped((0, 0.0, 0.1, 0.02))
    sampled = samples((0.0, 0.06, 0.02, 0.04, "running"), (0.06, 0.2, 0.0, 0.0, "network"))

    timeline = filled(settled([(0.0, 0.1)], trace), "asyncio", sampled)

    assert state_s(timeline) == pytest.approx(
        {"blocking-computing": 0.02, "ready": 0.04, "blocking-waiting": 0.04}
    )


def test_samples_are_cut_to_the_time_that_an_item_took():
    trace = Trace(process=7, thread=70)
    sampled = samples(
        (0.0, 0.4, 0.0, 0.0, "lock"),  # nobody's: the thread waits for work
        (0.4, 0.6, 0.1, 0.0, "gil"),
        (0.6, 0.9, 0.0, 0.3, "gil"),
        (0.9, 1.2, 0.0, 0.0, "sleep"),
    )

    timeline = filled(settled([(0.4, 1.0)], trace), "threads", sampled)

    assert state_s(timeline) == pytest.approx(
        {"running": 0.1, "waiting-gil": 0.1, "ready": 0.3, "waiting-sleep": 0.1, "idle": 0.4}
    )
    assert timeline.how == FROM_SAMPLES
    assert timeline.is_sampled


def test_a_thread_that_was_running_and_on_no_cpu_was_ready():
    timeline = filled(
        settled([(0.0, 1.0)], Trace(process=7, thread=70)),
        "processes",
        samples((0.0, 1.0, 0.4, 0.1, "running")),
    )

    assert state_s(timeline) == pytest.approx({"running": 0.4, "ready": 0.6})


def test_what_nobody_saw_is_waiting_for_what_is_not_known():
    timeline = filled(
        settled([(0.0, 1.0)], Trace(process=7, thread=70)),
        "threads",
        samples((0.2, 0.5, 0.3, 0.0, "running")),
    )

    assert state_s(timeline) == pytest.approx({"running": 0.3, "waiting": 0.7})


def test_what_nobody_saw_and_the_items_own_clock_says_was_on_the_cpu():
    timeline = filled(
        settled([(0.0, 1.0)], Trace(process=7, thread=70), cpu_s=0.5),
        "threads",
        samples((0.2, 0.5, 0.15, 0.0, "lock")),
    )

    assert state_s(timeline) == pytest.approx(
        {"running": 0.5, "waiting-lock": 0.15, "waiting": 0.35}
    )


def test_without_either_the_cpu_share_is_all_there_is():
    timeline = filled(settled([(0.0, 1.0), (1.0, 2.0)], cpu_s=0.5), "serial")

    assert state_s(timeline) == pytest.approx({"running": 0.5, "waiting": 1.5})
    assert timeline.how == FROM_ITEMS
