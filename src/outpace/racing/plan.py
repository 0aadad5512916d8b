"""Which setting each model runs at, how often, and when one is stopped. Pure.

Each model gets the setting that a good user would choose for it, which depends on the work: serial
runs first, and the share of its time that an item waits tells. Waiting work wants many at once, as
many as keep one core busy; computing work wants as many as there are cores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WAITING_SHARE = 0.5  # work that is off the CPU for this share of its time is called waiting
THREAD_RANGE = (
    8,
    64,
)  # the fewest and most threads for waiting work; more cost memory and switches
TASK_RANGE = (8, 256)  # the same for tasks of an event loop
WAITING_PROCESSES = 8  # processes for waiting work on a small machine: each costs 10 to 50 MB
ROUNDS = 3  # measured passes of each entrant, where time allows
SOFT_S = 25.0  # seconds: another round is begun only if it should end before this
CHEAP_SHARE = 0.02  # of the time already spent: so little more is always worth a second look
BUDGET_S = 300.0  # seconds that a race may take in all when nobody says
FIRST_SHARE = 0.6  # of the budget, for serial alone
HOPELESS_TIMES = 2.0  # times serial: an entrant that takes longer cannot be the answer
HANGS_TIMES = 3.0  # times what others took on average, and an item hangs
HANGS_SHARE = 0.2  # of the time of the whole pass, below which nobody waited for it in particular
HANGING_S = 1.0  # seconds at least for an entrant where serial hung
HOPELESS_S = 5.0  # seconds that any entrant may take beyond that: starting processes takes some


@dataclass(slots=True, frozen=True)
class Profile:
    """What serial has shown of an item: seconds of wall, of CPU, and of wanting a CPU in vain."""

    wall_s: float
    cpu_s: float
    delay_s: float = 0.0

    @property
    def waits(self) -> float:
        """Say which share of its time an item waits."""
        return max(0.0, 1 - (self.cpu_s + self.delay_s) / self.wall_s) if self.wall_s > 0 else 0.0

    @property
    def is_waiting(self) -> bool:
        """Say whether this is waiting work."""
        return self.waits >= WAITING_SHARE


@dataclass(slots=True, frozen=True)
class Setting:
    """The numbers that are asked of a model: workers and items at once, None where it has no choice."""

    workers: int | None
    in_flight: int | None


@dataclass(slots=True, frozen=True)
class ModelTraits:
    """The traits of a model that a plan depends on."""

    hosted: bool
    overlaps: bool
    native_async: bool  # or any other whose idle lanes cost next to nothing


def choose_setting(
    traits: ModelTraits,
    profile: Profile,
    *,
    cpus: int,
    items: int,
    workers: int | None = None,
    in_flight: int | None = None,
    meant_for_it: bool = False,
) -> Setting:
    """Choose the setting of a model for this work; `workers` and `in_flight` are the user's wish.

    A number `meant_for_it` is for this model alone, so plain processes become as many; one for all
    models is an upper bound, since nobody wants 160 processes beside 160 tasks.
    """
    if not traits.hosted and not traits.overlaps:
        return Setting(None, None)
    many = _many(traits, profile, items, cpus)
    if not traits.hosted:
        return Setting(None, in_flight or (workers if not traits.native_async else None) or many)
    if not traits.overlaps:
        processes = min(items, max(cpus, WAITING_PROCESSES)) if profile.is_waiting else cpus
        if meant_for_it and in_flight:
            processes = in_flight
        return Setting(workers or processes, in_flight)
    return Setting(workers or cpus, in_flight or max(many, workers or cpus))


def _many(traits: ModelTraits, profile: Profile, items: int, cpus: int) -> int:
    """Say how many items at once suit the work."""
    if not profile.is_waiting:
        return cpus
    least, most = TASK_RANGE if traits.native_async else THREAD_RANGE
    if traits.native_async:
        return max(1, min(items, most))  # an idle task costs next to nothing
    fill = math.ceil(profile.wall_s / max(profile.cpu_s, 1e-6))  # so many keep one core busy
    return max(1, min(items, max(least, min(fill, most))))


def allowed_s(serial_s: float | None, left_s: float, hanging: int = 0) -> float:
    """Say how long an entrant may run, given serial's time and what is left of the budget.

    Where serial hung, others may hang too, and each of those `hanging` has its part of what is left.
    """
    if serial_s is None:
        return left_s * FIRST_SHARE
    if hanging:
        return max(left_s / hanging, min(left_s, HANGING_S))
    return min(left_s, serial_s * HOPELESS_TIMES + HOPELESS_S)


def runs_again(
    *,
    trials: int,
    asked: int | None,
    last_s: float,
    elapsed_s: float,
    budget_s: float,
    stopped: bool,
) -> bool:
    """Say whether an entrant runs once more."""
    if stopped or elapsed_s + last_s > budget_s:
        return False
    if asked is not None:
        return trials < asked
    return trials < ROUNDS and (elapsed_s + last_s <= SOFT_S or last_s <= CHEAP_SHARE * elapsed_s)


def hangs(inside_s: float, ran_s: float, done_s: float, done: int) -> bool:
    """Say whether it was in an item that a pass had to be stopped: one that took far longer than others.

    The item has run for `inside_s` of the `ran_s` of the pass; `done` others took `done_s` together.
    """
    return not done or inside_s > max(HANGS_TIMES * done_s / done, HANGS_SHARE * ran_s)
