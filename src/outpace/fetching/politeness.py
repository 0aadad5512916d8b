"""Which request may go out now: so many to a host at once, so far apart, hosts taking turns.

Pure: it reads no clock and starts nothing. Requests go in with `push`; `take` says which one goes out
at the given time, if any; `ended` tells what became of it; `due` says when to ask again. Times are
seconds of any clock that only goes forward.

Guarantees, each with a test in tests/fetching/test_politeness.py: never more than the limit at one host;
two starts at one host at least the delay apart; over all hosts no more than the rate, but for
`CATCH_UP`; hosts that may be asked take turns, whatever their number of requests; a host that is slow,
pausing or has answered 429 or 503 keeps only its own requests waiting; a host that asks to be left
alone (Retry-After) is left alone that long.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from outpace.errors import FetchError, TemporaryFetchError

FIRST_PAUSE = 1.0  # seconds that a host is left alone after a 429 or 503 that does not say how long
LONGEST_PAUSE = 300.0  # seconds; a host that asks for more has its requests fail, to be tried later
RECOVERY = 16  # good answers after which a host that was slowed down gets one more request at once
CATCH_UP = 0.05  # seconds of a rate that may be made up for at once: timers are coarse
SLOW_DOWN = frozenset((429, 503))


class RobotsRules(Protocol):
    """What a site's robots.txt says."""

    delay: float

    def allows(self, url: str) -> bool:
        """Say whether a URL may be fetched."""
        ...


class RobotsRequest(NamedTuple):
    """A request of our own that comes before those of a site: for its robots.txt."""

    url: str


class HopelessRequest(NamedTuple):
    """A request that fails before it goes out: what was given is no URL."""

    text: str
    why: str


@dataclass(slots=True, eq=False)
class WebSite:
    """One site on the web, a host and port, and what is known of it: all of it changes."""

    name: str
    limit: int
    waiting: deque[tuple[int, Any]] = field(default_factory=deque)
    running: int = 0
    listed: bool = False  # whether it stands in the round of hosts, or among those that pause
    resume_at: float = 0.0  # nothing is started before
    paused_until: float = 0.0  # by a 429 or 503
    pauses: int = 0  # in a row
    good: int = 0  # answers since the limit was last changed
    refuse_until: float = 0.0  # it asked to be left alone for longer than anybody would wait
    rules: RobotsRules | None = None
    asked_rules: bool = False
    no_rules: FetchError | None = None  # why its robots.txt could not be read


_NOWHERE = WebSite("", 0)

# What is to go out: its index, the request, its host; or, instead of going out, why it must not.
Ticket = tuple[int, Any, WebSite, FetchError | None]


class Politeness:
    """The order in which requests go out, and when each may."""

    def __init__(
        self,
        *,
        per_host: int,
        delay: float = 0.0,
        rate: float | None = None,
        read_rules: Callable[[bytes], RobotsRules] | None = None,
    ) -> None:
        """Know no host yet; `read_rules` makes `RobotsRules` of a robots.txt, and has it asked for."""
        self.waiting = 0  # requests that have not gone out
        self._per_host = per_host
        self._delay = delay
        self._gap = 1.0 / rate if rate else 0.0
        self._next_start = 0.0  # by the rate of the whole job
        self._read_rules = read_rules
        self._sites: dict[str, WebSite] = {}
        self._round: deque[WebSite] = deque()  # hosts that may be asked, in turn
        self._pausing: list[tuple[float, int, WebSite]] = []  # a heap
        self._tie = 0
        self._hopeless: deque[tuple[int, HopelessRequest]] = deque()

    def push(self, index: int, item: Any) -> None:
        """Take in a request: a URL, or a tuple that begins with one."""
        if type(item) is HopelessRequest:
            self._hopeless.append((index, item))
            return
        url = item if type(item) is str else item[0]
        name = url.split("/", 3)[2]
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = WebSite(name, self._per_host)
        site.waiting.append((index, item))
        self.waiting += 1
        if not site.listed and site.running < site.limit:
            site.listed = True
            self._round.append(site)

    def take(self, now: float) -> Ticket | None:
        """Return what goes out now, or None when nothing may."""
        if self._hopeless:
            index, item = self._hopeless.popleft()
            return index, item, _NOWHERE, FetchError(item.why, "invalid-url")
        if now < self._next_start:
            return None
        pausing = self._pausing
        while pausing and pausing[0][0] <= now:
            self._round.append(heapq.heappop(pausing)[2])
        while self._round:
            site = self._round.popleft()
            site.listed = False
            if site.resume_at > now:
                self._pause(site)
                continue
            if site.running >= site.limit or not site.waiting:
                continue
            ticket = self._next_of(site, now)
            if ticket is not None:
                return ticket
        return None

    def _next_of(self, site: WebSite, now: float) -> Ticket | None:
        """Take a host's next request, or what has to come before it."""
        if self._read_rules is not None and site.rules is None and site.no_rules is None:
            if site.asked_rules:
                return None  # it stands in no list until the answer is there
            site.asked_rules = True
            url = site.waiting[0][1]
            scheme = (url if type(url) is str else url[0]).partition(":")[0]
            return self._out(-1, RobotsRequest(f"{scheme}://{site.name}/robots.txt"), site, now)
        index, item = site.waiting.popleft()
        self.waiting -= 1
        refusal = self._refusal(site, item, now)
        if refusal is None:
            return self._out(index, item, site, now)
        self._list(site)
        return index, item, site, refusal

    def _out(self, index: int, item: Any, site: WebSite, now: float) -> Ticket:
        """Let a request go out."""
        site.running += 1
        if self._gap:
            self._next_start = max(self._next_start, now - CATCH_UP) + self._gap
        delay = self._delay
        if site.rules is not None:
            delay = max(delay, site.rules.delay)
        if delay:
            site.resume_at = max(site.resume_at, now + delay)
        self._list(site)
        return index, item, site, None

    def ended(self, ticket: Ticket, now: float, value: Any, error: BaseException | None) -> None:
        """Learn how a request has ended: with a page, or an error that may have one."""
        index, _, site, _ = ticket
        site.running -= 1
        page = getattr(error, "page", None) if error is not None else value
        status = 0 if page is None else page.status
        if index < 0 and self._read_rules is not None:
            self._learn_rules(site, status, page, error)
        elif status in SLOW_DOWN:
            self._slow_down(site, now, getattr(error, "retry_after", None))
        elif error is None and site.limit < self._per_host:
            self._recover(site)
        elif error is None:
            site.pauses = 0
        if not site.waiting and not site.running:
            self._forget(site, now)
        elif not site.listed:
            self._list(site)

    def due(self) -> float | None:
        """Say when something may go out that may not now; None: not before something has ended."""
        if self._next_start and self._round:
            return self._next_start
        if self._pausing:
            return max(self._pausing[0][0], self._next_start)
        return None

    def _refusal(self, site: WebSite, item: Any, now: float) -> FetchError | None:
        """Say why a request must not go out, if so."""
        if now < site.refuse_until:
            text = f"{site.name} asked to be left alone for {site.refuse_until - now:.0f} s more"
            return FetchError(text, "http")
        if site.no_rules is not None:
            text = f"the robots.txt of {site.name} could not be read: {site.no_rules}"
            return FetchError(text, site.no_rules.kind)
        if site.rules is None:
            return None
        url = item if type(item) is str else item[0]
        if site.rules.allows(url):
            return None
        return FetchError(f"the robots.txt of {site.name} asks not to fetch it", "robots")

    def _learn_rules(
        self, site: WebSite, status: int, page: Any, error: BaseException | None
    ) -> None:
        """Take in a robots.txt as RFC 9309 has it: none (4xx) allows all, unreadable allows nothing."""
        assert self._read_rules is not None
        if error is None:
            site.rules = self._read_rules(page.body or b"")
        elif 400 <= status < 500 and status not in SLOW_DOWN:
            site.rules = self._read_rules(b"")
        elif isinstance(error, FetchError):
            site.no_rules = error

    def _slow_down(self, site: WebSite, now: float, retry_after: float | None) -> None:
        """Ask a host that is overloaded less often, after a pause."""
        if retry_after is not None and retry_after > LONGEST_PAUSE:
            site.refuse_until = max(site.refuse_until, now + retry_after)
            return
        if now < site.paused_until and retry_after is None:
            return  # others that were out with the first: one pause for all of them
        pause = retry_after or min(FIRST_PAUSE * 2**site.pauses, LONGEST_PAUSE)
        site.pauses = min(site.pauses + 1, 10)
        site.good = 0
        site.limit = max(1, site.limit // 2)
        site.paused_until = max(site.paused_until, now + pause)
        site.resume_at = max(site.resume_at, site.paused_until)

    def _recover(self, site: WebSite) -> None:
        """Let a host that was slowed down have one more at once, after enough good answers."""
        site.good += 1
        site.pauses = 0
        if site.good >= RECOVERY:
            site.good = 0
            site.limit += 1

    def _list(self, site: WebSite) -> None:
        """Let a host stand where the next round finds it, if it has anything to ask."""
        if site.waiting and not site.listed and site.running < site.limit:
            site.listed = True
            self._round.append(site)

    def _pause(self, site: WebSite) -> None:
        """Let a host stand among those that pause."""
        site.listed = True
        self._tie += 1
        heapq.heappush(self._pausing, (site.resume_at, self._tie, site))

    def _forget(self, site: WebSite, now: float) -> None:
        """Forget a host of which there is nothing to remember: there may be millions."""
        plain = site.limit == self._per_host and not site.asked_rules and not site.pauses
        if plain and not site.listed and site.resume_at <= now and site.refuse_until <= now:
            self._sites.pop(site.name, None)


def wait_for(attempt: int, error: BaseException) -> float:
    """Say how long the engine should wait before it tries an item again: as the site asks."""
    asked = getattr(error, "retry_after", None)
    if asked is not None and isinstance(error, TemporaryFetchError):
        return float(asked)
    return float(min(0.5 * 2 ** (attempt - 1), 30.0))
