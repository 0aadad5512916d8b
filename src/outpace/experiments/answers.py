"""Decide what the `pages` server answers: bytes in, bytes out, no socket and no clock.

Every response is rendered once, at import, so that a request costs two matches and a lookup. It
understands as much of HTTP/1.1 (RFC 9112) as the race needs: GET and HEAD of `/page/N`, keep-alive
and its end. It refuses request bodies and every other path.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES: Final = (18_547, 32_524)  # bytes of `/page/0` and `/page/1`, as the published race read them
LONGEST_HEAD: Final = 16_384  # bytes; twice what common servers allow

_VOCABULARY: Final = (
    "river stone market winter letter engine garden signal harbour copper window measure "
    "story morning paper bridge silver captain weather island number forest candle road"
)
_WORDS: Final = _VOCABULARY.split()
_CHAPTER: Final = 900  # bytes; a little more than the longest chapter of 90 words

# One rendering for each (with its body, last of its connection).
Rendered = dict[tuple[bool, bool], bytes]


def html(size: int) -> bytes:
    """Write an HTML page of exactly `size` bytes (2,000 at least), alike wherever it is written."""
    words = _words(seed=size)
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<title>Field notes, {size} bytes</title>\n</head>\n<body>\n<nav><a href="/page/0">First'
        '</a> <a href="/page/1">Second</a></nav>\n<main>\n<h1>Field notes</h1>\n<p>'
    )
    bottom = "</p>\n</main>\n<footer>Written to be read, not kept.</footer>\n</body>\n</html>\n"
    for chapter in count(1):
        text += " ".join(next(words) for _ in range(90))
        if size - len(text) - len(bottom) < _CHAPTER:
            break
        text += f'.</p>\n<h2 id="c{chapter}">The {next(words)} and the {next(words)}</h2>\n<p>'
    while len(text) + len(bottom) < size:
        text += f" {next(words)}"
    return (text[: size - len(bottom)] + bottom).encode("ascii")


def respond(head: bytes) -> tuple[bytes, bool]:
    """Answer one request, given up to the empty line that ends it; True: then hang up."""
    line, _, fields = head.lstrip(b"\r\n").partition(b"\r\n")
    request = _REQUEST.fullmatch(line)
    if request is None:
        return BAD_REQUEST, True
    method, target, minor = request.groups()
    if method not in (b"GET", b"HEAD"):
        return _NOT_ALLOWED[True, True], True  # a body may follow, and it is not read
    page = _PAGE.fullmatch(target)
    rendered = _NOT_FOUND if page is None else _PAGES[int(page[1]) % len(_PAGES)]
    last = _is_last(fields, minor)
    return rendered[method == b"GET", last], last


def refuse(unread: bytes) -> bytes | None:
    """Answer bytes that can no longer become a request; None while they still can."""
    if len(unread) > LONGEST_HEAD:
        return _TOO_LONG
    return None if _BEGINNING.match(unread) else BAD_REQUEST


def _is_last(fields: bytes, minor: bytes) -> bool:
    connection = _CONNECTION.search(fields)
    wishes = connection[1].lower() if connection else b""
    return b"close" in wishes or (minor == b"0" and b"keep-alive" not in wishes)


def _words(seed: int) -> Iterator[str]:
    # The example of `rand` in the C standard: `random.choice` may change between Pythons.
    while True:
        seed = (seed * 1_103_515_245 + 12_345) % 2**31
        yield _WORDS[(seed >> 16) % len(_WORDS)]


def _rendered(status: str, body: bytes, fields: str = "") -> Rendered:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n{fields}"
    head += f"Content-Length: {len(body)}\r\nConnection: "
    return {
        (whole, last): (head + ("close" if last else "keep-alive") + "\r\n\r\n").encode("ascii")
        + (body if whole else b"")
        for whole in (True, False)
        for last in (True, False)
    }


_REQUEST: Final = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.([01])")
_PAGE: Final = re.compile(rb"(?:http://[^/?]*)?/page/\d*(\d)(?:\?.*)?")  # odd or even: last digit
_CONNECTION: Final = re.compile(rb"(?:\A|\r\n)connection:([^\r]*)", re.IGNORECASE)
_BEGINNING: Final = re.compile(rb"[\r\n]*[A-Z]{0,20}(?: |\Z)")

_PAGES: Final = tuple(_rendered("200 OK", html(size)) for size in SIZES)
_NOT_FOUND: Final = _rendered("404 Not Found", b"<p>There is only /page/0, /page/1, ...\n")
_NOT_ALLOWED: Final = _rendered(
    "405 Method Not Allowed", b"<p>Only GET and HEAD.\n", "Allow: GET, HEAD\r\n"
)
BAD_REQUEST: Final = _rendered("400 Bad Request", b"<p>That is not HTTP/1.1.\n")[True, True]
_TOO_LONG: Final = _rendered("431 Request Header Fields Too Large", b"<p>Too long.\n")[True, True]
