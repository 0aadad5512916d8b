"""`outpace.Executor`: any model behind the interface of the standard library's pools."""

from __future__ import annotations

import itertools
import math
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as StandardExecutor
from concurrent.futures import Future
from typing import Any

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.amounts import check_positive, real, whole
from outpace.flow.data import Summary
from outpace.flow.job import make_care, make_job
from outpace.flow.keywords import door
from outpace.flow.retry import Retry
from outpace.flow.show import shown
from outpace.futures.calls import (
    Initializer,
    carry_out,
    carry_out_after,
    carry_out_each,
    carry_out_with,
)
from outpace.futures.manager import Manager
from outpace.machine.clocks import LONGEST_WAIT
from outpace.registry import opening


class Executor(StandardExecutor):
    """Carry out calls under any concurrency model: a `concurrent.futures.Executor`.

    It goes wherever one is taken, `loop.run_in_executor` included, and replaces the standard pools.
    Plain and coroutine functions are both carried out under each model. Nothing starts before the
    first call; then all workers do.

    `model`: a name of `outpace.models()`; a number there is the number of workers, as for the standard
    pools. `workers` (or `max_workers`): how many processes, or how many threads or tasks where there
    is one process. `in_flight`: how many calls at once in all of them.

    `setup`: a factory of a context manager, opened once per lane (thread, process or loop); what it
    gives is passed to every call as the last positional argument. `initializer` and `initargs`: a
    function that is called once per lane, as in the standard pools.

    `chunk`: how many calls travel together. By default each goes alone, and only when a lane is free
    for it, so calls may wait for one another. None has it measured, as for `outpace.map`: many tiny
    calls are then carried faster, but one may have to wait for those it travels with.

    `timeout`, `retries`, `max_items`, `max_memory`, `max_crashes`: as for `outpace.map`, with calls for
    items.

    A worker that dies costs the call that it was on: its future raises `WorkerLostError` (here it is a
    `concurrent.futures.BrokenExecutor` too), and the executor goes on. When no worker can be started,
    every future and every `submit` raises `BrokenExecutor`.

    Raises `UsageError` or `UsageTypeError` at once for arguments that cannot work.
    """

    @door
    def __init__(
        self,
        model: str | int = "processes",
        workers: int | None = None,
        *,
        in_flight: int | None = None,
        max_workers: int | None = None,
        setup: Callable[[], Any] | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        chunk: int | None = 1,
        timeout: float | None = None,
        retries: int | Retry = 0,
        max_items: int | None = None,
        max_memory: float | None = None,
        max_crashes: int | None = None,
    ) -> None:
        """Check the arguments; start nothing yet."""
        model, workers = _model_and_workers(model, workers, max_workers)
        setup, carry = _ready(setup, initializer, initargs)
        job = make_job(
            carry,
            iter(()),  # the calls that are to come: they have no end, and nobody knows how many
            setup=setup,
            ordered=False,
            chunk=chunk,
            timeout=timeout,
            retries=retries,
            on_error="return",
        )
        care = make_care(max_items, max_memory, max_crashes)
        self._manager = Manager(job, opening(model, workers, in_flight, care))
        # Whoever drops an executor has what was submitted carried out, and then everything closed.
        weakref.finalize(self, self._manager.end).atexit = False

    @property
    def model(self) -> str:
        """Name the model that calls run under."""
        return self._manager.engine.opening.model

    @property
    def summary(self) -> Summary:
        """Say what is known so far, with calls for items: counts, times, throughput."""
        return self._manager.engine.summary()

    @property
    def _max_workers(self) -> int:
        """Say how many calls run at once, to libraries that ask the standard pools in this way."""
        return self._manager.engine.opening.slots

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn(*args, **kwargs)` carried out; return the future of its result.

        Raises `RuntimeError` after `shutdown`, `BrokenExecutor` when there are no workers.
        """
        if not callable(fn):
            raise UsageTypeError(
                f"what is submitted must be callable, and this is not: {shown(fn)}"
            )
        return self._manager.submit((fn, args, kwargs))

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Call `fn` on the items of the iterables, side by side; return an iterator over the results.

        As in the standard library: everything is submitted at once, or, with `buffersize`, no more
        than that many results (or chunks of `chunksize`) ahead of the one asked for. `timeout`
        seconds from now on `next` raises `TimeoutError`. What has not begun when the iterator is
        closed or raises is cancelled.
        """
        chunksize = min(check_positive("chunksize", chunksize) or 1, sys.maxsize)
        ahead = min(check_positive("buffersize", buffersize) or sys.maxsize, sys.maxsize)
        until = _until(timeout)
        rows = zip(*iterables, strict=False)
        if chunksize == 1:
            futures = (self.submit(fn, *row) for row in rows)
        else:
            pieces = iter(lambda: list(itertools.islice(rows, chunksize)), [])
            futures = (self.submit(carry_out_each, fn, piece) for piece in pieces)
        first = deque(itertools.islice(futures, ahead))
        results = _results(first, futures, until)
        return results if chunksize == 1 else itertools.chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Take no more calls; carry out those that were submitted, then leave nothing running.

        With `cancel_futures`, cancel those that have not begun. With `wait=False`, return at once.
        Raises `SetupError` when a setup fails at its exit.
        """
        self._manager.end(cancel=cancel_futures, awaited=wait)
        if wait:
            self._manager.join()

    def terminate_workers(self) -> None:
        """Stop now: busy worker processes are killed, coroutines cancelled, other calls not waited for.

        What is not settled raises `BrokenExecutor`. A thread cannot be killed: the call that it is
        on goes on to its end, for nobody. The name is that of Python 3.14's `ProcessPoolExecutor`.
        """
        self._manager.terminate()

    kill_workers = terminate_workers

    def __repr__(self) -> str:
        """Say what it is and how far."""
        settled = self._manager.engine.dispatcher.counts.settled
        return f"<outpace.Executor {self.model}: {settled} calls settled>"


def _until(timeout: Any) -> float | None:
    """Return the moment until which to wait, None for ever; raise unless it is a number of seconds."""
    if timeout is None:
        return None
    seconds = real(timeout)
    if seconds is None or not seconds >= -math.inf:  # it is, unless it is nan
        raise UsageTypeError(f"timeout must be a number of seconds, not {shown(timeout)}")
    return None if seconds > LONGEST_WAIT else time.monotonic() + seconds


def _results(
    ahead: deque[Future[Any]], more: Iterator[Future[Any]], until: float | None
) -> Iterator[Any]:
    """Yield the results in order, submitting one for each that is taken; cancel what is left."""
    try:
        while ahead:
            left = None if until is None else until - time.monotonic()
            # Not held on to in a variable: the caller may want it gone.
            yield _taken(ahead, left, more)
    finally:
        for future in ahead:
            future.cancel()


def _taken(ahead: deque[Future[Any]], left: float | None, more: Iterator[Future[Any]]) -> Any:
    """Return the next result; cancel its call when it does not come in time."""
    future = ahead[0]
    try:
        result = future.result(left)
        ahead.popleft()
        ahead.extend(itertools.islice(more, 1))
        return result
    finally:
        del future  # an exception's traceback would hold on to it


def _model_and_workers(
    model: str | int, workers: int | None, max_workers: int | None
) -> tuple[str, int | None]:
    """Sort out the arguments that the standard pools call otherwise."""
    if not isinstance(model, str):
        number = check_positive("workers", model)
        if workers is not None:
            raise UsageError(
                f"the first argument is the model or the number of workers; {model} and workers="
                f"{workers} are two numbers of workers"
            )
        workers, model = number, "processes"
    if max_workers is not None:
        if workers is not None:
            raise UsageError("workers and max_workers are the same; pass one of them")
        if (most := whole(max_workers)) is not None and most <= 0:
            raise UsageError(f"max_workers must be greater than 0, not {most}")
        workers = check_positive("max_workers", max_workers)
    if model == "auto":
        raise UsageError(
            "auto chooses by measuring one function, and an executor has many; name a model: "
            "'processes' for computing, 'threads' for waiting, 'asyncio' for coroutine functions"
        )
    return model, workers


def _ready(
    setup: Callable[[], Any] | None,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> tuple[Callable[[], Any] | None, Callable[..., Any]]:
    """Return what makes a lane ready, and what carries out a call there."""
    if initializer is None:
        return setup, carry_out if setup is None else carry_out_with
    if not callable(initializer):
        raise UsageTypeError(f"initializer must be callable, not {shown(initializer)}")
    if not isinstance(initargs, Iterable):
        raise UsageTypeError(f"initargs are the arguments in a tuple, not {shown(initargs)}")
    if setup is not None:
        raise UsageError("setup and initializer both make a lane ready; pass one of them")
    return Initializer(initializer, tuple(initargs)), carry_out_after
