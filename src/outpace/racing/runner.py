"""Run a race: every entrant over the same items, interleaved over rounds.

Serial goes first: its results are what the others are compared with, and its times say what the work
is like. Then round after round, every entrant once a round, never all trials of one and then the
next; so whatever else the machine does in a minute hits all of them.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from outpace.errors import (
    ModelUnavailableError,
    OutpaceError,
    SetupError,
    TransferError,
    UsageError,
    UsageTypeError,
    WorkerStartError,
)
from outpace.flow.amounts import check_positive, kind, real
from outpace.flow.board import Board
from outpace.flow.job import Job, make_job
from outpace.flow.protocol import Observer
from outpace.flow.show import shown
from outpace.flow.signals import Terminated
from outpace.machine.clocks import LONGEST_WAIT
from outpace.machine.cpus import usable_cpus
from outpace.racing import plan
from outpace.racing.controls import Controls, measure_controls
from outpace.racing.result import Entrant
from outpace.racing.trial import Trial, run_trial
from outpace.racing.verify import Same
from outpace.registry import (
    Model,
    Opening,
    find,
    is_request,
    names,
    opening,
    request_names,
    takes_functions,
)

Say = Callable[[str], object]
Watch = Callable[[str], Sequence[Observer]]  # who watches a pass, by what that is called

clock = time.perf_counter


@dataclass(slots=True)
class Racer:
    """An entrant while the race is on: its job, its setting, the trials so far."""

    model: Model
    job: Job
    entrant: Entrant
    opening: Opening | None = None
    trials: list[Trial] = field(default_factory=list)
    last_s: float = 0.0

    @property
    def is_out(self) -> bool:
        """Say whether it runs no more."""
        return self.entrant.status != "ran"


class RaceRunner:
    """A race that is being run."""

    def __init__(
        self,
        functions: Any,
        items: Iterable[Any],
        *,
        models: Sequence[str] | None = None,
        workers: int | None = None,
        in_flight: int | Mapping[str, int] | None = None,
        repeat: int | None = None,
        budget: float | None = None,
        setup: Any = None,
        same: Same = operator.eq,
        record: str = "full",
        watch: Watch = lambda _what: (),
        say: Say = lambda _what: None,
        board: Board | None = None,
    ) -> None:
        """Check what was asked, before any work; on `board`, if given, it stands what serial is on."""
        self.workers = check_positive("workers", workers)
        self.repeat = check_positive("repeat", repeat)
        self.in_flight = _in_flight(in_flight)
        limit = plan.BUDGET_S if budget is None else real(budget)
        if limit is None or not limit > 0:
            msg = f"budget is a number of seconds and more than 0, not {shown(budget)}"
            raise UsageError(msg)
        _check_function("same", same)
        # It says what is wrong with them.
        make_job(_first(functions), items, setup=_first(setup), record=record)
        self.items = list(items)
        if not self.items:
            msg = "there are no items to race with"
            raise UsageError(msg)
        self.budget_s = min(limit, LONGEST_WAIT)
        self.same, self._watch, self._say = same, watch, say
        self.board = board
        self.jobs = _jobs(functions, setup, self.items, record)
        self.racers = [self._racer(name) for name in _with_serial_first(models, self.jobs)]
        self.began = 0.0
        self.controls: Controls | None = None
        self.broken_off = False

    def run(self) -> list[Racer]:
        """Run the controls, then all rounds."""
        self._say("controls")
        self.controls = measure_controls()
        self.began = clock()
        serial = self.racers[0]
        self._trial(serial, 1)
        for racer in self.racers[1:]:
            self._choose_setting(racer)
        number = 1
        while waiting := [r for r in self.racers if self._runs_in(r, number)]:
            for racer in waiting if number % 2 else reversed(waiting):
                if self._runs_in(racer, number):
                    self._trial(racer, number)
            number += 1
        return self.racers

    def break_off(self) -> bool:
        """Note that it was interrupted; say whether there is anything to show by now."""
        self.broken_off = True
        for racer in self.racers:
            if not (racer.trials or racer.is_out):
                racer.entrant.status = "stopped"
                racer.entrant.reason = "the race was interrupted before it had run"
        return self.controls is not None and bool(self.racers[0].trials)

    @property
    def elapsed_s(self) -> float:
        """Say how long the race has taken."""
        return clock() - self.began

    @property
    def left_s(self) -> float:
        """Say how much of the budget is left."""
        return self.budget_s - self.elapsed_s

    def profile(self) -> plan.Profile:
        """Return what serial has shown of the work."""
        first = self.racers[0].trials[0]
        return plan.Profile(first.item_wall_s, first.item_cpu_s, first.item_delay_s)

    def _racer(self, name: str) -> Racer:
        """Enter a model, with the function that it runs natively if there is one."""
        model = find(name, for_requests=True)
        wanted = not takes_functions(model.driver), model.driver.native_async
        job = next(
            (j for j in self.jobs if (is_request(j.call.fn), j.call.is_async) == wanted),
            self.jobs[0],
        )
        of = type(job.call.fn) if is_request(job.call.fn) else job.call.fn
        entrant = Entrant(name, getattr(of, "__qualname__", repr(of)))
        if (reason := model.unavailable()) is not None:
            entrant.status, entrant.reason = "not-eligible", reason
        racer = Racer(model, job, entrant)
        if model.name == "serial":
            racer.opening = opening("serial")
            racer.job = replace(job, call=replace(job.call, board=self.board))
            entrant.workers = entrant.in_flight = 1
        return racer

    def _choose_setting(self, racer: Racer) -> None:
        """Choose an entrant's setting, now that the work is known."""
        if racer.is_out:
            return
        driver = racer.model.driver
        cheap_lanes = driver.native_async or not takes_functions(driver)
        of_model = plan.ModelTraits(racer.model.host is not None, driver.overlaps, cheap_lanes)
        by_model = isinstance(self.in_flight, Mapping)
        chosen = plan.choose_setting(
            of_model,
            self.profile(),
            cpus=usable_cpus(),
            items=len(self.items),
            workers=self.workers,
            in_flight=self.in_flight.get(racer.model.name)
            if isinstance(self.in_flight, Mapping)
            else self.in_flight,
            meant_for_it=by_model,
        )
        try:
            racer.opening = opening(
                racer.model.name,
                chosen.workers,
                chosen.in_flight,
                total=len(self.items),
                for_requests=True,
            )
        except ModelUnavailableError as error:
            racer.entrant.status, racer.entrant.reason = "not-eligible", str(error)
            return
        racer.entrant.workers = racer.opening.workers
        racer.entrant.in_flight = racer.opening.slots

    def _runs_in(self, racer: Racer, number: int) -> bool:
        """Say whether an entrant takes part in a round."""
        if racer.is_out or len(racer.trials) >= number:
            return False
        if not racer.trials:
            return self.elapsed_s < self.budget_s or self._out_of_time(racer)
        return plan.runs_again(
            trials=len(racer.trials),
            asked=self.repeat,
            last_s=racer.last_s,
            elapsed_s=self.elapsed_s,
            budget_s=self.budget_s,
            stopped=racer.trials[-1].stopped,
        )

    def _out_of_time(self, racer: Racer) -> bool:
        """Note that an entrant never got to run."""
        racer.entrant.status = "stopped"
        racer.entrant.reason = f"the budget of {self.budget_s:g} s was spent before its turn"
        return False

    def _trial(self, racer: Racer, number: int) -> None:
        """Run one trial of an entrant, and note what keeps it from running."""
        serial = self.racers[0]
        first = serial.trials[0] if serial.trials else None
        yet = sum(not (r.trials or r.is_out) for r in self.racers)
        hanging = yet if first is not None and first.hangs else 0
        serial_s = None if first is None else first.makespan_s
        allowed = plan.allowed_s(serial_s, self.left_s, hanging)
        what = f"round {number}  {racer.model.name}"
        assert racer.opening is not None
        self._say(what)
        before = clock()
        try:
            trial = run_trial(
                racer.job,
                racer.opening,
                max(0.001, allowed),
                self._watch(what),
            )
        except (TransferError, WorkerStartError) as error:
            if racer is serial:
                raise
            racer.entrant.status, racer.entrant.reason = "not-eligible", str(error)
            return
        except (SetupError, OutpaceError, OSError) as error:
            if racer is serial:
                raise
            racer.entrant.status, racer.entrant.reason = "failed", str(error)
            return
        except (KeyboardInterrupt, Terminated) as interrupt:
            so_far: Trial | None = getattr(interrupt, "trial", None)
            if not racer.trials and so_far is not None and (so_far.settled or so_far.inside):
                racer.trials.append(so_far)
            raise
        racer.last_s = clock() - before
        racer.trials.append(trial)


def _check_function(name: str, given: object) -> None:
    """Raise `UsageTypeError` for what cannot be called."""
    if not callable(given):
        raise UsageTypeError(f"{name} is a function to call, not {kind(given)}: {shown(given)}")


def _in_flight(asked: object) -> int | Mapping[str, int | None] | None:
    """Check how many items at once are asked for: of all models, or of each."""
    if not isinstance(asked, Mapping):
        return check_positive("in_flight", asked)
    for model in asked:
        find(model, for_requests=True)
    return {model: check_positive(f"in_flight[{model!r}]", n) for model, n in asked.items()}


def _jobs(functions: Any, setup: Any, items: list[Any], record: str) -> list[Job]:
    """Pair functions with their setups; check each."""
    fns = list(functions) if isinstance(functions, list | tuple) else [functions]
    setups = list(setup) if isinstance(setup, list | tuple) else [setup] * len(fns)
    if len(setups) != len(fns):
        msg = f"{len(fns)} functions and {len(setups)} setups: give one setup, or one a function"
        raise UsageError(msg)
    jobs = [
        make_job(fn, items, setup=each, on_error="return", record=record)
        for fn, each in zip(fns, setups, strict=True)
    ]
    # A plain one is the reference.
    return sorted(jobs, key=lambda job: (is_request(job.call.fn), job.call.is_async))


def _with_serial_first(models: Sequence[str] | None, jobs: Sequence[Job]) -> list[str]:
    """Return the models to race: all of them, or those asked for, and always serial."""
    with_requests = any(is_request(job.call.fn) for job in jobs)
    if models is None:
        return names() + (request_names() if with_requests else [])
    if isinstance(models, str):
        models = [name.strip() for name in models.split(",") if name.strip()]
    if not isinstance(models, Iterable):
        raise UsageTypeError(
            f"models are names of outpace.models(), in a list, not {shown(models)}"
        )
    chosen = list(dict.fromkeys(models))
    if not chosen:
        raise UsageError(f"no models are named; there are {', '.join(names())}")
    for name in chosen:
        if name == "auto":
            msg = "auto is no model of its own but a choice among them: race those it chooses from"
            raise UsageError(msg)
        find(name, for_requests=with_requests)
    return ["serial", *(name for name in chosen if name != "serial")]


def _first(value: Any) -> Any:
    """Return the first of several, or the one there is."""
    if isinstance(value, list | tuple):
        if not value:
            msg = "give at least one function to race"
            raise UsageError(msg)
        return value[0]
    return value
