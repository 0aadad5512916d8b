"""One download after another on one libcurl handle: the file that knows pycurl's options.

A handle is made once and used again; between two pages only the URL changes. What a page costs here is
two or three calls from C into Python and a few `getinfo`s; bench/fetch.py has the figures.

Guarantees, each with a test in tests/fetching/test_hostile.py: only http and https, after redirects
too; never more than `max_size` bytes, compressed or not; a body above `SPOOL_ABOVE` goes to a file as it
comes; with `public_only` no connection is made to an address that is not public.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import time
from typing import IO, Any

from outpace.errors import FetchError, TemporaryFetchError
from outpace.fetching import public_addresses
from outpace.fetching.errors import TransferFacts, explain_failure, is_temporary
from outpace.fetching.page import Page
from outpace.fetching.politeness import LONGEST_PAUSE, SLOW_DOWN, RobotsRequest
from outpace.fetching.settings import HTTP_VERSIONS, Getter
from outpace.fetching.urls import redacted
from outpace.flow.board import Place

SPOOL_ABOVE = 1_048_576  # bytes of a body that are held in memory; more goes to a file as it comes
RECEIVE_BUFFER = (
    65_536  # bytes that libcurl reads at once: its 16 kB cost 3 % more for pages of 18 kB
)
ROBOTS_SIZE = 524_288  # bytes of a robots.txt that are read: RFC 9309 asks for at least 500 kB
DNS_CACHE_S = 300
STALL_S = 30  # seconds in which less than a byte a second comes: it has stalled

WRITE_ERROR = 23  # libcurl's code for "I was told to stop"
BLANK = (b"\r\n", b"\n")

clock = time.perf_counter
_VERSIONS = {1: "1.0", 2: "1.1", 3: "2", 4: "2", 5: "2", 30: "3", 31: "3"}


class Transfer:
    """One libcurl handle, and the page that is on its way through it."""

    def __init__(self, getter: Getter, timeout: float | None = None) -> None:
        """Make the handle with all that is the same for every page."""
        import pycurl  # noqa: PLC0415 - an extra

        self.curl = pycurl.Curl()
        self.started = 0.0
        self.ticket: Any = None  # the driver's, as is the next
        self.place: Place | None = None
        self._getter = getter
        self._keep = getter.keep_body
        self._hash = getter.hash_body
        self._may_spool = getter.spool is not None or not getter.keep_body
        self._limit = getter.max_size
        self._most = getter.max_size
        self._url = ""
        self._secure = False  # whether the last one was
        self._special = False  # whether it has options of its own, to be undone
        self._parts: list[bytes] = []
        self._head: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._digest: Any = None
        self._blocked: str | None = None
        self._disk_error: OSError | None = None
        set_options(self.curl, getter, timeout)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._write)
        if getter.keep_head:
            self.curl.setopt(pycurl.HEADERFUNCTION, self._head.append)
        if getter.public_only:
            self.curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        self._info = (pycurl.RESPONSE_CODE, pycurl.EFFECTIVE_URL, pycurl.CONTENT_TYPE)
        self._http_version, self._ip = pycurl.INFO_HTTP_VERSION, pycurl.PRIMARY_IP
        self._resolve_time = pycurl.NAMELOOKUP_TIME
        self._set_url, self._set_fields = pycurl.URL, pycurl.HTTPHEADER
        self._set_streams = pycurl.PIPEWAIT
        self._retry_after = pycurl.RETRY_AFTER

    def begin(self, item: Any) -> None:
        """Make ready for a request: a URL, or (URL, header fields of its own)."""
        if type(item) is str:
            self._url = item
        else:
            self._begin_special(item)
        if self._url.startswith("https") is not self._secure:
            # To one more stream of a connection rather than one more connection. Without TLS nobody
            # knows before the first answer whether there are streams, and a whole latency is lost.
            self._secure = not self._secure
            self.curl.setopt(self._set_streams, int(self._secure))
        self._blocked = None
        self.curl.setopt(self._set_url, self._url)
        self.started = clock()

    def end(self, code: int, words: str) -> Page:
        """Return the page; raise `FetchError` for what is none: libcurl's code, or the status."""
        if code == WRITE_ERROR and self._special and self._most == ROBOTS_SIZE:
            code = 0  # of a long robots.txt the beginning counts
        page = self._page(code)
        if code or self._disk_error is not None:
            raise self._failure(code or WRITE_ERROR, words, page)
        if page.status >= 400:
            raise self._refused(page)
        return page

    def close(self) -> None:
        """Drop what is half-way, and the handle."""
        self._drop_file()
        self.curl.close()

    def perform(self, item: Any) -> Page:
        """Fetch one page here and now."""
        import pycurl  # noqa: PLC0415 - an extra

        self.begin(item)
        try:
            self.curl.perform()
        except pycurl.error as error:
            return self.end(error.args[0], error.args[1])
        return self.end(0, "")

    def _begin_special(self, item: Any) -> None:
        """Make ready for a request that is not like the others, until it has ended."""
        self._special = True
        if isinstance(item, RobotsRequest):
            self._url, self._keep, self._most = item.url, True, ROBOTS_SIZE
            return
        self._url = item[0]
        self.curl.setopt(self._set_fields, [*self._getter.header_lines(), *item[1]])

    def _end_special(self) -> None:
        """Be as before."""
        self._special = False
        self._keep, self._most = self._getter.keep_body, self._limit
        self.curl.setopt(self._set_fields, self._getter.header_lines())

    def _write(self, data: bytes) -> int | None:
        """Take in a piece of the body."""
        self._size += len(data)
        if self._size > self._most:
            return 0  # what libcurl takes for an error, and stops
        if self._file is not None:
            return self._spool(data)
        if self._keep or self._hash:
            self._parts.append(data)
            if self._size > SPOOL_ABOVE and self._may_spool:
                return self._start_spooling()
        return None

    def _start_spooling(self) -> int | None:
        """Go on in a file: the body is too large to be held."""
        data, self._digest = b"".join(self._parts), hashlib.sha256()
        self._parts.clear()
        if not self._keep:
            self._digest.update(data)
            self._file = open(os.devnull, "wb")  # noqa: PTH123, SIM115 - closed in `_drop_file`
            return None
        try:
            self._file = spool_file(str(self._getter.spool))
        except OSError as error:
            self._disk_error = error
            return 0
        return self._spool(data)

    def _spool(self, data: bytes) -> int | None:
        """Write a piece of the body to its file."""
        assert self._file is not None
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            self._disk_error = error
            return 0
        return None

    def _page(self, code: int) -> Page:
        """Make the page of what has come, and be ready for the next."""
        get, (status, effective, kind) = self.curl.getinfo, self._info
        head = body = path = sha256 = None
        parts, size = self._parts, self._size
        if self._head:
            head = b"".join(self._head)
            if head.rfind(b"\nHTTP/") > 0 or self._head[-1] not in BLANK:
                head = last_head(self._head)
            self._head.clear()
        if self._file is not None:
            path, sha256 = self._finish_file(whole=not code)
        elif parts:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if self._hash:
                sha256 = hashlib.sha256(body).hexdigest()
            if not self._keep:
                body = None
        elif self._hash:
            sha256 = EMPTY
        self._size = 0
        ip = get(self._ip) if head is not None else None
        raw = self.curl.getinfo_raw  # a site may say anything, also what is no text
        said = raw(kind)
        page = Page(
            self._url,
            final_url(raw(effective)),
            get(status),
            size,
            sha256,
            None if said is None else said.decode("latin-1"),
            _VERSIONS.get(get(self._http_version), ""),
            clock() - self.started,
            ip,
            head,
            body,
            path,
        )
        if self._special:
            self._end_special()
        return page

    def _finish_file(self, *, whole: bool) -> tuple[str | None, str]:
        """Close the file of a large body; return where it is and its digest."""
        assert self._file is not None
        sha256 = self._digest.hexdigest()
        path = self._file.name if self._keep and whole else None
        if path is None:
            self._drop_file()
        else:
            try:
                self._file.close()
                self._file = None
            except OSError as error:
                self._disk_error = error
                self._drop_file()
        return path, sha256

    def _drop_file(self) -> None:
        """Remove the file of a body that nobody will ask for."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # a full disk: what it has not taken is not wanted
                file.close()
            if file.name != os.devnull:
                os.unlink(file.name)  # noqa: PTH108 - no need of a Path

    def _failure(self, code: int, words: str, page: Page) -> FetchError:
        """Make an error of libcurl's code."""
        get = self.curl.getinfo
        disk, self._disk_error = self._disk_error, None
        blocked, self._blocked = self._blocked, None
        facts = TransferFacts(
            resolved=get(self._resolve_time) > 0 or page.ip is not None,
            too_large=code == WRITE_ERROR and disk is None,
            blocked=blocked,
        )
        kind, text = explain_failure(code, words, facts)
        if disk is not None:
            kind, text = "disk", str(disk)
        cls = TemporaryFetchError if is_temporary(kind) else FetchError
        return cls(redacted(text), kind, None, page._replace(body=None, head=None))

    def _refused(self, page: Page) -> FetchError:
        """Make an error of a status of 400 or above."""
        status, after, text = page.status, None, f"HTTP {page.status}"
        temporary = is_temporary("http", status)
        if status in SLOW_DOWN:
            after = float(self.curl.getinfo(self._retry_after)) or None
            if after is not None and after > LONGEST_PAUSE:
                temporary, text = False, f"{text}, to be asked again in {after:.0f} s"
        cls = TemporaryFetchError if temporary else FetchError
        return cls(text, "http", after, page)

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        """Open a socket to a public address; refuse any other."""
        import pycurl  # noqa: PLC0415 - an extra

        opened, self._blocked = public_addresses.open_public(*address)
        return pycurl.SOCKET_BAD if opened is None else opened


def last_head(lines: list[bytes]) -> bytes:
    """Return the head of the final answer, without those before it and without trailers."""
    starts = [n for n, line in enumerate(lines) if line.startswith(b"HTTP/")]
    start = starts[-1] if starts else 0
    ends = [n for n in range(start, len(lines)) if lines[n] in BLANK]
    return b"".join(lines[start : ends[0] + 1 if ends else len(lines)])


def final_url(raw: bytes) -> str:
    """Decode where a page was found; a site may redirect to what no URL should have in it."""
    if _ODD.search(raw):
        raw = _ODD.sub(lambda found: b"%%%02X" % found[0][0], raw)
    return raw.decode("ascii")


_ODD = re.compile(rb"[^!-~]")


def spool_file(folder: str) -> IO[bytes]:
    """Open a new file for a body; workers share the folder, so its name has the process's number."""
    return open(f"{folder}{os.sep}{os.getpid()}-{next(_numbers)}", "xb")  # noqa: PTH123


_numbers = itertools.count()


EMPTY = hashlib.sha256(b"").hexdigest()


def set_options(curl: Any, getter: Getter, timeout: float | None) -> None:
    """Set everything on a handle that is the same for every page."""
    import pycurl  # noqa: PLC0415 - an extra

    seconds = getter.timeout if timeout is None else timeout
    options: list[tuple[int, Any]] = [
        (pycurl.NOSIGNAL, 1),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.FOLLOWLOCATION, int(getter.max_redirects > 0)),
        (pycurl.MAXREDIRS, getter.max_redirects),
        (pycurl.USERAGENT, getter.user_agent),
        (pycurl.HTTPHEADER, getter.header_lines()),
        (pycurl.ACCEPT_ENCODING, ""),
        (pycurl.BUFFERSIZE, RECEIVE_BUFFER),
        (pycurl.MAXFILESIZE_LARGE, getter.max_size),
        (pycurl.TIMEOUT_MS, max(1, int(seconds * 1000))),
        (pycurl.CONNECTTIMEOUT_MS, max(1, int(getter.connect_timeout * 1000))),
        (pycurl.LOW_SPEED_LIMIT, 1),
        (pycurl.LOW_SPEED_TIME, max(1, min(STALL_S, int(seconds)))),
        (pycurl.DNS_CACHE_TIMEOUT, DNS_CACHE_S),
        (pycurl.SSL_VERIFYPEER, int(not getter.insecure)),
        (pycurl.SSL_VERIFYHOST, 0 if getter.insecure else 2),
    ]
    if getter.http is not None:
        options.append((pycurl.HTTP_VERSION, HTTP_VERSIONS[getter.http]))
    if getter.proxy is not None:
        options.append((pycurl.PROXY, getter.proxy))
    for option, value in options:
        curl.setopt(option, value)
