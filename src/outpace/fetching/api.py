"""`outpace.fetch`: every setting checked, and a job made of source, engine, sink and manifest."""

from __future__ import annotations

import contextlib
import inspect
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from outpace.errors import TemporaryFetchError, UsageError, UsageTypeError, WorkerLostError
from outpace.fetching import resume as earlier
from outpace.fetching import url_source
from outpace.fetching.job import FetchJob
from outpace.fetching.manifest import Manifest, ManifestLine
from outpace.fetching.politeness import wait_for
from outpace.fetching.settings import Getter, allow_files, make_getter
from outpace.fetching.sinks import DirectorySink, NoSink, Sink
from outpace.fetching.urls import normaliser
from outpace.fetching.warc import ARCHIVE_SUFFIXES, WarcSink
from outpace.flow.amounts import check_flag, check_positive, kind, whole
from outpace.flow.credit import Ahead
from outpace.flow.data import Outcome, Record
from outpace.flow.engine import Engine
from outpace.flow.job import Job
from outpace.flow.keywords import refuse
from outpace.flow.protocol import Call, Observer, Recorder
from outpace.flow.retry import Retry
from outpace.flow.run import Run
from outpace.flow.show import shown
from outpace.registry import opening

LOOK_AHEAD = 32_768  # URLs that wait for their host's turn: how long a slow host's stretch may be
RETRIED = (TemporaryFetchError, WorkerLostError)  # what may be better next time
INTERNAL = ("look_ahead", "outcomes", "record", "watching")  # not settings that a user has here
CHUNK = 64  # URLs that travel together; beside what a page costs it hardly matters


Watching = tuple[Recorder | None, Sequence[Observer]]  # who watches a run


@dataclass(slots=True, frozen=True, kw_only=True)
class Destination:
    """Where pages go, and what an earlier run there means."""

    into: Path | None = None
    manifest: Path | None = None
    bodies: bool = True  # whether the caller gets them, where they go nowhere else
    resume: bool = False
    retry_failed: bool = False
    kinds: Sequence[str] = ()  # of failures that are tried again; none named: all
    update: bool = False

    @property
    def manifest_path(self) -> Path | None:
        """Say where the manifest is: in the directory, or beside the archive."""
        if self.manifest is not None or self.into is None:
            return self.manifest
        if self.is_archive:
            return self.into.with_name(f"{self.into.name}.manifest.jsonl")
        return self.into / "manifest.jsonl"

    @property
    def is_archive(self) -> bool:
        """Say whether pages go into one archive."""
        return self.into is not None and self.into.name.lower().endswith(ARCHIVE_SUFFIXES)

    @property
    def again(self) -> bool:
        """Say whether URLs of the manifest are done again."""
        return self.retry_failed or self.update


class Fetch(Run[Outcome]):
    """A run that fetches: iterate over the outcomes; `tally` counts what has come so far."""

    def __init__(self, engine: Engine, job: FetchJob) -> None:
        """Start nothing yet."""
        super().__init__(engine, job.take_in)
        self.job = job
        self.tally = job.tally
        self._finishing = weakref.finalize(self, job.close)

    @property
    def in_flight(self) -> int:
        """Count the URLs that are out: on their way, or waiting for their host's turn."""
        return self._engine.dispatcher.in_flight

    @property
    def total(self) -> int | None:
        """Count the URLs of this run; None until the last of them has been read."""
        return self._engine.dispatcher.counts.pulled if self.job.read_all else None

    def __next__(self) -> Outcome:
        """Return the next outcome."""
        try:
            return super().__next__()
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        """Stop everything, and finish every file."""
        try:
            super().close()
        finally:
            if not self._releases.gi_running:  # type: ignore[attr-defined] # else that thread does it
                self.job.close()


def open_fetch(
    urls: str | Iterable[str],
    *,
    into: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retries: int = 2,
    resume: bool = False,
    retry_failed: bool | Sequence[str] = False,
    update: bool = False,
    look_ahead: int | None = None,
    outcomes: bool = True,
    record: Record = "off",
    watching: Watching = (None, ()),
    **settings: Any,
) -> Fetch:
    """Check everything and return a run; what `outpace.fetch` promises."""
    workers = check_positive("workers", workers)
    look_ahead = check_positive("look_ahead", look_ahead)
    times = whole(retries)
    if times is None or times < 0:
        raise UsageError(f"retries is a whole number, 0 or more, not {shown(retries)}")
    own = inspect.signature(open_fetch).parameters.keys() - {"settings", *INTERNAL}
    refuse("fetch", settings, inspect.signature(make_getter).parameters.keys(), own)
    getter = make_getter(**settings)
    allow_files(getter.in_flight)
    kinds = [retry_failed] if isinstance(retry_failed, str) else retry_failed
    if isinstance(kinds, list | tuple | set | frozenset):
        known = tuple(earlier.checked_kinds(kinds))
    else:
        kinds, known = check_flag("retry_failed", kinds), ()
    destination = Destination(
        into=_path("into", into),
        manifest=_path("manifest", manifest),
        bodies=outcomes,
        resume=check_flag("resume", resume),
        retry_failed=bool(kinds),
        kinds=known,
        update=check_flag("update", update),
    )
    return make_run(
        url_source.stripped(_several(urls)),
        getter,
        destination,
        workers=workers,
        retries=times,
        look_ahead=look_ahead or LOOK_AHEAD,
        outcomes=outcomes,
        record=record,
        watching=watching,
    )


def _several(urls: Any) -> Iterable[Any]:
    """Return URLs where one or more are given; raise for what is neither."""
    if isinstance(urls, str):
        return [urls]
    if not isinstance(urls, Iterable) or isinstance(urls, bytes | bytearray):
        raise UsageTypeError(f"urls is a URL or an iterable of them, not {shown(urls)}")
    return urls


def _path(name: str, value: Any) -> Path | None:
    """Return a path, or None; raise for what cannot be one."""
    if value is None:
        return None
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise UsageTypeError(f"{name} is a path, not {kind(value)}: {shown(value)}")
    if "\0" in text:
        raise UsageError(f"no path has a character 0 in it: {name}={shown(text)}")
    return Path(text)


def make_run(
    urls: Iterable[str],
    getter: Getter,
    destination: Destination,
    *,
    workers: int | None = None,
    retries: int = 0,
    look_ahead: int = LOOK_AHEAD,
    outcomes: bool = True,
    record: Record = "off",
    watching: Watching = (None, ()),
) -> Fetch:
    """Open what is needed and return the run; nothing is fetched yet."""
    # What is not installed is said before anything is written.
    normaliser()
    getter.policy()
    count = min(workers or 1, getter.most_workers())
    model = "fetch" if count == 1 else "processes+fetch"
    chosen = opening(model, count, getter.in_flight, for_requests=True)
    with contextlib.ExitStack() as undo:
        job = _open_job(urls, getter, destination, outcomes=outcomes, undo=undo)
        sink = job.sink
        getter = replace(
            getter,
            keep_body=sink.keep_body,
            keep_head=sink.keep_head,
            hash_body=sink.keep_body or job.manifest is not None,
            spool=sink.spool,
        )
        call = Call(getter.shared(count), record=record)
        retry = Retry(retries, on=RETRIED, wait=wait_for) if retries else None
        of_engine = Job(
            call, job.items(), None, ordered=False, chunk=CHUNK, on_error="return", retry=retry
        )
        credit = Ahead(chosen.slots, fixed=CHUNK, hold=max(look_ahead, chosen.slots))
        recorder, observers = watching
        run = Fetch(Engine(of_engine, chosen, recorder, observers, credit=credit), job)
        undo.pop_all()
    return run


def _open_job(
    urls: Iterable[str],
    getter: Getter,
    destination: Destination,
    *,
    outcomes: bool,
    undo: contextlib.ExitStack,
) -> FetchJob:
    """Open the manifest and the sink, and find out what an earlier run has done."""
    path, into = destination.manifest_path, destination.into
    _check_modes(destination, path)
    manifest = done = known = None
    cut = 0
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path.parent if path else into} cannot be made: {error.strerror}"
        ) from None
    if path is not None:
        manifest = Manifest(path, again=destination.again)
        undo.callback(manifest.abandon)
        manifest.prepare()
        if destination.resume:
            done = earlier.finished(path, _is_whole(destination))
            undo.callback(done.close)
        cut = earlier.last_end(path) if destination.is_archive else 0
        if destination.retry_failed:
            urls = earlier.failed(path, destination.kinds)
        elif destination.update:
            known = earlier.Validators()
            urls = known.fed(earlier.fetched(path, _is_whole(destination)))
    sink: Sink
    if into is None:
        sink = NoSink(
            keep_body=destination.bodies, keep_head=destination.bodies or path is not None
        )
    elif destination.is_archive:
        sink = WarcSink(into, getter.user_agent, cut)
    else:
        sink = DirectorySink(into)
    undo.callback(sink.close)
    return FetchJob(urls, sink, manifest, done, known, outcomes)


def _is_whole(destination: Destination) -> Callable[[ManifestLine], bool]:
    """Return what says whether the page of a manifest's line is there, whole."""
    if destination.into is None:
        return lambda _: True
    check = earlier.in_archive if destination.is_archive else earlier.in_directory
    return check(destination.into)


def _check_modes(destination: Destination, path: Path | None) -> None:
    """Raise `UsageError` for what would overwrite an earlier run, or needs one that is not there."""
    modes = {
        "resume": destination.resume,
        "retry_failed": destination.retry_failed,
        "update": destination.update,
    }
    asked = [name for name, wanted in modes.items() if wanted]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: one at a time")
    if asked and path is None:
        raise UsageError(f"{asked[0]} needs the manifest of an earlier run: say where pages went")
    if path is None:
        return
    if destination.again and not path.exists():
        raise UsageError(
            f"there is no manifest {path}: nothing to {asked[0].replace('_', ' ')} yet"
        )
    if not asked and path.exists():
        raise UsageError(
            f"{path} is there from an earlier run: go on with --resume, --retry-failed or --update, "
            "or choose another place"
        )
    into = destination.into
    if into is None:
        return
    if destination.is_archive:
        if into.exists() and not path.exists():
            raise UsageError(f"{into} is there already, without a manifest: choose another place")
    elif into.exists() and not into.is_dir():
        raise UsageError(
            f"{into} is no directory: end its name in {', '.join(ARCHIVE_SUFFIXES)} for one archive"
        )
