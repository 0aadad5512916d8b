"""What a site's robots.txt says, read by Protego: the file that knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outpace.errors import UsageError
from outpace.fetching.politeness import RobotsRules

LONGEST_DELAY = 60.0  # seconds; a Crawl-delay above it is taken for this


class SiteRules:
    """The rules of one site for one user agent."""

    __slots__ = ("_agent", "_parsed", "delay")

    def __init__(self, parsed: Any, agent: str) -> None:
        """Look up the delay once."""
        self._parsed = parsed
        self._agent = agent
        self.delay = min(float(parsed.crawl_delay(agent) or 0.0), LONGEST_DELAY)

    def allows(self, url: str) -> bool:
        """Say whether a URL may be fetched."""
        return bool(self._parsed.can_fetch(url, self._agent))


def reader(agent: str) -> Callable[[bytes], RobotsRules]:
    """Return a function that reads a robots.txt; raise `UsageError` when Protego is missing."""
    try:
        from protego import Protego  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError("--robots needs protego: pip install 'outpace[fetch]'") from None
    token = agent.partition("/")[0]  # a robots.txt names the product alone

    def read(text: bytes) -> RobotsRules:
        return SiteRules(Protego.parse(text.decode("utf-8", "replace")), token)

    return read
