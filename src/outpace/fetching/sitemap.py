"""Read a sitemap (sitemaps.org), piece by piece: the pages it lists, or the sitemaps.

With expat, and without what makes XML from strangers dangerous: a document that declares entities is
refused, nothing outside it is read.
"""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

from outpace.fetching.urls import LONGEST_URL

LONGEST_SITEMAP = 512 * 2**20  # bytes, decompressed; the standard allows 50 MB


class Sitemap:
    """A sitemap that is being read."""

    def __init__(self) -> None:
        """Have read nothing."""
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._starts
        self._parser.EndElementHandler = self._ends
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._refuse
        self._within: list[str] = []
        self._url: list[str] | None = None
        self._length = 0
        self._found: list[tuple[str, bool]] = []

    def feed(self, piece: bytes) -> None:
        """Read on; raise `ValueError` for what is not XML or not a sitemap."""
        self._parse(piece, last=False)

    def finish(self) -> None:
        """Read to the end."""
        self._parse(b"", last=True)

    def taken(self) -> list[tuple[str, bool]]:
        """Return what was found since the last time: URLs, and whether each is a sitemap's."""
        found, self._found = self._found, []
        return found

    def _parse(self, piece: bytes, *, last: bool) -> None:
        """Have expat read on."""
        try:
            self._parser.Parse(piece, last)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from None

    def _starts(self, name: str, _attributes: object) -> None:
        """Take in the beginning of an element."""
        name = name.rpartition(" ")[2]
        if not self._within and name not in ("urlset", "sitemapindex"):
            raise ValueError(f"it is a document of <{name}>, not of <urlset> or <sitemapindex>")
        self._within.append(name)
        if name == "loc" and self._within[-2] in ("url", "sitemap"):
            self._url, self._length = [], 0

    def _text(self, text: str) -> None:
        """Take in text."""
        if self._url is not None:
            self._length += len(text)
            if self._length <= LONGEST_URL:
                self._url.append(text)

    def _ends(self, _name: str) -> None:
        """Take in the end of an element."""
        self._within.pop()
        if self._url is not None:
            self._found.append(("".join(self._url).strip(), self._within[-1] == "sitemap"))
            self._url = None

    def _refuse(self, *_: object) -> NoReturn:
        """Refuse a document that defines abbreviations: they can grow without end."""
        raise ValueError("it declares entities, which no sitemap needs")
