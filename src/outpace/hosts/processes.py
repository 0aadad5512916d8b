"""Worker processes: our own interpreters, one socket each, on this machine.

No `if __name__ == "__main__"` guard is needed, because a worker never imports the caller's `__main__`;
functions from there, lambdas and closures travel by value. `_crew` is what opens: the workers, and who
gets what.
"""

from __future__ import annotations

import contextlib
import sys

from outpace.drivers import _lane
from outpace.errors import SetupError, UsageError
from outpace.flow.protocol import Call, Care, Driver, Host
from outpace.flow.signals import undisturbed
from outpace.hosts._crew import Crew
from outpace.hosts._group import FEWER
from outpace.hosts._shared import DESCRIPTORS
from outpace.machine.ulimits import enough_descriptors

LAUNCHER = 8  # descriptors, for the starting of workers and the listening to them


class Processes(Host):
    """Give many workers in processes of this machine."""

    name = "processes"
    summary = "worker processes"

    def unavailable(self) -> str | None:
        """Say why processes cannot be started here, if so."""
        if sys.platform in ("emscripten", "wasi"):
            return "this platform has no processes; use serial or asyncio"
        return None

    @undisturbed
    def open(self, call: Call, driver: Driver, workers: int, slots: int, care: Care) -> Crew:
        """Start that many workers with a driver each, `slots` lanes in all."""
        if _lane.worker_loading:
            msg = (
                "a module that a worker process imports calls outpace as it is imported, so every "
                "worker would start workers; put that call into a function, or under "
                'if __name__ == "__main__"'
            )
            raise UsageError(msg)
        needs = f"{self.name} with workers={workers} needs about {LAUNCHER + workers * DESCRIPTORS}"
        with enough_descriptors(needs, FEWER):
            opened = Crew(call, driver, slots, workers, care)
        try:
            share, extra = divmod(slots, workers)
            opened.launch([(n, share + (n < extra)) for n in range(workers)])
            opened.wait_ready()
        except BaseException:
            # At the exits of others: that is not what went wrong first.
            with contextlib.suppress(SetupError):
                opened.close()
            raise
        return opened


host = Processes()
