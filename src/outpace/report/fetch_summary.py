"""What a person sees of fetching: a line while it goes on, and what to make of the failures after."""

from __future__ import annotations

from outpace.fetching.errors import ADVICE
from outpace.fetching.manifest_lines import quoted
from outpace.fetching.tally import Cause, Tally
from outpace.flow.show import per_second, seconds

CAUSES_SHOWN = 8  # causes of failures that are listed; the manifest has all
URL_LENGTH = 100  # characters of a URL in the summary


def fetch_progress(tally: Tally, took: float, in_flight: int, total: int | None = None) -> str:
    """Write how far it is."""
    pace = tally.settled / took if took > 0 else 0.0
    parts = [
        f"{tally.settled:,}{f' of {total:,}' if total else ''} pages",
        f"{per_second(pace) or 0} pages/s",
        f"{tally.size / 1e6 / took if took > 0 else 0.0:.1f} MB/s",
        f"{in_flight:,} waiting",
    ]
    parts += [f"{number:,} {kind}" for kind, number in list(tally.by_kind().items())[:4]]
    if total and pace:
        parts.append(f"{seconds(max(0, total - tally.settled) / pace)} left")
    return ", ".join(parts)


def fetch_summary(tally: Tally, took: float, into: str | None) -> str:
    """Write what has become of it all; failures by cause, each with an example and what to try."""
    pace = per_second(tally.settled / took if took > 0 else None) or "0"
    where = f", into {into}" if into else ""
    size = _bytes(tally.size)
    lines = [f"{tally.fetched:,} pages, {size}, in {seconds(took)}: {pace} pages/s{where}"]
    extras = (
        (tally.unchanged, "unchanged"),
        (tally.skipped, "finished before"),
        (tally.duplicates, "given more than once"),
    )
    lines += [f"{number:,} {what}" for number, what in extras if number]
    if not tally.failed:
        return "\n".join(lines)
    lines.append(f"{tally.failed:,} failed:")
    causes = sorted(tally.causes.values(), key=lambda one: -one.count)
    advised = set()
    for cause in causes[:CAUSES_SHOWN]:
        lines.append(_cause(cause))
        if cause.kind not in advised:
            advised.add(cause.kind)
            lines.append(f"          {ADVICE.get(cause.kind, ADVICE['other'])}")
    if len(causes) > CAUSES_SHOWN:
        lines.append(f"  and {len(causes) - CAUSES_SHOWN} other causes: the manifest has every one")
    return "\n".join(lines)


def _cause(cause: Cause) -> str:
    """Write one way in which pages failed."""
    url = quoted(cause.url)[1:-1]  # whatever a list of URLs holds, it does nothing to a terminal
    if len(url) > URL_LENGTH:
        url = f"{url[: URL_LENGTH - 1]}…"
    message = quoted(cause.message)[1:-1].replace('\\"', '"')
    return f"  {cause.count:>6,}  {cause.kind}: {message}, as {url}"


def _bytes(number: int) -> str:
    """Write a number of bytes the way a person says it."""
    for unit, much in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= much:
            return f"{number / much:.3g} {unit}"
    return f"{number} bytes"
