"""What an earlier run has done, as its manifest says: to be left out, done again, or asked about.

Every line is checked against what lies there: a page whose file is missing or not as long as its line
says was not written to the end (a machine that lost its power), and is fetched again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from outpace.errors import UsageError
from outpace.fetching.errors import ADVICE
from outpace.fetching.manifest import ManifestLine, read_lines, rewrite
from outpace.fetching.seen_urls import CountedTexts
from outpace.fetching.urls import redacted
from outpace.flow.show import shown


@dataclass(slots=True, eq=False)
class FinishedBefore:
    """The lines of the input that have theirs in the manifest, as often as they stand there."""

    count: int = 0
    _written: CountedTexts = field(default_factory=CountedTexts)
    _met: CountedTexts = field(default_factory=CountedTexts)

    def note(self, url: str) -> None:
        """Learn of a line of the manifest."""
        self.count += 1
        self._written.add(url)

    def again(self, raw: str) -> bool:
        """Say whether the next line of the input, which is this, is done."""
        url = redacted(raw)
        return self._written.holds(url, self._met.add(url))

    def close(self) -> None:
        """Forget everything."""
        self._written.close()
        self._met.close()


@dataclass(slots=True, eq=False)
class Validators:
    """What each site wants to be shown when it is asked whether a page has changed."""

    lines: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def validators(self, raw: str) -> tuple[str, ...]:
        """Return the header fields that ask for a page only if it has changed."""
        return self.lines.pop(raw, ())

    def fed(self, pages: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[str]:
        """Yield URLs, and know of each when it is its turn."""
        for url, fields in pages:
            self.lines[url] = fields
            yield url

    def close(self) -> None:
        """Forget everything."""
        self.lines.clear()


def finished(path: Path, whole: Callable[[ManifestLine], bool]) -> FinishedBefore:
    """Read what is done; cut out of the manifest what is not whole on the disk."""
    done = FinishedBefore()
    torn: list[str] = []
    try:
        for line in read_lines(path):
            if "duplicate_of" in line or whole(line):
                done.note(line["url"])
            else:
                torn.append(line["url"])
    except BaseException:
        done.close()
        raise
    if torn:
        again = frozenset(torn)
        rewrite(path, lambda line: "duplicate_of" in line or line["url"] not in again)
    return done


def checked_kinds(kinds: Iterable[object]) -> list[str]:
    """Return these kinds of failure; raise `UsageError` for what is none."""
    found = []
    for one in kinds:
        if not (isinstance(one, str) and one in ADVICE):
            raise UsageError(
                f"there is no kind of failure {shown(one)}; there are {', '.join(ADVICE)}"
            )
        found.append(one)
    return found


def failed(path: Path, kinds: Collection[str]) -> Iterator[str]:
    """Yield the URLs that failed: all, or of those kinds."""
    checked_kinds(kinds)
    return (
        line["url"]
        for line in read_lines(path)
        if (error := line.get("error")) and (not kinds or error.get("kind") in kinds)
    )


def fetched(
    path: Path, whole: Callable[[ManifestLine], bool]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the URLs that were fetched, each with the header fields that ask whether it changed.

    What is not whole on the disk any more is asked for without condition.
    """
    for line in read_lines(path):
        if line.get("error") is None and "duplicate_of" not in line:
            yield line["url"], _conditions(line) if whole(line) else ()


def _conditions(line: ManifestLine) -> tuple[str, ...]:
    """Return the header fields that ask for a page only if it is not what it was."""
    names = {"etag": "If-None-Match", "last_modified": "If-Modified-Since"}
    return tuple(
        f"{names[field]}: {value}"
        for field in names
        if isinstance(value := line.get(field), str) and _is_plain(value)
    )


def _is_plain(text: str) -> bool:
    """Say whether a text can be the value of a header field."""
    return text.isprintable() and text.isascii()


def in_directory(root: Path) -> Callable[[ManifestLine], bool]:
    """Return what says whether the page of a line lies in a directory, whole."""

    def whole(line: ManifestLine) -> bool:
        name = line.get("path")
        if name is None:
            return line.get("error") is not None
        try:
            return os.stat(f"{root}{os.sep}{name}").st_size == line.get("bytes")  # noqa: PTH116
        except (OSError, ValueError):
            return False

    return whole


def in_archive(archive: Path) -> Callable[[ManifestLine], bool]:
    """Return what says whether the record of a line lies in an archive, whole."""
    size = archive.stat().st_size if archive.exists() else 0

    def whole(line: ManifestLine) -> bool:
        end = end_of(line)
        return end <= size if end else line.get("error") is not None

    return whole


def end_of(line: ManifestLine) -> int:
    """Say where a line's record ends, 0 where it has none."""
    offset, length = line.get("offset"), line.get("length")
    return offset + length if isinstance(offset, int) and isinstance(length, int) else 0


def last_end(path: Path) -> int:
    """Say where the last record of an archive ends of which its manifest knows."""
    return max(map(end_of, read_lines(path)), default=0)
