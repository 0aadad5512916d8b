"""What to use, and why, in words: from the figures of a finished race. Pure.

The fastest for this job counts start-up. Among those that cannot be told apart from it, the simplest
wins, and serial is the simplest of all: where concurrency gains little, it is not worth it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from outpace.flow.show import seconds
from outpace.racing.plan import Profile
from outpace.racing.result import Entrant, Recommendation
from outpace.racing.speedup import WORTH, WORTH_S, gain, is_worth_it, total_s
from outpace.racing.stats import MedianRange, distinguishable

MOST_ITEMS = 1e9  # beyond which nobody is helped by hearing of it


def recommend(
    entrants: Sequence[Entrant], profile: Profile, cpus: int, items: int = 0
) -> Recommendation:
    """Choose among the entrants (the simplest first) for this many items, and give the reasons."""
    serial = entrants[0]
    sound = [e for e in entrants if e.status == "ran" and e.results != "different"]
    if not sound or serial.makespan_s is None:
        return Recommendation("serial", ("nothing else gave the same results",))
    best = min(sound, key=total_s)
    simplest = next(e for e in sound if e is best or not _differ(e, best))
    if simplest is serial or not is_worth_it(serial, simplest):
        reasons = [*_why_serial(serial, best), *_with_more_items(serial, sound, items)]
        return Recommendation("serial", tuple(reasons))
    reasons = [_won(simplest, serial)]
    reasons += _same_as(simplest, sound, best)
    reasons += _why_others(entrants, simplest, profile, cpus)
    return Recommendation(simplest.model, tuple(reasons))


def _differ(a: Entrant, b: Entrant) -> bool:
    """Say whether two entrants' totals can be told apart."""
    return distinguishable(_with_startup(a), _with_startup(b))


def _with_startup(entrant: Entrant) -> MedianRange:
    """Return the spread of start-up and makespan together."""
    spread, startup = entrant.makespan_s, entrant.startup_s or 0.0
    assert spread is not None
    return MedianRange(
        spread.median + startup, spread.min + startup, spread.max + startup, spread.trials
    )


def _why_serial(serial: Entrant, best: Entrant) -> list[str]:
    """Say why the loop had better stay as it is."""
    if best is serial:
        return [
            f"leave it as it is: no model was faster than the {seconds(total_s(serial))} it takes"
        ]
    saved = total_s(serial) - total_s(best)
    return [
        (
            f"leave it as it is: {best.model} would save {seconds(max(0.0, saved))} of "
            f"{seconds(total_s(serial))}, start-up included, which is not worth it"
        )
    ]


def _with_more_items(serial: Entrant, sound: Sequence[Entrant], items: int) -> list[str]:
    """Say from how many items on start-up would be earned back, where that is what decides."""
    assert serial.makespan_s is not None
    able = [e for e in sound if (e.speedup or 0) >= WORTH and e.makespan_s is not None]
    if not able or not items:
        return []
    found = []
    for entrant in able:
        assert entrant.makespan_s is not None
        # Worth it is both a factor of WORTH and WORTH_S seconds ahead, start-up included.
        each, theirs = serial.makespan_s.median / items, entrant.makespan_s.median / items
        startup = entrant.startup_s or 0.0
        by_factor = startup / max(each / WORTH - theirs, 1e-12)
        by_seconds = (startup + WORTH_S) / (each - theirs)
        found.append((max(by_factor, by_seconds), entrant.model))
    count, model = min(found)
    if count > MOST_ITEMS:
        return []
    return [f"with more than about {round_up(count)} such items, {model} would be worth it"]


def round_up(count: float) -> str:
    """Write a count that is only roughly known, with two digits that mean something."""
    size = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{math.ceil(count / size) * size:,}"


def _won(chosen: Entrant, serial: Entrant) -> str:
    """Say by how much the chosen model is faster."""
    startup = f", {seconds(chosen.startup_s)} start-up included" if chosen.startup_s else ""
    about = "about " if serial.status == "stopped" else ""
    return (
        f"it took {seconds(total_s(chosen))}{startup}, where serial took {about}"
        f"{seconds(total_s(serial))} (x{gain(serial, chosen):.3g})"
    )


def _same_as(chosen: Entrant, sound: Sequence[Entrant], best: Entrant) -> list[str]:
    """Name the models that cannot be told apart from the chosen one."""
    alike = [e.model for e in sound if e is not chosen and not _differ(e, best)]
    if not alike:
        return []
    verb = "is" if len(alike) == 1 else "are"
    return [f"{listed(alike)} {verb} not distinguishable from it, and less simple"]


def _why_others(
    entrants: Sequence[Entrant], chosen: Entrant, profile: Profile, cpus: int
) -> list[str]:
    """Say what the work is, and why that suits the one and not the others."""
    reasons = []
    slow = [
        e.model
        for e in entrants
        if e.model in ("threads", "asyncio")
        and e.speedup is not None
        and e.speedup < WORTH
        and e is not chosen
    ]
    each = f"an item takes {seconds(profile.wall_s)}"
    if profile.is_waiting:
        reasons.append(f"{each}, {profile.waits:.0%} of it waiting, and waits can overlap")
    elif slow:
        verb = "is" if len(slow) == 1 else "are"
        reasons.append(
            f"{each}, {1 - profile.waits:.0%} of it computing, and {listed(slow)} {verb} no faster, "
            "since only one thread at a time may run Python (the GIL)"
        )
    else:
        reasons.append(f"{each}, {1 - profile.waits:.0%} of it computing, on {cpus} CPUs")
    different = [e.model for e in entrants if e.results == "different"]
    if different:
        reasons.append(f"{listed(different)} gave different results")
    return reasons


def listed(names: Sequence[str]) -> str:
    """Join names as a person does."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
