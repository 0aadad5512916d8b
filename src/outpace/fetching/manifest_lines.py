"""The lines of a manifest: one JSON object for each URL that went in, whatever became of it.

Written by hand: `json.dumps` of the same takes three times as long, and is a tenth of what a page costs.
All text is escaped to ASCII, so what a site sends cannot do anything to a terminal.
"""

from __future__ import annotations

import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from outpace.errors import FetchError
from outpace.fetching.page import Page
from outpace.fetching.urls import redacted

quoted: Any = encode_basestring_ascii


def of_page(  # noqa: PLR0917 - as many as a line has sources, and called for every page
    url: str, page: Page, where: str, attempts: int, started: float, error: FetchError | None = None
) -> str:
    """Write the line of a page that came; `where` is what its sink says: a path, or an offset."""
    final = page.final_url
    if "@" in url or "@" in final:
        url, final = redacted(url), redacted(final)
    sha256, kind = page.sha256, page.content_type
    return (
        f'{{"url":{quoted(url)},"final_url":{quoted(final)},"status":{page.status or "null"},'
        f'"bytes":{page.size},"sha256":{_text(sha256)},"content_type":{_text(kind)},{where}'
        f'"attempts":{attempts},"started":{moment(started)},"seconds":{page.seconds:.6f},'
        f'"http":"{page.http}",{_validators(page.head)}"error":{_error(error)}}}\n'
    )


def of_failure(
    url: str, attempts: int, started: float, seconds: float, error: BaseException
) -> str:
    """Write the line of a URL of which nothing came."""
    return (
        f'{{"url":{quoted(redacted(url))},"final_url":null,"status":null,"bytes":0,"sha256":null,'
        f'"content_type":null,"attempts":{attempts},"started":{moment(started)},'
        f'"seconds":{seconds:.6f},"http":null,"error":{_error(error)}}}\n'
    )


def of_duplicate(url: str, first: str, started: float) -> str:
    """Write the line of a URL that came before, perhaps written in another way."""
    return (
        f'{{"url":{quoted(redacted(url))},"duplicate_of":{quoted(redacted(first))},'
        f'"final_url":null,"status":null,"bytes":null,"sha256":null,"content_type":null,'
        f'"attempts":0,"started":{moment(started)},"seconds":0.0,"http":null,"error":null}}\n'
    )


def moment(seconds: float) -> str:
    """Write a time of the wall clock as JSON, in UTC and to the millisecond."""
    whole = int(seconds)
    return f'"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"'


@lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    """Write a whole second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def _text(value: str | None) -> str:
    """Write a text or null."""
    return "null" if value is None else quoted(value)


def _error(error: BaseException | None) -> str:
    """Write what went wrong, or null."""
    if error is None:
        return "null"
    kind = getattr(error, "kind", "other")
    return f'{{"kind":{quoted(kind)},"message":{quoted(redacted(str(error)))}}}'


def _validators(head: bytes | None) -> str:
    """Write what a site wants to be shown when it is asked whether a page has changed."""
    if head is None:
        return ""
    found = ""
    lower = head.lower()
    for field, name in ((b"\netag:", "etag"), (b"\nlast-modified:", "last_modified")):
        at = lower.find(field)
        if at >= 0:
            start = at + len(field)
            value = head[start : head.index(b"\n", start)].strip().decode("latin-1")
            found += f'"{name}":{quoted(value)},'
    return found
