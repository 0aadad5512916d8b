"""The manifest on the disk: appended to, gone on with after a kill, and replaced in parts.

A first run and its `--resume` append lines. A run that does some URLs again (`--retry-failed`,
`--update`) writes its lines into a second file beside it; at its end, or at the beginning of the next
run if it was killed, `merge` puts them in the place of the old ones.

Guarantees: at every moment each URL has one line in the manifest (a line that a kill has cut short is
no line, and is cut off); only one run at a time writes to it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from outpace.errors import UsageError
from outpace.fetching.seen_urls import CountedTexts
from outpace.fetching.sinks import cannot_write

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

ManifestLine = dict[str, Any]


class Manifest:
    """A manifest that is being written."""

    def __init__(self, path: Path, *, again: bool = False) -> None:
        """Open it for more lines; with `again` they replace those of the same URLs at the end."""
        self.path = path
        self._again = again
        self._lines: list[str] = []
        self._lock = _locked(path)
        self._file: IO[bytes] | None = None

    def prepare(self) -> None:
        """Finish what a killed run has left: merge what it did again, cut off half a line."""
        redo = redo_path(self.path)
        if redo.exists():
            cut_torn_line(redo)
            merge(self.path, redo)
        self.path.touch()  # what lies beside an archive says from the start whose it is
        cut_torn_line(self.path)

    def add(self, line: str) -> None:
        """Have a line written with the next `flush`."""
        self._lines.append(line)

    def flush(self) -> None:
        """Let the system have all lines."""
        if not self._lines:
            return
        path = redo_path(self.path) if self._again else self.path
        try:
            if self._file is None:
                self._file = open(path, "ab", 0)  # noqa: PTH123, SIM115 - closed by `close`
            data = memoryview("".join(self._lines).encode("ascii"))
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise cannot_write(path, error) from None
        self._lines.clear()

    def abandon(self) -> None:
        """Close it before anything was done; what has nothing in it was not there before."""
        with contextlib.suppress(OSError):
            if not self.path.stat().st_size:
                self.path.unlink()
        self._lock()

    def close(self) -> None:
        """Write what is left, and put what was done again in its place."""
        try:
            self.flush()
            if self._file is not None:
                self._file.close()
                self._file = None
            if self._again and redo_path(self.path).exists():
                merge(self.path, redo_path(self.path))
        finally:
            if self._file is not None:
                self._file.close()
            self._lock()


def redo_path(path: Path) -> Path:
    """Say where the lines are that are to replace others."""
    return path.with_name(f"{path.name}.again")


def read_lines(path: Path) -> Iterator[ManifestLine]:
    """Yield the lines of a manifest; raise `UsageError` for a file that is none."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = json.loads(text)
                except ValueError:
                    line = None
                if not isinstance(line, dict) or not isinstance(line.get("url"), str):
                    raise UsageError(f"{path}, line {number} is no line of a manifest")
                yield line
    except FileNotFoundError:
        raise UsageError(f"there is no manifest {path}; leave the option out to begin") from None


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that has no end: whoever wrote it was killed."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65_536)
            file.seek(start)
            piece = file.read(end - start)
            newline = piece.rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            end = start
        file.truncate(0)


def rewrite(path: Path, wanted: Callable[[ManifestLine], bool], more: Path | None = None) -> None:
    """Write a manifest anew with the lines that are wanted, then those of another file."""
    partial = path.with_name(f"{path.name}.new")
    try:
        with partial.open("wb") as new:
            if path.exists():
                with path.open("rb") as old:
                    new.writelines(text for text in old if wanted(json.loads(text)))
            if more is not None:
                with more.open("rb") as added:
                    for text in added:
                        new.write(text)
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None


def merge(path: Path, redo: Path) -> None:
    """Put lines in the place of the old ones of the same URLs. Done twice, it is as if done once."""
    with contextlib.closing(CountedTexts()) as counted:
        for line in read_lines(redo):
            counted.add(line["url"])
        rewrite(
            path,
            lambda line: "duplicate_of" in line or not counted.holds(line["url"], 0),
            more=redo,
        )
    redo.unlink()


def _locked(path: Path) -> Callable[[], None]:
    """Have the manifest to ourselves; return what gives it back."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        file = lock.open("ab")
    except OSError as error:
        raise UsageError(f"{path} cannot be written to: {error.strerror}") from None

    def unlock() -> None:
        with contextlib.suppress(OSError):
            lock.unlink()
        file.close()

    if fcntl is not None:
        ours = False
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed it just now.
            ours = lock.stat().st_ino == os.fstat(file.fileno()).st_ino
        if not ours:
            file.close()
            raise UsageError(f"another run is writing to {path}: wait until it has ended")
    return unlock
