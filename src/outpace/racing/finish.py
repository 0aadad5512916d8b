"""The finish of a race: sum the trials up, compare the results with serial's, recommend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outpace.flow.data import Failure
from outpace.flow.job import make_job
from outpace.flow.show import shown
from outpace.machine import usable_cpus
from outpace.racing import plan
from outpace.racing.advise import recommend
from outpace.racing.course import Course, Runner
from outpace.racing.machine import facts
from outpace.racing.result import Race, Recommendation, Results
from outpace.racing.stats import Spread
from outpace.racing.trial import Trial, run_trial
from outpace.racing.verify import agree, first_difference
from outpace.record.timeline import Timeline, Writer
from outpace.registry import opening


def carried(
    course: Course, name: str | None, show: Callable[[Race], str], writer: Writer | None
) -> Race:
    """Run a race and finish it.

    An interrupt goes on as one, and has as its `race` what there was by then, if there was anything.
    """
    try:
        course.run()
    except KeyboardInterrupt as interrupt:
        if course.break_off():
            interrupt.race = finish(course, name, show, writer)  # type: ignore[attr-defined]
        raise
    return finish(course, name, show, writer)


def finish(
    course: Course,
    name: str | None = None,
    show: Callable[[Race], str] = repr,
    writer: Writer | None = None,
) -> Race:
    """Sum the trials up, compare the results, and recommend.

    `show` is how the race will print, and `writer` how it and its timelines are drawn and saved.
    """
    runners, controls = course.runners, course.controls
    assert controls is not None
    serial = runners[0]
    items = len(course.items)
    for runner in runners:
        if runner.trials:
            _sum_up(runner, items)
            runner.entrant.timeline = _timeline(runner, writer)
    profile = course.profile()
    for runner in runners:
        _judge(runner, serial, course)
        if profile.is_waiting and _blocks_its_loop(runner):
            runner.entrant.reason = (
                f"it ran {runner.entrant.function}, a plain function, which blocks the event loop; "
                "give the race a coroutine function beside it"
            )
    race = Race(
        machine=facts() | {"controls": controls.as_json()},
        job={
            "name": name or serial.entrant.function,
            "items": items,
            "item_wall_s": profile.wall_s,
            "item_cpu_s": profile.cpu_s,
            "waits": profile.waits,
        },
        entrants=[runner.entrant for runner in runners],
        recommendation=_recommendation(runners, profile),
        show=show,
        writer=writer,
    )
    if course.broken_off:
        race.notes.append("the race was interrupted: this is what there was by then")
    race.notes.append(str(controls))
    if (doubts := controls.doubts(usable_cpus())) is not None:
        race.notes.append(doubts)
    first = serial.trials[0].results
    failures = [(n, r.error) for n, r in enumerate(first) if isinstance(r, Failure)]
    if failures:
        index, error = failures[0]
        race.notes.append(
            f"{len(failures)} of {items} items failed with serial, the first of them item {index} "
            f"({shown(course.items[index], 40)}): {type(error).__name__}: {error}"
        )
    return race


def _blocks_its_loop(runner: Runner) -> bool:
    """Say whether an entrant with an event loop had only a plain function to run on it."""
    is_plain = runner.model.driver.native_async and not runner.job.call.is_async
    return is_plain and runner.entrant.status == "ran" and runner.entrant.reason is None


def _recommendation(runners: list[Runner], profile: plan.Profile) -> Recommendation:
    """Recommend, unless there is nothing to go by."""
    serial = runners[0].entrant
    if serial.failed and serial.failed == serial.done:
        return Recommendation("serial", ("every item failed, so the times say nothing",))
    items = runners[0].job.total or 0
    return recommend([r.entrant for r in runners], profile, usable_cpus(), items)


def _sum_up(runner: Runner, items: int) -> None:
    """Turn an entrant's trials into its figures."""
    entrant, trials = runner.entrant, runner.trials
    done = len(trials[-1].results)
    entrant.done = max(len(trial.results) for trial in trials)
    entrant.failed = sum(isinstance(result, Failure) for result in trials[0].results)
    whole = [trial for trial in trials if not trial.stopped]
    entrant.startup_s = Spread.of([t.startup_s for t in trials]).median
    entrant.cpu_s = Spread.of([t.cpu_s for t in whole or trials]).median
    entrant.peak_rss_bytes = max(t.peak_bytes for t in trials)
    if whole:
        entrant.makespan_s = Spread.of([t.makespan_s for t in whole])
        entrant.throughput = items / entrant.makespan_s.median
        return
    entrant.status = "stopped"
    ran = trials[-1].makespan_s
    if not done:
        entrant.reason = f"stopped after {ran:.3g} s, before any item had ended"
        return
    guess = ran * items / done
    entrant.makespan_s = Spread(guess, guess, guess, 0)
    entrant.throughput = done / ran
    entrant.reason = (
        f"stopped after {ran:.3g} s with {done} of {items} items done; "
        f"all would have taken about {guess:.3g} s"
    )


def _timeline(runner: Runner, writer: Writer | None) -> Timeline | None:
    """Return the timeline of the trial that is nearest to the median; None when no item had ended."""
    whole = [trial for trial in runner.trials if not trial.stopped] or runner.trials
    middle = Spread.of([trial.makespan_s for trial in whole]).median
    trial = min(whole, key=lambda trial: abs(trial.makespan_s - middle))
    if not trial.results or trial.timeline is None:
        return None
    timeline = trial.timeline()
    timeline.writer = writer
    return timeline


def _judge(runner: Runner, serial: Runner, course: Course) -> None:
    """Compare an entrant's results and time with serial's."""
    entrant, reference = runner.entrant, serial.entrant
    if not runner.trials:
        return
    if entrant.makespan_s is not None and reference.makespan_s is not None:
        entrant.speedup = reference.makespan_s.median / entrant.makespan_s.median
    if not any(trial.results for trial in runner.trials):
        return
    first = serial.trials[0].results
    for trial in runner.trials:
        one = runner.job.call.fn is serial.job.call.fn
        index = first_difference(first, trial.results, course.same, one_function=one)
        if index is None:
            entrant.results = "same"
            continue
        entrant.results, entrant.reason = _difference(runner, serial, trial, index, course)
        return


def _difference(
    runner: Runner, serial: Runner, trial: Trial, index: int, course: Course
) -> tuple[Results, str]:
    """Say what kind of difference there is at an item."""
    was, now = serial.trials[0].results[index], trial.results[index]
    if isinstance(now, Failure) and not isinstance(was, Failure):
        failed = sum(isinstance(result, Failure) for result in trial.results)
        error = now.error
        return "different", (
            f"{failed} of {len(trial.results)} items failed that do not with serial, the first of "
            f"them item {index}: {type(error).__name__}: {error}"
        )
    again = _once_more(serial, course.items[index])
    if runner is serial or not agree(was, again, course.same):
        return "not-repeatable", (
            f"item {index} gives another result each time, with serial too; if that is how it "
            "should be, say what counts as the same with same="
        )
    return "different", f"item {index} gave another result than with serial"


def _once_more(serial: Runner, item: object) -> Any:
    """Run one item again, to see whether it is the work that is not repeatable."""
    job = make_job(serial.job.call.fn, [item], setup=serial.job.call.setup, on_error="return")
    return run_trial(job, opening("serial"), plan.BUDGET).results[0]
