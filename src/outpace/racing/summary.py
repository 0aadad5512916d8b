"""The summary of a race: what the trials add up to, whether results agree with serial's, what to use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outpace.flow.data import Failure
from outpace.flow.job import make_job
from outpace.flow.show import printable, said, shown
from outpace.machine.cpus import usable_cpus
from outpace.racing import plan
from outpace.racing.advise import recommend
from outpace.racing.controls import facts
from outpace.racing.result import Race, Recommendation, Results
from outpace.racing.runner import Racer, RaceRunner
from outpace.racing.speedup import speedup
from outpace.racing.stats import MedianRange
from outpace.racing.trial import Trial, run_trial
from outpace.racing.verify import agree, first_difference
from outpace.record.timeline import Timeline, Writer
from outpace.registry import opening

ONCE_MORE = 5.0  # seconds at least to run one item again, whatever is left of the budget


def summarise(
    runner: RaceRunner,
    name: str | None = None,
    show: Callable[[Race], str] = repr,
    writer: Writer | None = None,
) -> Race:
    """Sum the trials up, compare the results, and recommend.

    `show` is how the race will print, and `writer` how it and its timelines are drawn and saved.
    """
    racers, controls = runner.racers, runner.controls
    assert controls is not None
    serial = racers[0]
    items = len(runner.items)
    for racer in racers:
        if racer.trials:
            _sum_up(racer, runner.items)
            racer.entrant.timeline = _timeline(racer, writer)
    profile = runner.profile()
    for racer in racers:
        _judge(racer, serial, runner)
        if profile.is_waiting and _blocks_its_loop(racer):
            racer.entrant.reason = (
                f"it ran {racer.entrant.function}, a plain function, which blocks the event loop; "
                "give the race a coroutine function beside it"
            )
    race = Race(
        machine=facts() | {"controls": controls.as_json()},
        job={
            "name": printable(name or serial.entrant.function),
            "items": items,
            "item_wall_s": profile.wall_s,
            "item_cpu_s": profile.cpu_s,
            "waits": profile.waits,
        },
        entrants=[racer.entrant for racer in racers],
        recommendation=_recommendation(racers, profile),
        show=show,
        writer=writer,
    )
    if runner.broken_off:
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
            f"({shown(runner.items[index], 40)}): {said(error)}"
        )
    return race


def _blocks_its_loop(racer: Racer) -> bool:
    """Say whether an entrant with an event loop had only a plain function to run on it."""
    is_plain = racer.model.driver.native_async and not racer.job.call.is_async
    return is_plain and racer.entrant.status == "ran" and racer.entrant.reason is None


def _recommendation(racers: list[Racer], profile: plan.Profile) -> Recommendation:
    """Recommend, unless there is nothing to go by."""
    serial = racers[0].entrant
    if serial.makespan_s is None:
        what = "it" if serial.hanging_item is None else f"item {serial.hanging_item}"
        return Recommendation(
            "serial", (f"{what} did not end, so there is nothing to compare with",)
        )
    if serial.failed and serial.failed == serial.done:
        return Recommendation("serial", ("every item failed, so the times say nothing",))
    items = racers[0].job.total or 0
    return recommend([r.entrant for r in racers], profile, usable_cpus(), items)


def _sum_up(racer: Racer, items: list[Any]) -> None:
    """Turn an entrant's trials into its figures."""
    entrant, trials = racer.entrant, racer.trials
    entrant.done = max(trial.settled for trial in trials)
    entrant.failed = sum(isinstance(result, Failure) for result in trials[0].results)
    whole = [trial for trial in trials if not trial.stopped]
    entrant.startup_s = MedianRange.of([t.startup_s for t in trials]).median
    entrant.cpu_s = MedianRange.of([t.cpu_s for t in whole or trials]).median
    entrant.peak_rss_bytes = max(t.peak_bytes for t in trials)
    if whole:
        entrant.makespan_s = MedianRange.of([t.makespan_s for t in whole])
        entrant.throughput = len(items) / entrant.makespan_s.median
        return
    entrant.status = "stopped"
    trial = trials[-1]
    done, ran = trial.settled, trial.makespan_s
    entrant.reason = _why_stopped(racer, trial, items)
    if trial.hangs and trial.inside is not None:
        entrant.hanging_item = trial.inside[0]
    elif done:
        guess = ran * len(items) / done
        entrant.makespan_s = MedianRange(guess, guess, guess, 0)
        entrant.reason += f"; all would have taken about {guess:.3g} s"
    if done:
        entrant.throughput = done / ran


def _why_stopped(racer: Racer, trial: Trial, items: list[Any]) -> str:
    """Say where a pass was when it was stopped; name the item that hangs."""
    ran, done = trial.makespan_s, trial.settled
    if not ran:
        return f"stopped after {trial.startup_s:.3g} s, before its workers were ready"
    if trial.inside is None or not trial.hangs:
        if not done:
            return f"stopped after {ran:.3g} s, before any item had ended"
        return f"stopped after {ran:.3g} s with {done} of {len(items)} items done"
    index, took = trial.inside
    in_a_thread = racer.model.host is None and not racer.model.driver.native_async
    return (
        f"stopped after {ran:.3g} s with {done} of {len(items)} items done: item {index} "
        f"({shown(items[index], 40)}) had been running for {took:.3g} s"
        f"{', and goes on in its thread' if in_a_thread and racer.model.name != 'serial' else ''}"
    )


def _timeline(racer: Racer, writer: Writer | None) -> Timeline | None:
    """Return the timeline of the trial that is nearest to the median; None when no item had ended."""
    whole = [trial for trial in racer.trials if not trial.stopped] or racer.trials
    middle = MedianRange.of([trial.makespan_s for trial in whole]).median
    trial = min(whole, key=lambda trial: abs(trial.makespan_s - middle))
    if not trial.results or trial.timeline is None:
        return None
    timeline = trial.timeline()
    timeline.writer = writer
    return timeline


def _judge(racer: Racer, serial: Racer, runner: RaceRunner) -> None:
    """Compare an entrant's results and time with serial's."""
    entrant, reference = racer.entrant, serial.entrant
    if not racer.trials:
        return
    entrant.speedup = speedup(reference, entrant)
    if not any(trial.results for trial in racer.trials):
        return
    first = serial.trials[0].results
    for trial in racer.trials:
        one = racer.job.call.fn is serial.job.call.fn
        index = first_difference(first, trial.results, runner.same, one_function=one)
        if index is None:
            entrant.results = "same"
            continue
        entrant.results, entrant.reason = _difference(racer, serial, trial, index, runner)
        return


def _difference(
    racer: Racer, serial: Racer, trial: Trial, index: int, runner: RaceRunner
) -> tuple[Results, str]:
    """Say what kind of difference there is at an item."""
    was, now = serial.trials[0].results[index], trial.results[index]
    if isinstance(now, Failure) and not isinstance(was, Failure):
        failed = sum(isinstance(result, Failure) for result in trial.results)
        error = now.error
        return "different", (
            f"{failed} of {len(trial.results)} items failed that do not with serial, the first of "
            f"them item {index}: {said(error)}"
        )
    again = _once_more(serial, runner, index)
    if again is None:
        return "unchecked", (
            f"item {index} gave another result than with serial, and there was no time to see whether "
            "it always does"
        )
    if racer is serial or not agree(was, again[0], runner.same):
        return "not-repeatable", (
            f"item {index} gives another result each time, with serial too; if that is how it "
            "should be, say what counts as the same with same="
        )
    return "different", f"item {index} gave another result than with serial"


def _once_more(serial: Racer, runner: RaceRunner, index: int) -> list[Any] | None:
    """Run one item again, to see whether it is the work that is not repeatable; None: it can't be."""
    if runner.broken_off:
        return None
    call = serial.job.call
    job = make_job(call.fn, [runner.items[index]], setup=call.setup, on_error="return")
    return run_trial(job, opening("serial"), max(ONCE_MORE, runner.left_s)).results or None
