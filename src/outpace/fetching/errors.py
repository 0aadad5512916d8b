"""What can go wrong with a page: libcurl's and HTTP's many ways, as few kinds as a person can act on.

Pure. Each kind has one line of advice for the closing summary; tests/fetching/test_errors.py holds the
list and the table of docs/fetch.md together.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# kind: what it says, and what to try.
ADVICE: Final = MappingProxyType(
    {
        "dns": "the name could not be resolved: check the spelling and the resolver; in bulk, fewer "
        "at once or a local caching resolver helps; --retry-failed dns",
        "connect": "nothing answers there: check the port and the firewall; --retry-failed connect",
        "tls": "no secure connection: an expired or wrong certificate (--insecure skips the check)",
        "proxy": "the proxy refused or could not be reached: check --proxy and the environment",
        "timeout": "too slow: raise --timeout or lower --per-host, then --retry-failed timeout",
        "reset": "the connection was cut: lower --per-host, then --retry-failed reset",
        "incomplete": "less came than was announced: --retry-failed incomplete",
        "protocol": "the answer is not HTTP, or broken: look at one with curl -v; --http 1.1 may help",
        "encoding": "the body is compressed in a way that cannot be undone: it is broken, or unknown",
        "too-large": "more than --max-size, or endless header fields: raise it if that is wanted",
        "too-many-redirects": "it redirects again and again, often for want of a cookie or a login",
        "redirect": "it redirects to what is not a web page (file:, ftp: ...): nothing to be done",
        "http": "the site says no; for 429 and 503 lower --per-host or set --delay",
        "robots": "its robots.txt asks not to fetch it, and --robots obeys",
        "blocked": "a private address, and --public-only refuses those",
        "invalid-url": "not a URL of a web page: write http:// or https://, and a site",
        "disk": "it could not be written: is there room, and the right to write?",
        "other": "see the message",
    }
)

# libcurl's codes (curl/curl.h), those that are not "other".
_KIND_OF_CODE: Final = MappingProxyType(
    {
        1: "redirect",  # unsupported protocol: normalised URLs are http(s), so only a redirect can
        3: "invalid-url",
        5: "proxy",
        6: "dns",
        7: "connect",
        8: "protocol",
        16: "protocol",
        18: "incomplete",
        23: "disk",
        27: "other",
        28: "timeout",
        35: "tls",
        47: "too-many-redirects",
        52: "reset",
        53: "tls",
        54: "tls",
        55: "reset",
        56: "reset",
        58: "tls",
        59: "tls",
        60: "tls",
        61: "encoding",
        63: "too-large",
        64: "tls",
        66: "tls",
        77: "tls",
        80: "tls",
        82: "tls",
        83: "tls",
        90: "tls",
        91: "tls",
        92: "protocol",
        95: "protocol",
        96: "connect",
        97: "proxy",
        98: "tls",
        100: "too-large",
    }
)

# A "receive error" that is none of the network's, by a word of libcurl's message.
_TELLING: Final = {"chunk": "protocol", "header": "too-large"}

TEMPORARY_KINDS: Final = frozenset(("dns", "connect", "timeout", "reset", "incomplete", "proxy"))
TEMPORARY_STATUS: Final = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(slots=True, frozen=True)
class TransferFacts:
    """What is known of a transfer that failed, beside libcurl's code and words."""

    resolved: bool = True  # whether the name had been resolved
    too_large: bool = False  # we stopped it
    blocked: str | None = None  # the address that we refused to connect to


def explain_failure(code: int, words: str, facts: TransferFacts) -> tuple[str, str]:
    """Return the kind and the message of a libcurl failure."""
    if facts.blocked is not None:
        return "blocked", f"{facts.blocked} is not a public address"
    if facts.too_large:
        return "too-large", "the body is larger than --max-size allows"
    kind = _KIND_OF_CODE.get(code, "other")
    if kind == "timeout" and not facts.resolved:
        kind, words = "dns", "the name was not resolved in time"
    if kind == "redirect" and "HTTP/0.9" in words:
        kind = "protocol"  # the same code: not a protocol that we speak
    if kind == "reset":
        lower = words.lower()
        kind = next((true for word, true in _TELLING.items() if word in lower), kind)
    return kind, words or f"libcurl error {code}"


def is_temporary(kind: str, status: int = 0) -> bool:
    """Say whether trying again a little later may help."""
    return status in TEMPORARY_STATUS if kind == "http" else kind in TEMPORARY_KINDS
