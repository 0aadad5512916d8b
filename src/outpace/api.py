"""The doors: each checks what it was given, puts a run together, and lets the engine work."""

from __future__ import annotations

import operator
import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.amounts import check_positive, is_one_of, kind
from outpace.flow.data import Outcome, Record
from outpace.flow.engine import Engine
from outpace.flow.job import check_record, make_care, make_job
from outpace.flow.keywords import door
from outpace.flow.protocol import Observer
from outpace.flow.retry import Retry
from outpace.flow.run import Run
from outpace.flow.show import View, as_outcomes, as_values, shown
from outpace.registry import opening

if TYPE_CHECKING:  # asyncio and the race are imported when they are used: they cost a plain map
    from outpace.fetching.api import Fetch
    from outpace.flow.arun import AsyncRun
    from outpace.racing.result import Race
    from outpace.record.recorder import Recorder
    from outpace.record.timeline import Writer
    from outpace.report.progress import Snapshot


@door
def map(  # noqa: A001 - the public name; one argument per thing a user can ask for
    fn: Callable[..., Any],
    *iterables: Iterable[Any],
    model: str = "auto",
    workers: int | None = None,
    in_flight: int | None = None,
    ordered: bool = True,
    chunk: int | None = None,
    setup: Callable[[], Any] | None = None,
    timeout: float | None = None,
    retries: int | Retry = 0,
    starmap: bool = False,
    rate: float | None = None,
    group: Callable[[Any], Any] | None = None,
    per_group: int | None = None,
    group_rate: float | None = None,
    on_error: str = "raise",
    max_items: int | None = None,
    max_memory: float | None = None,
    max_crashes: int | None = None,
    record: Record = "default",
    progress: bool | Callable[[Snapshot], object] | None = None,
) -> Run[Any]:
    """Call `fn(item)` for every item, under any concurrency model; iterate over the values.

    Several iterables go side by side, as for the builtin: `fn(x, y)`, until the shortest ends. With
    `starmap=True` the items of one are tuples of arguments: `fn(*item)`.

    Nothing starts before the first value is asked for, and nothing is left when the loop is left. Items
    are read as needed; values come in their order (some may wait for a slow one), if `ordered`.

    `model`: a name of `outpace.models()`, or "auto", which measures the first items and chooses for
    the rest. `workers`: how many processes, by default as many as there are CPUs. `in_flight`: how many
    items at once in the whole job. `chunk`: how many travel together, measured by default.
    `setup`: a factory of a context manager, opened once per lane (thread, process or loop) and passed
    along as the last argument: `fn(item, state)`.

    `timeout`: seconds for one attempt of one item, from its own start. A coroutine is cancelled; a
    stuck worker process is killed and replaced; a thread cannot be killed and is abandoned (for which
    `serial` runs in one). Only that item is timed out. `retries`: how often an item is tried again
    that raised, timed out or was lost with its worker; a number, or an `outpace.Retry`.

    `rate`: how many items may start in a second. `group`: a function of the item, called as `fn` is but
    for the state, that returns its group (a host, an account, a disk): `per_group` items of each run at
    once, `group_rate` of each start in a second, and a group that is slow keeps no other waiting.

    `max_items`, `max_memory`: a worker process that has done so many items, or has so many bytes
    resident (up to 1.0: such a share of what there is), is replaced between two items. `max_crashes`:
    how many deaths of each are made good; by default any number while items succeed in between.

    `on_error`: "raise" raises the first error, in the order of the values, with the item and the
    worker's traceback noted on it; "skip" leaves failed items out; "return" yields the exception.
    `progress`: True shows how far it is and what each worker is on; a function gets a snapshot of it.
    `record`: what `timeline` shows. "default": items and their CPU seconds, and lines that block an
    event loop; "full": also what threads waited for (Linux), and all steps of coroutines.

    Raises `UsageError` or `UsageTypeError` at once for arguments that cannot work.
    """
    return Run(_engine(**locals()), as_values(on_error))


@door
def run(
    fn: Callable[..., Any],
    *iterables: Iterable[Any],
    model: str = "auto",
    workers: int | None = None,
    in_flight: int | None = None,
    ordered: bool = True,
    chunk: int | None = None,
    setup: Callable[[], Any] | None = None,
    timeout: float | None = None,
    retries: int | Retry = 0,
    starmap: bool = False,
    rate: float | None = None,
    group: Callable[[Any], Any] | None = None,
    per_group: int | None = None,
    group_rate: float | None = None,
    max_items: int | None = None,
    max_memory: float | None = None,
    max_crashes: int | None = None,
    record: Record = "default",
    progress: bool | Callable[[Snapshot], object] | None = None,
) -> Run[Outcome]:
    """Call `fn(item)` for every item; iterate over `Outcome`s, never raising for an item.

    Takes what `map` takes, except `on_error`, and promises the same. An outcome is one of `Done`,
    `Failed`, `TimedOut`, `Lost` (it took its worker with it); it has the item, its value or error, its
    attempts and times.
    """
    return Run(_engine(**locals()), as_outcomes())


@door
def amap(
    fn: Callable[..., Any],
    *iterables: Iterable[Any] | AsyncIterable[Any],
    model: str = "auto",
    workers: int | None = None,
    in_flight: int | None = None,
    ordered: bool = True,
    chunk: int | None = None,
    setup: Callable[[], Any] | None = None,
    timeout: float | None = None,
    retries: int | Retry = 0,
    starmap: bool = False,
    rate: float | None = None,
    group: Callable[[Any], Any] | None = None,
    per_group: int | None = None,
    group_rate: float | None = None,
    on_error: str = "raise",
    max_items: int | None = None,
    max_memory: float | None = None,
    max_crashes: int | None = None,
    record: Record = "default",
    progress: bool | Callable[[Snapshot], object] | None = None,
) -> AsyncRun[Any]:
    """Do what `map` does from inside a running event loop, to be used with `async for`.

    Items may be an asynchronous iterable, or several of both kinds. With asyncio, coroutines run on the
    caller's own loop, and so can use what belongs to it; any other model works beside it, in threads
    or processes.
    """
    return _async_run(_engine(**locals(), allow_async_items=True), as_values(on_error))


@door
def arun(
    fn: Callable[..., Any],
    *iterables: Iterable[Any] | AsyncIterable[Any],
    model: str = "auto",
    workers: int | None = None,
    in_flight: int | None = None,
    ordered: bool = True,
    chunk: int | None = None,
    setup: Callable[[], Any] | None = None,
    timeout: float | None = None,
    retries: int | Retry = 0,
    starmap: bool = False,
    rate: float | None = None,
    group: Callable[[Any], Any] | None = None,
    per_group: int | None = None,
    group_rate: float | None = None,
    max_items: int | None = None,
    max_memory: float | None = None,
    max_crashes: int | None = None,
    record: Record = "default",
    progress: bool | Callable[[Snapshot], object] | None = None,
) -> AsyncRun[Outcome]:
    """Do what `run` does from inside a running event loop, to be used with `async for`."""
    return _async_run(_engine(**locals(), allow_async_items=True), as_outcomes())


def _async_run(engine: Engine, view: View) -> AsyncRun[Any]:
    """Make a run to be awaited."""
    from outpace.flow.arun import AsyncRun  # noqa: PLC0415

    return AsyncRun(engine, view)


def _engine(
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    *,
    model: str,
    workers: int | None,
    in_flight: int | None,
    max_items: int | None,
    max_memory: float | None,
    max_crashes: int | None,
    progress: Any,
    on_error: str = "return",
    **of_job: Any,
) -> Engine:
    """Put a job and a model together: what a door was given, every argument of it by its name."""
    job = make_job(fn, *iterables, on_error=on_error, **of_job)
    care = make_care(max_items, max_memory, max_crashes)
    watching = _recorder(job.call.record, job.items), _observers(progress)
    if is_one_of(model, ["auto"]):
        if not job.call.is_async:
            workers = check_positive("workers", workers)
            in_flight = check_positive("in_flight", in_flight)
            from outpace.auto import Auto  # noqa: PLC0415 - 5 of the 40 ms of `import outpace`

            return Engine(job, Auto(job.total, workers, in_flight, care), *watching)
        chosen = opening("asyncio", workers, in_flight)
        chosen.reasons.append("asyncio: the function is a coroutine function")
        return Engine(job, chosen, *watching)
    chosen = opening(model, workers, in_flight, care, total=job.total)
    return Engine(job, chosen, *watching)


def _observers(progress: Any, what: str = "") -> list[Observer]:
    """Return who watches the run: what shows the progress, if that is wanted."""
    if progress is None or progress is False:
        return []
    from outpace.report.progress import make_progress  # noqa: PLC0415 - for who wants to see it

    shown = make_progress(progress, what=what)
    return [] if shown is None else [shown]


def _recorder(record: Record, items: object) -> Recorder | None:
    """Return what keeps the record of a run; None where nothing is to be recorded."""
    if record == "off":
        return None
    from outpace.record.recorder import Recorder  # noqa: PLC0415 - a few ms of import

    return Recorder(record, items, _pictures)


def _pictures() -> Writer:
    """Return what draws and saves."""
    from outpace.report.save import PICTURES  # noqa: PLC0415 - for who wants to see something

    return PICTURES


def fetch(
    urls: str | Iterable[str],
    *,
    into: str | os.PathLike[str] | None = None,
    in_flight: int | None = None,
    per_host: int | None = None,
    rate: float | None = None,
    delay: float = 0.0,
    workers: int | None = None,
    retries: int = 2,
    resume: bool = False,
    retry_failed: bool | Sequence[str] = False,
    update: bool = False,
    record: Record = "default",
    progress: bool | Callable[[Snapshot], object] | None = None,
    **settings: Any,
) -> Fetch:
    """Fetch pages by URL, as fast as the machine and politely as the sites need; iterate over outcomes.

    An outcome's value is a `Page` (`url`, `final_url`, `status`, `body` or `path`, `sha256`, …); where
    none came, its error is a `FetchError` whose `kind` says why (`dns`, `timeout`, `http`, …). Each URL
    is fetched once, however often and in whatever spelling it is given; what is no URL is an outcome.

    `into`: a directory (a file a page), an archive (`.warc`, `.warc.gz`, `.warc.zst`), or None: the body
    is in the page. Directory and archive get a manifest with a line for each URL, by which `resume`
    goes on after a kill, `retry_failed` (True, or kinds) tries the failed ones again, and `update` asks
    the sites for what has changed; with these two, `urls` is not read.

    `in_flight` (256) at once in all, `per_host` (6) at one host, their starts `delay` seconds apart;
    `rate` pages a second in all; `workers` processes (1). `retries` (2) of what may succeed later; a
    site's Retry-After is obeyed.

    `record` is what `timeline` shows and `progress` who is told how far it is, both as in `map`.

    `settings`: `timeout` (300 s a page), `connect_timeout` (15), `max_size` (4 GiB), `headers`,
    `user_agent`, `http` ("1.1", "2", "3"), `proxy`, `max_redirects` (10), `insecure`, `robots`,
    `public_only` (no private addresses), `manifest` (its path).

    Raises `UsageError` or `UsageTypeError` before any work for arguments that cannot work.
    """
    from outpace.fetching.api import open_fetch  # noqa: PLC0415 - not for a plain map

    return open_fetch(
        urls,
        into=into,
        in_flight=in_flight,
        per_host=per_host,
        rate=rate,
        delay=delay,
        workers=workers,
        retries=retries,
        resume=resume,
        retry_failed=retry_failed,
        update=update,
        record=check_record(record),
        watching=(_recorder(record, None), _observers(progress)),
        **settings,
    )


@door
def race(
    functions: Callable[..., Any] | Sequence[Callable[..., Any]],
    items: Iterable[Any],
    *,
    models: Sequence[str] | None = None,
    workers: int | None = None,
    in_flight: int | Mapping[str, int] | None = None,
    repeat: int | None = None,
    budget: float | None = None,
    setup: Any = None,
    same: Callable[[Any, Any], Any] = operator.eq,
    record: Record = "full",
    progress: bool | Callable[[Snapshot], object] | None = None,
    name: str | None = None,
) -> Race:
    """Run the same items under every model, side by side; return the table and what to use.

    The items run many times over: once per model and round. `functions` is one function, or several
    that do the same work (one plain, one coroutine): each model runs the first that it runs natively.
    Serial goes first and is what the others' results are compared with, item by item, by `same`.

    `models`: names, by default all; serial always runs. `workers`, `in_flight`: the setting for all,
    by default what suits each model and the work; `in_flight` may also be a number for each model,
    as in `{"threads": 5, "asyncio": 160}`. `repeat`: how many rounds, by default up to three
    as time allows. `budget`: seconds that the race may take (300); who is not done is stopped, and
    its time extrapolated, or the item named that hangs. `setup`: as in `map`, one for all or one per
    function. `record`: what is recorded of what ran when, as in `map`, for all alike. `progress`: as in
    `map`, pass by pass; a snapshot's `what` says which pass.

    Raises `UsageError` or `UsageTypeError` before any work for arguments that cannot work. A model
    that cannot run here is a row of the table that says why. Of a `KeyboardInterrupt`, and of the
    `SystemExit` of a SIGTERM, `race` is the race as far as it had come, if any item had ended.
    """
    from outpace.racing.api import run_race  # noqa: PLC0415
    from outpace.racing.runner import RaceRunner  # noqa: PLC0415
    from outpace.report.save import PICTURES  # noqa: PLC0415
    from outpace.report.table import race_table  # noqa: PLC0415

    if name is not None and not isinstance(name, str):
        raise UsageTypeError(f"name is text, not {kind(name)}: {shown(name)}")
    _observers(progress)  # before any work: it may be none
    runner = RaceRunner(
        functions,
        items,
        models=models,
        workers=workers,
        in_flight=in_flight,
        repeat=repeat,
        budget=budget,
        setup=setup,
        same=same,
        record=record,
        watch=lambda what: _observers(progress, what),
    )
    return run_race(runner, name, race_table, PICTURES)


def register_joblib() -> None:
    """Make the backend `outpace` known to joblib: `with joblib.parallel_config(backend="outpace"):`.

    `model=` there is the model, by default `processes`. Raises `UsageError` without joblib 1.5.
    """
    try:
        from outpace.futures.joblib import register  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "joblib":
            raise
        raise UsageError("joblib is not installed; `pip install joblib` installs it") from None
    register()
