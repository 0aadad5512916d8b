"""Write a URL the one way that a browser would ask for it; know it without its password.

The rules are those of the WHATWG URL standard: IDN to punycode, percent-encoding, `..` resolved, the
default port and the fragment left out. `can_ada` carries them out (0.3 µs a URL).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from outpace.errors import FetchError, UsageError

LONGEST_URL = 65_536  # characters; more than any server takes

_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/?#\s@]*@")


def parser() -> Callable[[str], Any]:
    """Return what parses a URL; raise `UsageError` when it is not installed."""
    try:
        from can_ada import parse  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(MISSING) from None
    return parse


MISSING = "fetch needs can-ada: pip install 'outpace[fetch]'"
if sys.version_info >= (3, 15):  # that extra leaves it out, while there is no wheel of it
    MISSING = "fetch needs can-ada: pip install can-ada (with a C++ compiler, to build it)"


def normaliser() -> Callable[[str], str]:
    """Return a function that normalises a URL, or raises `FetchError` of kind "invalid-url"."""
    parse = parser()

    def normalised(text: str) -> str:
        if len(text) > LONGEST_URL:
            raise FetchError(f"it has {len(text):,} characters", "invalid-url")
        try:
            url = parse(text)
        except (ValueError, TypeError):  # the second: what is no Unicode
            raise FetchError("it cannot be read as a URL", "invalid-url") from None
        scheme = url.protocol
        if scheme not in ("http:", "https:"):
            raise FetchError(f"only http and https are fetched, not {scheme}", "invalid-url")
        if url.hash:
            url.hash = ""
        return str(url.href)

    return normalised


def redacted(text: str) -> str:
    """Return a text without the user names and passwords of URLs in it."""
    return _CREDENTIALS.sub(r"\1", text) if "@" in text else text
