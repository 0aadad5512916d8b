"""Where pages go: nowhere, into the caller's hands, or into a directory; `warc` is a file of its own.

A directory guarantees: a file that has its name is whole, for it was written under another one; nothing
is ever written outside; what a run left half-written is gone when the next one begins.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Protocol

from outpace.errors import OutpaceError, UsageError
from outpace.fetching.file_names import file_name, folder
from outpace.fetching.manifest_lines import quoted
from outpace.fetching.page import Page

MOST_SITES = 10_000  # folders that are remembered to be there
PARTIAL = ".partial"  # the folder of what is half-written


class Sink(Protocol):
    """A place where pages go.

    `keep_body`, `keep_head`: what it needs of a page. `spool`: the folder for what is half-written.
    `keeps_failures`: whether the page of a 404 is kept too.
    """

    keep_body: bool
    keep_head: bool
    keeps_failures: bool
    spool: str | None

    def keep(self, page: Page, started: float) -> tuple[Page, str]:
        """Keep a page; return it as its caller is to see it, and what the manifest says of it."""
        ...

    def flush(self) -> None:
        """Let the system have all that was kept, so that a kill does not undo it."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class NoSink:
    """No place: the body is left to the caller, or to nobody."""

    keeps_failures = True
    spool: str | None = None

    def __init__(self, *, keep_body: bool, keep_head: bool) -> None:
        """Say whether the caller gets bodies, and whether anybody looks at header fields."""
        self.keep_body = keep_body
        self.keep_head = keep_head

    def keep(self, page: Page, _started: float) -> tuple[Page, str]:
        """Return the page as it is."""
        return page, ""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class DirectorySink:
    """A directory with a file a page."""

    keep_body = True
    keep_head = True
    keeps_failures = False

    def __init__(self, where: str | Path) -> None:
        """Make the folder if there is none; clear away what a killed run has left half-written."""
        self._root = os.path.abspath(where)  # noqa: PTH100 - strings all along: a Path costs 2 µs
        self._sites: dict[str, str] = {}  # the folders that are there, by host and port
        self._count = 0
        self.spool: str | None = f"{self._root}{os.sep}{PARTIAL}"
        try:
            shutil.rmtree(self.spool, ignore_errors=True)
            Path(self.spool).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{where} cannot be written to: {error.strerror}") from None

    def keep(self, page: Page, _started: float) -> tuple[Page, str]:
        """Write a page's file under another name, and then give it its own."""
        authority = page.url.split("/", 3)[2]
        site = self._sites.get(authority) or self._made(authority, page.url)
        name = f"{site}/{file_name(page.url, page.content_type)}"
        path = f"{self._root}{os.sep}{name}"
        try:
            partial = page.path or self._written(page.body or b"")
            os.replace(partial, path)  # noqa: PTH105 - no need of a Path
        except OSError as error:
            raise cannot_write(path, error) from None
        return page._replace(body=None, path=path), f'"path":{quoted(name)},'

    def flush(self) -> None:
        """Do nothing: the system has each file already."""

    def close(self) -> None:
        """Remove the folder of what is half-written."""
        assert self.spool is not None
        shutil.rmtree(self.spool, ignore_errors=True)

    def _made(self, authority: str, url: str) -> str:
        """Make the folder for a host; return its name."""
        if len(self._sites) >= MOST_SITES:
            self._sites.clear()
        site = self._sites[authority] = folder(url)
        try:
            Path(self._root, site).mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(Path(self._root, site), error) from None
        return site

    def _written(self, body: bytes) -> str:
        """Write a body to a file of no name yet."""
        self._count += 1
        partial = f"{self.spool}{os.sep}{self._count}"
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o666)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)
        return partial


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would end lines its own way


def cannot_write(path: object, error: OSError) -> OutpaceError:
    """Say that the disk does not take it: the job ends, for the next page would fare no better."""
    return OutpaceError(
        f"{path} cannot be written: {error.strerror}; what was fetched is safe, and --resume goes on"
    )


def remove(path: str | None) -> None:
    """Remove the file of a body that nobody wants."""
    if path is not None:
        with contextlib.suppress(OSError):
            Path(path).unlink()
