"""One web archive (WARC 1.1, ISO 28500): plain, or each record compressed on its own.

A record holds the answer's head and its body as the site meant it: not in chunks, not compressed. So
fields that say otherwise are kept under `X-Archive-Orig-…`, as other archivers do, and the length is
right. A head of HTTP/2 or 3 is written as HTTP/1.1, which is what readers read, and `WARC-Protocol` says
what it was. Redirects that were followed are not recorded; `WARC-Target-URI` is where the page was.

Guarantees: a record is written whole or cut off again (`cut`) before the next run; the manifest is never
ahead of the archive. Read back with warcio and FastWARC by tests/fetching/test_keeping.py.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from outpace.errors import UsageError
from outpace.fetching.manifest_lines import moment
from outpace.fetching.page import Page
from outpace.fetching.sinks import cannot_write
from outpace.fetching.urls import redacted

WRITE_BUFFER = 1 << 20  # bytes that are written at once
PIECE = 1 << 20  # bytes of a large body that are in memory at once
GZIP_LEVEL = 6  # of gzip
ARCHIVE_SUFFIXES = (".warc", ".warc.gz", ".warc.zst")

_ALTERED = re.compile(rb"(?im)^(content-encoding|transfer-encoding|content-length):")
_LINE_END = re.compile(rb"\r?\n")
_PROTOCOLS = {"1.0": "http/1.0", "1.1": "http/1.1", "2": "h2", "3": "h3"}


class WarcSink:
    """One web archive that all pages are kept in."""

    keep_body = True
    keep_head = True
    keeps_failures = True

    def __init__(self, where: str | Path, agent: str, cut: int | None = None) -> None:
        """Open the archive: a new one, or one that is good up to `cut`."""
        self._path = str(where)
        self.spool: str | None = f"{self._path}.partial"
        self._compressor = _compressor(self._path)
        try:
            shutil.rmtree(self.spool, ignore_errors=True)
            Path(self.spool).mkdir(parents=True)
            self._file = open(where, "ab" if cut else "wb", WRITE_BUFFER)  # noqa: PTH123, SIM115
            if cut:
                self._file.truncate(cut)
                self._file.seek(cut)
        except OSError as error:
            raise UsageError(f"{where} cannot be written to: {error.strerror}") from None
        self._offset = cut or 0
        if not cut:
            self._write_info(agent)

    def keep(self, page: Page, started: float) -> tuple[Page, str]:
        """Write a record."""
        head, offset = _http_head(page), self._offset
        record = (
            f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: {_record_id()}\r\n"
            f"WARC-Date: {moment(started)[1:-1]}\r\nWARC-Target-URI: {redacted(page.final_url)}\r\n"
            f"{f'WARC-IP-Address: {page.ip}' + _END if page.ip else ''}"
            f"WARC-Payload-Digest: {_digest(page.sha256)}\r\n"
            f"WARC-Protocol: {_PROTOCOLS.get(page.http, 'http/1.1')}\r\n"
            f"Content-Type: application/http; msgtype=response\r\n"
            f"Content-Length: {len(head) + page.size}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        try:
            self._write(record + head, page)
        except OSError as error:
            raise cannot_write(self._path, error) from None
        if page.path is not None:
            os.unlink(page.path)  # noqa: PTH108 - no need of a Path
        where = f'"offset":{offset},"length":{self._offset - offset},'
        return page._replace(body=None, path=self._path), where

    def flush(self) -> None:
        """Let the system have every record."""
        try:
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def close(self) -> None:
        """Finish the file."""
        try:
            self._file.close()
        finally:
            assert self.spool is not None
            shutil.rmtree(self.spool, ignore_errors=True)

    def _write(self, start: bytes, page: Page) -> None:
        """Write a record, compressed or not."""
        if self._compressor is None:
            write = self._file.write
            for piece in (start, *_body(page), _RECORD_END):
                write(piece)
            self._offset += len(start) + page.size + 4
            return
        one = self._compressor()
        for piece in (start, *_body(page), _RECORD_END):
            self._offset += self._file.write(one.compress(piece))
        self._offset += self._file.write(one.flush())

    def _write_info(self, agent: str) -> None:
        """Write the first record, which says what wrote the others."""
        fields = f"software: {agent}\r\nformat: WARC File Format 1.1\r\n".encode()
        start = (
            f"WARC/1.1\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: {_record_id()}\r\n"
            f"WARC-Date: {moment(_now())[1:-1]}\r\nWARC-Filename: {Path(self._path).name}\r\n"
            f"Content-Type: application/warc-fields\r\nContent-Length: {len(fields)}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        nothing = Page("", "", 0, 0, None, None, "", 0.0)
        self._write(start + fields, nothing)


_END = "\r\n"
_RECORD_END = b"\r\n\r\n"


def _body(page: Page) -> Iterator[bytes]:
    """Yield a body, in pieces if it is in a file."""
    if page.path is None:
        if page.body:
            yield page.body
        return
    with open(page.path, "rb") as file:  # noqa: PTH123 - no need of a Path
        while piece := file.read(PIECE):
            yield piece


def _http_head(page: Page) -> bytes:
    """Return the head of an answer as it fits the body that follows it."""
    head = page.head or b"HTTP/1.1 200 OK\r\n\r\n"
    if (
        head.startswith(b"HTTP/1")
        and head.endswith(b"\r\n\r\n")
        and f"\r\nContent-Length: {page.size}\r\n".encode() in head
    ):
        lower = head.lower()
        if b"\ncontent-encoding:" not in lower and b"\ntransfer-encoding:" not in lower:
            return head
    status, _, fields = _LINE_END.sub(b"\r\n", head).partition(b"\r\n")
    if not status.startswith(b"HTTP/1."):
        status = b"HTTP/1.1 " + status.partition(b" ")[2]
    fields = _ALTERED.sub(rb"X-Archive-Orig-\1:", fields).rstrip(b"\r\n")
    return b"%b\r\n%b\r\nContent-Length: %d\r\n\r\n" % (status, fields, page.size)


def _digest(sha256: str | None) -> str:
    """Write a digest as archives do: in base 32."""
    return f"sha256:{base64.b32encode(bytes.fromhex(sha256 or '')).decode('ascii')}"


def _record_id() -> str:
    """Make a record's own name: a random UUID."""
    n = os.urandom(16).hex()
    return f"<urn:uuid:{n[:8]}-{n[8:12]}-4{n[13:16]}-a{n[17:20]}-{n[20:]}>"


def _now() -> float:
    """Say what time it is."""
    import time  # noqa: PLC0415 - once a file

    return time.time()


def _compressor(path: str) -> Callable[[], Any] | None:
    """Return what compresses one record, by the file's suffix."""
    if path.endswith(".gz"):
        return lambda: zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    if not path.endswith(".zst"):
        return None
    for name in ("compression.zstd", "backports.zstd"):  # of Python 3.14, and for older ones
        with contextlib.suppress(ImportError):
            made: Callable[[], Any] = importlib.import_module(name).ZstdCompressor
            return made
    raise UsageError(".warc.zst needs backports.zstd: pip install 'outpace[fetch]'")
