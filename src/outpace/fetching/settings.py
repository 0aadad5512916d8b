"""How pages are to be fetched: every setting, checked once, in one frozen object that can travel.

A `Getter` is a function of a URL. The driver `curl` does not call it but asks it for what it needs: the
policy, and transfers with all options set. Called, it fetches one page there and then.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from outpace.errors import UsageError, UsageTypeError
from outpace.fetching.page import Page
from outpace.fetching.politeness import Politeness
from outpace.flow.amounts import check_flag, check_positive, is_one_of, kind, real, whole
from outpace.flow.show import shown

if TYPE_CHECKING:
    from outpace.fetching.transfer import Transfer

IN_FLIGHT = 256  # pages at once in all: waiting costs nothing but a socket, and 1,024 are allowed
PER_HOST = 6  # what browsers allow themselves
CONNECT_TIMEOUT = 15.0  # seconds
TIMEOUT = 300.0  # seconds for one page, all in all
MAX_SIZE = 4 * 2**30  # bytes; against bodies without an end
MAX_REDIRECTS = 10
LONGEST_S = 1_000_000.0  # seconds (eleven days) of any time; libcurl counts milliseconds in 31 bits
SPARE_FILES = 128  # for everything that is no connection
HTTP_VERSIONS = {"1.1": 2, "2": 4, "3": 30}  # CURL_HTTP_VERSION_1_1, _2TLS, _3

_PROXY = re.compile(r"(?:(?:https?|socks4a?|socks5h?)://)?[!-~]+")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\t\x20-\x7e\x80-\xff]*")


@dataclass(slots=True, frozen=True, kw_only=True)
class Getter:
    """The settings of a job of fetching."""

    in_flight: int = IN_FLIGHT
    per_host: int = PER_HOST
    delay: float = 0.0
    rate: float | None = None
    timeout: float = TIMEOUT
    connect_timeout: float = CONNECT_TIMEOUT
    max_size: int = MAX_SIZE
    headers: tuple[str, ...] = ()
    user_agent: str = ""
    http: str | None = None
    proxy: str | None = None
    max_redirects: int = MAX_REDIRECTS
    insecure: bool = False
    robots: bool = False
    public_only: bool = False
    keep_body: bool = True
    keep_head: bool = True
    hash_body: bool = True
    spool: str | None = None  # the folder for large bodies; None: they stay in memory

    def __call__(self, item: Any) -> Page:
        """Fetch one page; raise `FetchError`."""
        with contextlib.closing(self.transfer()) as transfer:
            return transfer.perform(item)

    def shared(self, workers: int) -> Getter:
        """Return the part of one worker of several, so that all together keep to what was asked for."""
        return replace(
            self,
            in_flight=max(1, self.in_flight // workers),
            per_host=max(1, self.per_host // workers),
            delay=self.delay * workers,
            rate=self.rate / workers if self.rate else None,
        )

    def most_workers(self) -> int:
        """Say how many workers can share this without asking more of a host than was asked for."""
        return min(self.in_flight, self.per_host)

    def policy(self) -> Politeness:
        """Make the policy of one worker."""
        read_rules = None
        if self.robots:
            from outpace.fetching.robots import reader  # noqa: PLC0415 - brings Protego

            read_rules = reader(self.user_agent)
        return Politeness(
            per_host=self.per_host, delay=self.delay, rate=self.rate, read_rules=read_rules
        )

    def transfer(self, timeout: float | None = None) -> Transfer:
        """Make one transfer, with all options set; `timeout` in place of its own."""
        from outpace.fetching.transfer import Transfer  # noqa: PLC0415 - brings pycurl

        return Transfer(self, timeout)

    def header_lines(self) -> list[str]:
        """Return the header fields of every request."""
        return [*self.headers, "Expect:"]


def check_header(line: object) -> str:
    """Return a header field as it is sent; raise unless it is one line `Name: value`."""
    if not isinstance(line, str):
        raise UsageTypeError(f"a header is text like 'Name: value', not {type(line).__name__}")
    if not _FIELD.fullmatch(line):
        name = re.match(r"[\w-]{0,40}", line)
        raise UsageError(
            f"the header that begins with {name[0] if name else ''!r} is not one line 'Name: value'"
        )
    name_only = line.partition(":")
    # libcurl takes "Name:" for "leave it out" and "Name;" for "send it empty".
    return line if name_only[2].strip() else f"{name_only[0]};"


def make_getter(
    *,
    in_flight: int | None = None,
    per_host: int | None = None,
    delay: float = 0.0,
    rate: float | None = None,
    timeout: float | None = None,
    connect_timeout: float | None = None,
    max_size: int | None = None,
    headers: Mapping[str, str] | Iterable[str] = (),
    user_agent: str | None = None,
    http: str | None = None,
    proxy: str | None = None,
    max_redirects: int | None = None,
    insecure: bool = False,
    robots: bool = False,
    public_only: bool = False,
) -> Getter:
    """Check what the user asked for; raise `UsageError` or `UsageTypeError` for what cannot work."""
    redirects = MAX_REDIRECTS if max_redirects is None else whole(max_redirects)
    if redirects is None or not 0 <= redirects <= 1000:
        raise UsageError(f"max_redirects is a number from 0 to 1000, not {shown(max_redirects)}")
    if http is not None and not is_one_of(http, HTTP_VERSIONS):
        raise UsageError(f"http is one of {', '.join(map(repr, HTTP_VERSIONS))}, not {shown(http)}")
    asked: object = proxy
    if asked is not None and not (isinstance(asked, str) and _PROXY.fullmatch(asked)):
        raise UsageError(
            "proxy is a URL like http://host:port (also https, socks4, socks5, socks5h)"
        )
    if check_flag("public_only", public_only):
        _refuse_proxies(proxy)
    if isinstance(headers, str):
        headers = [headers]
    elif not isinstance(headers, Iterable):
        raise UsageTypeError(f"headers is a mapping, or lines in a list, not {shown(headers)}")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    lines = [f"{name}: {value}" for name, value in pairs] or list(headers)
    agent = _agent() if user_agent is None else user_agent
    if not isinstance(agent, str):
        raise UsageTypeError(f"user_agent is text, not {kind(agent)}: {shown(agent)}")
    check_header(f"User-Agent: {agent}")
    return Getter(
        in_flight=check_positive("in_flight", in_flight) or IN_FLIGHT,
        per_host=check_positive("per_host", per_host) or PER_HOST,
        delay=float(_checked_number("delay", delay, least=0.0) or 0.0),
        rate=_checked_number("rate", rate),
        timeout=_checked_number("timeout", timeout) or TIMEOUT,
        connect_timeout=_checked_number("connect_timeout", connect_timeout) or CONNECT_TIMEOUT,
        max_size=check_positive("max_size", max_size) or MAX_SIZE,
        headers=tuple(map(check_header, lines)),
        user_agent=agent,
        http=http,
        proxy=proxy,
        max_redirects=redirects,
        insecure=check_flag("insecure", insecure),
        robots=check_flag("robots", robots),
        public_only=check_flag("public_only", public_only),
    )


def _agent() -> str:
    """Name the tool and its version."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 5 ms

    try:
        return f"outpace/{version('outpace')}"
    except PackageNotFoundError:  # run from its source
        return "outpace"


def _checked_number(
    name: str, value: object, least: float = 0.001, most: float = LONGEST_S
) -> float | None:
    """Return a number of at least so much, and not absurd, or None; raise for anything else."""
    if value is None:
        return None
    number = real(value)
    if number is None:
        raise UsageTypeError(f"{name} must be a number, not {kind(value)}: {shown(value)}")
    if not least <= number <= most:
        raise UsageError(
            f"{name} must be a number from {least:g} to {most:,.0f}, not {shown(number)}"
        )
    return number


def _refuse_proxies(proxy: str | None) -> None:
    """Raise `UsageError` when a proxy would connect where we cannot see to."""
    names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    where = "proxy" if proxy else next((name for name in names if os.environ.get(name)), None)
    if where is not None:
        raise UsageError(
            f"public_only cannot check what a proxy connects to: leave out one of the two ({where})"
        )


def allow_files(in_flight: int) -> None:
    """Let this process have as many sockets; raise `UsageError` when the system does not."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:  # pragma: no cover - where there is no such limit either
        return
    needed = 2 * in_flight + SPARE_FILES  # as many connections again are kept, to be used again
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"in_flight {shown(in_flight)} needs more open files than the {hard} allowed here"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
