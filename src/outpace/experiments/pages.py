"""Read pages from the web, with `requests`, with `aiohttp` and with libcurl: work that mostly waits.

Two functions do the same thing, each as a good user of its library would write it, and `fetcher` is
the same for the driver `curl`, as `outpace fetch` uses it. Each function takes a URL and
a session; the session is opened once per lane by the setup beside it, so that connections are kept and
used again:

    outpace.map(pages.read, urls, model="threads", setup=pages.session)
    outpace.map(pages.aread, urls, model="asyncio", setup=pages.asession)

A page that answers 400 or above is an error, never a `PageRead`. Neither library is needed to import
this file (test_pages.py: `test_importing_pages_needs_neither_library`).
"""
# ruff: noqa: PLC0415 - each library is imported where it is used, so that neither is required

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from outpace.fetching.settings import Getter
from outpace.fetching.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp
    import requests

UNBOUNDED = 100_000  # the engine bounds what is in flight; a fetcher's own would be a second bound
TIMEOUT_S = 30.0  # seconds; without one, `requests` waits for a silent site for ever
HOSTS_KEPT = 100  # sites whose connection one `requests.Session` keeps open; its default is 10


class PageRead(NamedTuple):
    """What was read from one URL; `size` in bytes, as decoded from what travelled."""

    url: str
    status: int
    size: int
    sha256: str


def read(url: str, session: requests.Session) -> PageRead:
    """Read one page with `requests`; raise a `requests.RequestException` where that fails."""
    response = session.get(url, timeout=TIMEOUT_S)
    response.raise_for_status()
    return _page(url, response.status_code, response.content)


async def aread(url: str, session: aiohttp.ClientSession) -> PageRead:
    """Read one page with `aiohttp`; raise an `aiohttp.ClientError` or `TimeoutError` likewise."""
    async with session.get(url) as response:
        response.raise_for_status()
        return _page(url, response.status, await response.read())


def fetcher() -> Fetcher:
    """Return what the driver `curl` reads pages with."""
    return Fetcher(
        in_flight=UNBOUNDED,
        per_host=UNBOUNDED,
        timeout=TIMEOUT_S,
        keep_body=False,
        keep_head=False,
    )


@dataclass(slots=True, frozen=True, kw_only=True)
class Fetcher(Getter):
    """Settings whose pages look like those of the two functions."""

    def transfer(self, timeout: float | None = None) -> Transfer:
        """Make a transfer."""
        return _Transfer(self, timeout)


class _Transfer(Transfer):
    """A transfer whose value is a `PageRead` of this file."""

    def end(self, code: int, words: str) -> Any:
        """Return the page; raise `FetchError`."""
        page = super().end(code, words)
        return PageRead(page.url, page.status, page.size, str(page.sha256))


@contextmanager
def session() -> Iterator[requests.Session]:
    """Open the session of one lane, which reads one page at a time."""
    import requests

    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=HOSTS_KEPT))
        yield session


@asynccontextmanager
async def asession() -> AsyncIterator[aiohttp.ClientSession]:
    """Open the session of one event loop, which reads many pages at once.

    `limit=0`: the engine already bounds what is in flight; aiohttp's own 100 would be a second,
    hidden bound.
    """
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
    ) as session:
        yield session


def read_aloud(url: str, session: requests.Session) -> PageRead:
    """Read one page as `read` does, and say so on stderr."""
    return _said(read(url, session))


async def aread_aloud(url: str, session: aiohttp.ClientSession) -> PageRead:
    """Read one page as `aread` does, and say so on stderr."""
    return _said(await aread(url, session))


def same_page(a: PageRead, b: PageRead) -> bool:
    """Say whether two readings got the same bytes from the same URL."""
    return a == b


def same_visit(a: PageRead, b: PageRead) -> bool:
    """Say whether two readings of a live site agree; its bytes may change between two visits."""
    return (a.url, a.status) == (b.url, b.status)


def missing() -> str | None:
    """Say in one line what to install before pages can be read, or None when all is there."""
    from importlib.util import find_spec

    if find_spec("requests") and find_spec("aiohttp"):
        return None
    return "pages needs requests and aiohttp: pip install 'outpace[experiments]'"


def _page(url: str, status: int, body: bytes) -> PageRead:
    from hashlib import sha256

    return PageRead(url, status, len(body), sha256(body).hexdigest())


def _said(page: PageRead) -> PageRead:
    # One write is one line, whichever threads and processes write beside it; `print` writes twice.
    os.write(2, f"Read {page.size} from {page.url}\n".encode())
    return page
