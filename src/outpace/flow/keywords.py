"""What an option that we do not have is called here: `n_jobs=` is `workers=`.

People come from joblib, multiprocessing, concurrent.futures, asyncio, tqdm; their fingers know those.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from outpace.errors import UsageTypeError

Door = TypeVar("Door", bound=Callable[..., Any])

# Theirs, by ours: the option, and what else there is to know, after a comma. One of theirs may be
# several of ours: what counts is what the door has.
OURS = {
    "workers": "n_jobs jobs max_workers n_workers num_workers nworkers num_proc nprocs cpus n_cpus "
    "num_cpus cores",
    'workers, with model="processes"': "processes n_processes num_processes process_count",
    'in_flight, with model="threads"': "threads n_threads num_threads nthreads thread_count",
    "in_flight": "concurrency max_concurrency concurrent max_concurrent concurrent_tasks max_in_flight "
    "limit max_tasks num_tasks pool_size max_connections buffersize prefetch pre_dispatch queue_size",
    "chunk": "chunksize chunk_size batch batchsize batch_size",
    "setup, a function that makes a context manager": "initializer initargs init worker_init "
    "worker_state context",
    "retries": "retry tries attempts max_tries max_retries max_attempts",
    "times, how often after the first attempt": "retries retry tries attempts max_tries max_retries "
    "max_attempts",
    "on, an exception class, several, or a function": "exceptions exception retry_on errors",
    "wait, in seconds": "delay sleep backoff backoff_factor min_wait min_delay wait_initial",
    "longest, in seconds": "max_delay max_wait wait_max max_backoff backoff_max",
    "timeout, in seconds for each item": "task_timeout item_timeout time_limit",
    "on_error": "return_exceptions errors ignore_errors raise_errors on_exception error_callback",
    "rate, in starts a second": "rps qps max_rate rate_limit limit_rate requests_per_second "
    "max_per_second throttle",
    "group, a function of the item": "group_by groupby",
    "per_group": "per_host per_key max_per_group limit_per_host",
    "max_items": "maxtasksperchild max_tasks_per_child worker_lifespan",
    "max_memory": "memory memory_limit",
    "ordered": "unordered order keep_order preserve_order in_order",
    "progress, as in progress=True": "desc total tqdm pbar progress_bar show_progress verbose callback",
    "model": "backend executor pool prefer method mode kind",
    "repeat": "rounds runs trials",
    "budget, in seconds": "max_time seconds",
    "into": "output out path directory",
}


def door(fn: Door) -> Door:
    """Have a public function say which option was meant, where it is given one that it does not have.

    For a class, give its `__init__`.
    """
    parameters = inspect.signature(fn).parameters.values()
    known = {each.name for each in parameters if each.kind is not each.VAR_POSITIONAL} - {"self"}
    name = fn.__qualname__.partition(".")[0]

    @functools.wraps(fn)
    def checked(*args: Any, **options: Any) -> Any:
        if not options.keys() <= known:
            refuse(name, options, known)
        try:
            return fn(*args, **options)
        except (AttributeError, ImportError) as error:
            from outpace.flow.shadowed import explain  # noqa: PLC0415 - for who has such a file

            explain(error)
            raise

    return checked  # type: ignore[return-value] # it takes and gives what that one does


def refuse(
    door: str, options: Iterable[str], known: Collection[str], also: Iterable[str] = ()
) -> None:
    """Raise `UsageTypeError` for the first of these options that is not known; name what is meant.

    `also` are options that are known, too, and are not among these.
    """
    for given in options:
        if given not in known:
            raise UsageTypeError(_instead(door, given, sorted({*known, *also})))


def _instead(door: str, given: str, known: list[str]) -> str:
    """Say what to write instead of an option."""
    for meant, theirs in OURS.items():
        ours, _, more = meant.partition(", ")
        if ours in known and given in theirs.split():
            return f"{given}= is {ours}= here{more and f', {more}'}"
    if given == "on_error" and door in ("run", "arun"):
        return f"{door} has no option on_error=: it never raises for an item; see outcome.kind"
    if given == "items":
        return f"the items have no name: outpace.{door}(fn, items)"
    import difflib  # noqa: PLC0415 - for who has made a mistake

    close = difflib.get_close_matches(given, known, 1, 0.7)
    if close:
        return f"{door} has no option {given}=; perhaps {close[0]}= is meant"
    return f"{door} has no option {given}=; it has {'=, '.join(known)}="
