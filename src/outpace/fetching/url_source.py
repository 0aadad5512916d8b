"""Where URLs come from: arguments, text, .jsonl, .csv, a sitemap; also compressed, also by URL.

Everything is read as it is needed, so a hundred million lines take no more memory than ten. What a line
holds is not looked at here, only found. A file that is missing or not what it says is a `UsageError`,
raised before any page is fetched when that can be seen from its beginning.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from outpace.errors import FetchError, UsageError
from outpace.fetching.sitemap import LONGEST_SITEMAP, Sitemap

LONGEST_LINE = 1 << 20  # characters; a longer line is cut there, and so is no URL
GZIP = b"\x1f\x8b"
DEEPEST = 3  # sitemaps may list sitemaps, which the standard lets list no more

FetchPage = Callable[[str], Any]  # of one page, here and now


def read(path: str, column: str | None, fetch: FetchPage) -> Iterator[str]:
    """Return an iterator over the URLs of a file (`-`: standard input), or of a sitemap's URL.

    The first of them is read at once, so that what is wrong with the file is known here.
    """
    if path.startswith(("http://", "https://")):
        if column is not None:
            raise UsageError(f"--column is for .csv and .jsonl files, and {path} is a URL")
        found = _remote(path, fetch)
    else:
        found = _local(path, column, fetch)
    try:
        first = next(found)
    except StopIteration:
        raise UsageError(f"{'standard input' if path == '-' else path} has no URLs in it") from None
    return itertools.chain([first], found)


def _local(path: str, column: str | None, fetch: FetchPage) -> Iterator[str]:
    """Yield the URLs of a file, by its suffix."""
    name = path.lower().removesuffix(".gz")
    suffix = Path(name).suffix if path != "-" else ""
    if column is not None and suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--column is for .csv and .jsonl files, and {path} is none")
    with _opened(path) as file:
        if suffix == ".xml":
            yield from _sitemap(file, path, fetch, DEEPEST)
            return
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline=None)
        try:
            if suffix == ".csv":
                yield from _csv(text, path, column)
            elif suffix == ".jsonl":
                yield from _jsonl(text, path, column)
            else:
                yield from _lines(text)
        except (EOFError, gzip.BadGzipFile) as error:
            raise UsageError(f"{path} is not whole: {error}") from None
        finally:
            if path == "-":
                text.detach()


def _opened(path: str) -> IO[bytes]:
    """Open a file, decompressing it if it is gzip, whatever its name."""
    if path == "-":
        return sys.stdin.buffer
    try:
        file: Any = open(path, "rb")  # noqa: PTH123, SIM115 - the caller's `with` closes it
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise UsageError(f"there is no file {path!r}") from None
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return cast("IO[bytes]", GunzippedFile(file) if file.peek(2)[:2] == GZIP else file)


class GunzippedFile(gzip.GzipFile):
    """A compressed file that closes what it reads from."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read from a file that is open."""
        super().__init__(fileobj=file, mode="rb")
        self._inner = file

    def close(self) -> None:
        """Close both."""
        super().close()
        self._inner.close()


def _lines(text: IO[str]) -> Iterator[str]:
    """Yield what stands on each line; an empty line is none, nor is one that begins with #."""
    while line := text.readline(LONGEST_LINE):
        found = line.strip()
        if found and not found.startswith("#"):
            yield found
        while len(line) == LONGEST_LINE and not line.endswith("\n"):
            line = text.readline(LONGEST_LINE)


def _jsonl(text: IO[str], path: str, column: str | None) -> Iterator[str]:
    """Yield a text, or the field of an object, of each line."""
    name = column or "url"
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
        if isinstance(value, dict):
            if name not in value:
                has = ", ".join(map(repr, itertools.islice(value, 8)))
                raise UsageError(f"{path}, line {number} has no field {name!r}; it has {has}")
            value = value[name]
        if not isinstance(value, str):
            raise UsageError(f"{path}, line {number}: a URL is text, not {type(value).__name__}")
        yield value.strip()


def _csv(text: IO[str], path: str, column: str | None) -> Iterator[str]:
    """Yield one column of a file whose first line has their names."""
    rows = csv.reader(text, strict=True)
    try:
        header = next(rows, [])
        if column is None and len(header) == 1:
            column = header[0]
        name = column or "url"
        if name not in header:
            raise UsageError(
                f"{path} has no column {name!r}; choose with --column: {', '.join(header)}"
            )
        place = header.index(name)
        for row in rows:
            if len(row) > place:
                yield row[place].strip()
            elif row:
                raise UsageError(f"{path}, line {rows.line_num} has no column {name!r}")
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: {error}") from None


def _remote(url: str, fetch: FetchPage, depth: int = DEEPEST) -> Iterator[str]:
    """Yield the URLs of a sitemap, or of a text file, that lies on the web."""
    try:
        page = fetch(url)
    except FetchError as error:
        raise UsageError(f"{url} could not be fetched: {error}") from None
    body = io.BytesIO(page.body or b"")
    file: Any = GunzippedFile(body) if body.getvalue()[:2] == GZIP else body
    with file:
        start = file.read(512).lstrip()
        file.seek(0)
        if start.startswith(b"<"):
            yield from _sitemap(file, url, fetch, depth)
        else:
            yield from _lines(io.TextIOWrapper(file, "utf-8-sig", "surrogateescape"))


def _sitemap(file: IO[bytes], path: str, fetch: FetchPage, depth: int) -> Iterator[str]:
    """Yield the pages of a sitemap; those of the sitemaps that it lists, one after another."""
    sitemap = Sitemap()
    size = 0
    try:
        while piece := file.read(65_536):
            size += len(piece)
            if size > LONGEST_SITEMAP:
                raise UsageError(
                    f"{path} is larger than a sitemap may be ({LONGEST_SITEMAP:,} bytes)"
                )
            sitemap.feed(piece)
            yield from _listed(sitemap, path, fetch, depth)
        sitemap.finish()
        yield from _listed(sitemap, path, fetch, depth)
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not a sitemap: {error}") from None


def _listed(sitemap: Sitemap, path: str, fetch: FetchPage, depth: int) -> Iterator[str]:
    """Yield what has been found in a sitemap so far."""
    for url, is_sitemap in sitemap.taken():
        if not is_sitemap:
            yield url
        elif depth <= 1:
            raise UsageError(f"{path} lists sitemaps that list sitemaps, too deep to be meant")
        else:
            yield from _remote(url, fetch, depth - 1)


def stripped(urls: Iterable[Any]) -> Iterator[str]:
    """Yield URLs that a program gave."""
    for url in urls:
        if not isinstance(url, str):
            raise UsageError(f"a URL is text, not {type(url).__name__}: {url!r:.80}")
        yield url.strip()
