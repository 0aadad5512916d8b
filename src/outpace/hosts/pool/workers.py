"""A pool as a run sees it: the `Workers` of a host. Here are the clock and the waiting, and no decision.

One thread listens to reports and deaths alike: no manager thread, no queue or lock shared between
workers. After `close` no worker, descriptor or shared memory is left.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from outpace.errors import SetupError
from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.forks import in_a_fork
from outpace.flow.protocol import Care, Usage
from outpace.flow.signals import undisturbed
from outpace.hosts.channel.messages import Event, Logged, Printed, Warned
from outpace.hosts.channel.stdio import Relay
from outpace.hosts.pool.pool import Patience, Pool
from outpace.hosts.pool.transport import Link, Place, Transport

SAID = (Printed, Logged, Warned)


class PoolWorkers:
    """The workers of one run, over a transport."""

    def __init__(
        self,
        transport: Transport,
        care: Care,
        patience: Patience,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Have none yet: `open` starts them. The transport is ours to close from now on."""
        self._clock = clock
        self._transport = transport
        self._pool = Pool(transport, care, patience)
        self._relay = Relay()
        self._events: deque[tuple[Link, Event]] = deque()  # that the pool has not been told of
        self._places: list[Place] = []
        self._closed = self._hurry = False
        in_a_fork(self, PoolWorkers._disown)

    def open(self, workers: int, slots: int) -> None:
        """Start so many workers with so many lanes in all, and wait until they are ready.

        Raises `SetupError` or `WorkerStartError` when one is not, and leaves the closing to the caller.
        """
        share, extra = divmod(slots, workers)
        self._places = [Place(n, share + (n < extra)) for n in range(workers)]
        self._pool.open(self._places, self._clock())
        while not self._pool.is_open:
            self._turn(None)

    @property
    def slots(self) -> int:
        """Say how many items can run at once."""
        return self._pool.slots

    @property
    def usage(self) -> Usage:
        """Say what workers have used; complete after `close`."""
        return self._pool.usage

    def resize(self, workers: int) -> None:
        """Have so many workers from now on, new ones with as many lanes as the first has."""
        lanes = self._places[0].lanes
        new = (Place(number, lanes) for number in range(len(self._places), workers))
        self._places = [*self._places[:workers], *new]
        self._pool.resize(self._places, self._clock())

    @undisturbed
    def start(self, chunk: Chunk) -> None:
        """Hand over items."""
        self._pool.start(chunk, self._clock())

    @undisturbed
    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for the first report or death; return it and all others that are there."""
        if not self._pool.has_news:
            self._turn(timeout)
        return self._pool.take_news()

    @undisturbed
    def cancel(self, worker: int, index: int) -> None:
        """Put an end to an item whose time is up, by killing its worker."""
        self._pool.cancel(worker, index, self._clock())

    def wake(self) -> None:
        """End the current wait."""
        self._transport.wake()

    def running(self) -> Iterator[tuple[int, int, float]]:
        """Yield, for every item that runs now, its worker, its index, and since when."""
        return self._pool.running()

    def processes(self) -> list[int]:
        """List the workers' processes, for whoever looks at them from outside."""
        if not self._transport.traits.isolated:
            return [os.getpid()]
        return [pid for link in self._pool.links() if (pid := link.pid) is not None]

    def _turn(self, timeout: float | None) -> None:
        """Wait once, and tell the pool of everything that is there."""
        pool, events = self._pool, self._events
        if not events:
            due = pool.due()
            if due is not None:
                left = max(0.0, due - self._clock())
                timeout = left if timeout is None else min(left, timeout)
            events.extend(self._transport.wait(timeout))
        while events:  # what is left when one raises is told later: the closing wants to know
            link, event = events.popleft()
            if isinstance(event, SAID):
                self._relay.say_again(event)
            pool.told(link, event, self._clock())
        pool.tick(self._clock())

    def interrupt(self) -> None:
        """Have `close` wait for nobody for long."""
        self._hurry = True

    @undisturbed
    def close(self) -> None:
        """Let idle workers close their setups; make busy ones stop; leave nothing."""
        if self._closed:
            return
        self._closed = True
        error: BaseException | None = None
        try:
            self._pool.close(self._clock(), hurry=self._hurry)
            while not self._pool.is_over:
                self._turn(None)
            error = self._pool.exit_error
        finally:
            self._pool.let_go(kill=True)
            self._transport.close()
        if error is not None:
            raise error

    def _disown(self) -> None:
        """Let go of everything, in a fork of the caller: the workers are not its to end."""
        self._closed = True
        self._events.clear()
        self._pool.let_go(kill=False)
        self._transport.disown()


def opened(
    transport: Transport, care: Care, patience: Patience, workers: int, slots: int
) -> PoolWorkers:
    """Return open workers; close them again where that fails."""
    made = PoolWorkers(transport, care, patience)
    try:
        made.open(workers, slots)
    except BaseException:
        with contextlib.suppress(SetupError):  # at others' exits: that is not what went wrong first
            made.close()
        raise
    return made
