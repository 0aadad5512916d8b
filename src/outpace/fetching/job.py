"""One job of fetching, between the engine and the disk: URLs go in, outcomes come out and are kept.

`items` is what the engine reads: each URL once, normalised. `take_in` is what it shows finished items:
the sink keeps the page, the manifest gets its line, the tally counts. Both run in the one thread that
iterates over the run, so nothing here is locked.

Order on the disk, which is what makes a kill harmless: the page, then its line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from outpace.errors import FetchError
from outpace.fetching import manifest_lines
from outpace.fetching.manifest import Manifest
from outpace.fetching.page import Page
from outpace.fetching.politeness import HopelessRequest
from outpace.fetching.resume import FinishedBefore, Validators
from outpace.fetching.seen_urls import SeenTexts
from outpace.fetching.sinks import Sink, remove
from outpace.fetching.tally import Tally
from outpace.fetching.urls import normaliser, redacted
from outpace.flow.data import Settled

FLUSH_EVERY = 0.1  # seconds; what a kill can make us fetch again
NOT_MODIFIED = 304


@dataclass(slots=True, eq=False)
class FetchJob:
    """One job of fetching: its URLs, where pages go, and what has become of them."""

    urls: Iterable[str]
    sink: Sink
    manifest: Manifest | None
    done: FinishedBefore | None = None
    known: Validators | None = None
    outcomes: bool = True  # whether the caller wants to see them
    tally: Tally = field(default_factory=Tally)
    read_all: bool = False  # whether the last URL has been read
    _seen: SeenTexts = field(default_factory=SeenTexts)
    _offset: float = field(default_factory=lambda: time.time() - time.perf_counter())
    _flushed: float = 0.0
    _closed: bool = False

    def items(self) -> Iterator[Any]:
        """Yield what is to be fetched: a URL, or (URL, header fields, what the user wrote)."""
        normalised, seen, done, known = normaliser(), self._seen, self.done, self.known
        for raw in self.urls:
            finished = done is not None and done.again(raw)
            self.tally.skipped += finished
            try:
                url = normalised(raw)
            except FetchError as error:
                if not finished:
                    yield HopelessRequest(raw, str(error))
                continue
            new = seen.add(url)
            if finished:
                continue
            if not new:
                self._note_duplicate(raw, url)
            elif known is not None and (fields := known.validators(raw)):
                yield url, fields, raw
            else:
                yield url if url == raw else (url, (), raw)
        self.read_all = True

    def take_in(self, settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        """Keep finished pages; yield their outcomes if somebody wants to see them."""
        report, outcomes = settled.report, list[Any]()
        failures, values, items = report.failures, report.values, settled.items
        for position in positions:
            item = items[position]
            raw = item if type(item) is str else item[-1] if type(item) is tuple else item.text
            failure = failures.get(position)
            started = report.started[position] + self._offset
            attempts = settled.attempts[position]
            if failure is None:
                page = self._keep(raw, values[position], attempts, started)
                values[position] = page
            else:
                seconds = report.ended[position] - report.started[position]
                self._note_failure(raw, failure.error, attempts, started, seconds)
            if self.outcomes:
                outcomes.append(settled.outcome(position))
        now = time.monotonic()
        if now - self._flushed >= FLUSH_EVERY:
            self._flushed = now
            self.flush()
        return iter(outcomes if self.outcomes else (None,))  # None: time to look at the tally

    def flush(self) -> None:
        """Let the system have everything: first the pages, then their lines."""
        self.sink.flush()
        if self.manifest is not None:
            self.manifest.flush()

    def close(self) -> None:
        """Finish every file."""
        if self._closed:
            return
        self._closed = True
        self._seen.close()
        if self.done is not None:
            self.done.close()
        if self.known is not None:
            self.known.close()
        try:
            self.sink.close()
        finally:
            if self.manifest is not None:
                self.manifest.close()

    def _keep(self, raw: str, page: Page, attempts: int, started: float) -> Page:
        """Keep a page that came."""
        tally = self.tally
        if page.status == NOT_MODIFIED and self.known is not None:
            tally.unchanged += 1
            return page  # its old line is still right
        tally.fetched += 1
        tally.size += page.size
        page, where = self.sink.keep(page, started)
        if self.manifest is not None:
            self.manifest.add(manifest_lines.of_page(raw, page, where, attempts, started))
        return page

    def _note_failure(
        self, raw: str, error: BaseException, attempts: int, started: float, seconds: float
    ) -> None:
        """Note that a page did not come, and keep what came instead."""
        page = getattr(error, "page", None)
        status = page.status or None if page is not None else None
        kind = getattr(error, "kind", "other")
        self.tally.fail(kind, status if kind == "http" else None, redacted(raw), str(error))
        if page is None or not page.status or kind != "http":
            if self.manifest is not None:
                line = manifest_lines.of_failure(raw, attempts, started, seconds, error)
                self.manifest.add(line)
            return
        self.tally.size += page.size
        where = ""
        if self.sink.keeps_failures:
            page, where = self.sink.keep(page, started)
            error.page = page  # type: ignore[attr-defined] # it is a FetchError, which has one
        else:
            remove(page.path)
        if self.manifest is not None:
            assert isinstance(error, FetchError)
            self.manifest.add(manifest_lines.of_page(raw, page, where, attempts, started, error))

    def _note_duplicate(self, raw: str, url: str) -> None:
        """Note that a URL came before."""
        self.tally.duplicates += 1
        if self.manifest is not None:
            self.manifest.add(manifest_lines.of_duplicate(raw, url, time.time()))
