"""A race from its start to its summary, for `outpace.race` and the command line."""

from __future__ import annotations

from collections.abc import Callable

from outpace.flow.signals import Terminated, claimed
from outpace.racing.result import Race
from outpace.racing.runner import RaceRunner
from outpace.racing.summary import summarise
from outpace.record.timeline import Writer


def run_race(
    runner: RaceRunner, name: str | None, show: Callable[[Race], str], writer: Writer | None
) -> Race:
    """Run a race and sum it up.

    Ctrl-C and SIGTERM go on as what they are, and have as their `race` what there was by then, if there
    was anything.
    """
    try:
        with claimed():
            runner.run()
    except (KeyboardInterrupt, Terminated) as interrupt:
        if runner.break_off():
            interrupt.race = summarise(runner, name, show, writer)  # type: ignore[union-attr]
        raise
    return summarise(runner, name, show, writer)
