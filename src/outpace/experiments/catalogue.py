"""The built-in races: what `outpace race pages` and `outpace race sums` run."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from outpace.errors import UsageError
from outpace.experiments import pages, published, server, sums

LATENCY = 0.1  # seconds that our own server lets a page wait: as from a site that is not far away


@dataclass(slots=True, frozen=True)
class Experiment:
    """The arguments of a race, and the published seconds to show beside it."""

    name: str
    functions: Sequence[Callable[..., Any]]
    items: list[Any]
    setup: Sequence[Callable[[], Any] | None] | None = None
    same: Callable[[Any, Any], Any] = operator.eq
    in_flight: Mapping[str, int] | None = None
    published: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def pages_experiment(
    *,
    count: int | None = None,
    latency: float | None = None,
    urls: Sequence[str] = (),
    as_published: bool = False,
    verbose: bool = False,
) -> Iterator[Experiment]:
    """Prepare the race of downloading pages: from our own server on loopback, or from real sites.

    `count` pages (160), each answered after `latency` seconds; or `urls`, over and over up to
    `count` when that is given. Raises `UsageError` when requests or aiohttp are not installed.
    """
    if (why := pages.missing()) is not None:
        raise UsageError(why)
    functions: list[Callable[..., Any]] = [pages.read, pages.aread, pages.fetcher()]
    setup: list[Callable[[], Any] | None] = [pages.session, pages.asession, None]
    if verbose:
        functions[:2] = pages.read_aloud, pages.aread_aloud
    for url in urls:
        if not re.match(r"https?://[^/\s]", url):
            msg = f"{url!r} is not a URL that can be read: write http:// or https:// and a site"
            raise UsageError(msg)
    if urls:
        items = [urls[n % len(urls)] for n in range(count or len(urls))]
        yield Experiment("pages", functions, items, setup, pages.same_visit)
        return
    if as_published:
        count, latency = published.PAGE_COUNT, published.PAGE_SECONDS
    with server.running(LATENCY if latency is None else latency) as base:
        yield Experiment(
            "pages",
            functions,
            server.urls(base, count or published.PAGE_COUNT),
            setup,
            pages.same_page,
            published.IN_FLIGHT if as_published else None,
            published.PAGES if as_published else {},
        )


@contextmanager
def sums_experiment(
    *, count: int | None = None, start: int | None = None, as_published: bool = False
) -> Iterator[Experiment]:
    """Prepare the race of summing squares: below `count` numbers (20) from `start` (5,000,000) up."""
    if as_published:
        count, start = None, published.FIRST_NUMBER
    first = published.FIRST_NUMBER if start is None else start
    yield Experiment(
        "sums",
        (sums.sum_of_squares,),
        sums.numbers(20 if count is None else count, first),
        in_flight={m: n for m, n in published.IN_FLIGHT.items() if n < published.PAGE_COUNT}
        if as_published
        else None,
        published=published.SUMS if as_published else {},
    )
