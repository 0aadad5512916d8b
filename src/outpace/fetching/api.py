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
from outpace.fetching.job import Work
from outpace.fetching.manifest import Line, Manifest
from outpace.fetching.politeness import wait_for
from outpace.fetching.settings import Getter, allow_files, make_getter
from outpace.fetching.sinks import Directory, Nothing, Sink
from outpace.fetching.urls import normaliser
from outpace.fetching.warc import SUFFIXES, Warc
from outpace.flow.amounts import check_flag, check_positive, kind, whole
from outpace.flow.data import Outcome
from outpace.flow.engine import Engine
from outpace.flow.job import Job
from outpace.flow.keywords import refuse
from outpace.flow.protocol import Call
from outpace.flow.retry import Retry
from outpace.flow.run import Run
from outpace.flow.show import shown
from outpace.registry import opening

LOOK_AHEAD = 32_768  # URLs that wait for their host's turn: how long a slow host's stretch may be
AGAIN = (TemporaryFetchError, WorkerLostError)  # what may be better next time
CHUNK = 64  # URLs that travel together; beside what a page costs it hardly matters


@dataclass(slots=True, frozen=True, kw_only=True)
class Keeping:
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
        return self.into is not None and self.into.name.lower().endswith(SUFFIXES)

    @property
    def again(self) -> bool:
        """Say whether URLs of the manifest are done again."""
        return self.retry_failed or self.update


class Fetch(Run[Outcome]):
    """A run that fetches: iterate over the outcomes; `tally` counts what has come so far."""

    def __init__(self, engine: Engine, work: Work) -> None:
        """Start nothing yet."""
        super().__init__(engine, work.take_in)
        self.work = work
        self.tally = work.tally
        self._finishing = weakref.finalize(self, work.close)

    @property
    def in_flight(self) -> int:
        """Count the URLs that are out: on their way, or waiting for their host's turn."""
        return self._engine.dispatcher.in_flight

    @property
    def total(self) -> int | None:
        """Count the URLs of this run; None until the last of them has been read."""
        return self._engine.dispatcher.counts.pulled if self.work.read_all else None

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
                self.work.close()


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
    **settings: Any,
) -> Fetch:
    """Check everything and return a run; what `outpace.fetch` promises."""
    workers = check_positive("workers", workers)
    look_ahead = check_positive("look_ahead", look_ahead)
    times = whole(retries)
    if times is None or times < 0:
        raise UsageError(f"retries is a whole number, 0 or more, not {shown(retries)}")
    own = inspect.signature(open_fetch).parameters.keys() - {"settings", "look_ahead", "outcomes"}
    refuse("fetch", settings, inspect.signature(make_getter).parameters.keys(), own)
    getter = make_getter(**settings)
    allow_files(getter.in_flight)
    kinds = [retry_failed] if isinstance(retry_failed, str) else retry_failed
    if isinstance(kinds, list | tuple | set | frozenset):
        known = tuple(earlier.checked_kinds(kinds))
    else:
        kinds, known = check_flag("retry_failed", kinds), ()
    keeping = Keeping(
        into=_path("into", into),
        manifest=_path("manifest", manifest),
        bodies=outcomes,
        resume=check_flag("resume", resume),
        retry_failed=bool(kinds),
        kinds=known,
        update=check_flag("update", update),
    )
    return put_together(
        url_source.stripped(_several(urls)),
        getter,
        keeping,
        workers=workers,
        retries=times,
        look_ahead=look_ahead or LOOK_AHEAD,
        outcomes=outcomes,
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


def put_together(
    urls: Iterable[str],
    getter: Getter,
    keeping: Keeping,
    *,
    workers: int | None = None,
    retries: int = 0,
    look_ahead: int = LOOK_AHEAD,
    outcomes: bool = True,
) -> Fetch:
    """Open what is needed and return the run; nothing is fetched yet."""
    # What is not installed is said before anything is written.
    normaliser()
    getter.policy()
    count = min(workers or 1, getter.most_workers())
    model = "fetch" if count == 1 else "processes+fetch"
    chosen = opening(model, count, look_ahead, for_requests=True)
    with contextlib.ExitStack() as undo:
        work = _work(urls, getter, keeping, outcomes=outcomes, undo=undo)
        sink = work.sink
        getter = replace(
            getter,
            keep_body=sink.keep_body,
            keep_head=sink.keep_head,
            hash_body=sink.keep_body or work.manifest is not None,
            spool=sink.spool,
        )
        call = Call(getter.shared(count))
        retry = Retry(retries, on=AGAIN, wait=wait_for) if retries else None
        job = Job(
            call, work.items(), None, ordered=False, chunk=CHUNK, on_error="return", retry=retry
        )
        run = Fetch(Engine(job, chosen), work)
        undo.pop_all()
    return run


def _work(
    urls: Iterable[str],
    getter: Getter,
    keeping: Keeping,
    *,
    outcomes: bool,
    undo: contextlib.ExitStack,
) -> Work:
    """Open the manifest and the sink, and find out what an earlier run has done."""
    path, into = keeping.manifest_path, keeping.into
    _check_modes(keeping, path)
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
        manifest = Manifest(path, again=keeping.again)
        undo.callback(manifest.abandon)
        manifest.prepare()
        if keeping.resume:
            done = earlier.finished(path, _is_whole(keeping))
            undo.callback(done.close)
        cut = earlier.last_end(path) if keeping.is_archive else 0
        if keeping.retry_failed:
            urls = earlier.failed(path, keeping.kinds)
        elif keeping.update:
            known = earlier.Known()
            urls = known.fed(earlier.fetched(path, _is_whole(keeping)))
    sink: Sink
    if into is None:
        sink = Nothing(keep_body=keeping.bodies, keep_head=keeping.bodies or path is not None)
    elif keeping.is_archive:
        sink = Warc(into, getter.user_agent, cut)
    else:
        sink = Directory(into)
    undo.callback(sink.close)
    return Work(urls, sink, manifest, done, known, outcomes)


def _is_whole(keeping: Keeping) -> Callable[[Line], bool]:
    """Return what says whether the page of a manifest's line is there, whole."""
    if keeping.into is None:
        return lambda _: True
    check = earlier.in_archive if keeping.is_archive else earlier.in_directory
    return check(keeping.into)


def _check_modes(keeping: Keeping, path: Path | None) -> None:
    """Raise `UsageError` for what would overwrite an earlier run, or needs one that is not there."""
    modes = {
        "resume": keeping.resume,
        "retry_failed": keeping.retry_failed,
        "update": keeping.update,
    }
    asked = [name for name, wanted in modes.items() if wanted]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: one at a time")
    if asked and path is None:
        raise UsageError(f"{asked[0]} needs the manifest of an earlier run: say where pages went")
    if path is None:
        return
    if keeping.again and not path.exists():
        raise UsageError(
            f"there is no manifest {path}: nothing to {asked[0].replace('_', ' ')} yet"
        )
    if not asked and path.exists():
        raise UsageError(
            f"{path} is there from an earlier run: go on with --resume, --retry-failed or --update, "
            "or choose another place"
        )
    into = keeping.into
    if into is None:
        return
    if keeping.is_archive:
        if into.exists() and not path.exists():
            raise UsageError(f"{into} is there already, without a manifest: choose another place")
    elif into.exists() and not into.is_dir():
        raise UsageError(
            f"{into} is no directory: end its name in {', '.join(SUFFIXES)} for one archive"
        )
