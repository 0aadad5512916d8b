"""Worker processes: our own interpreters, one socket each, on this machine.

No `if __name__ == "__main__"` guard is needed, because a worker never imports the caller's `__main__`;
functions from there, lambdas and closures travel by value. `launch.transport` is how they are started
and talked to; who gets what is decided in `pool`.
"""

from __future__ import annotations

import sys

from outpace.drivers import _lane
from outpace.drivers._late import setup_patience
from outpace.drivers._setup import needs_loop
from outpace.errors import UsageError
from outpace.flow.deadlines import GRACE
from outpace.flow.protocol import Call, Care, Driver, Host, Workers
from outpace.flow.signals import undisturbed
from outpace.hosts.launch.process_group import FEWER
from outpace.hosts.launch.shared_memory import DESCRIPTORS
from outpace.hosts.launch.transport import ProcessTransport
from outpace.hosts.pool.pool import Patience
from outpace.hosts.pool.workers import opened
from outpace.machine.ulimits import enough_descriptors

LAUNCHER = 8  # descriptors, for the starting of workers and the listening to them


class Processes(Host):
    """Many workers in processes of this machine."""

    name = "processes"
    summary = "worker processes"

    def unavailable(self) -> str | None:
        """Say why processes cannot be started here, if so."""
        if sys.platform in ("emscripten", "wasi"):
            return "this platform has no processes; use serial or asyncio"
        return None

    @undisturbed
    def open(self, call: Call, driver: Driver, workers: int, slots: int, care: Care) -> Workers:
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
            transport = ProcessTransport(call, driver, weigh=care.max_memory is not None)
        loops = driver.scattered or needs_loop(call)
        patience = Patience(call.timeout, GRACE if loops else 0.0, setup_patience(call))
        return opened(transport, care, patience, workers, slots)


host = Processes()
