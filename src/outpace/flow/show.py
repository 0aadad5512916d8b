"""What the user gets to see: bare values, or an `Outcome` an item; and how figures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from outpace.flow.data import Outcome, Settled

# Where a stream has no better.
PLAIN = str.maketrans({"µ": "u", "…": "...", "\N{MULTIPLICATION SIGN}": "x", "≈": "~"})


def as_outcomes(settled: Settled, positions: Sequence[int]) -> Iterator[Outcome]:
    """Show an `Outcome` an item."""
    return map(settled.outcome, positions)


def as_values(on_error: str) -> Callable[[Settled, Sequence[int]], Iterator[Any]]:
    """Show bare values; a failed item raises, is left out, or gives its exception."""

    def view(settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        values, failures = settled.report.values, settled.report.failures
        if not failures:
            if len(positions) == len(values):
                return iter(values)
            return map(values.__getitem__, positions)
        return mixed(settled, positions)

    def mixed(settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        for position in positions:
            failure = settled.report.failures.get(position)
            if failure is None:
                yield settled.report.values[position]
            elif on_error == "raise":
                raise noted(settled, position)
            elif on_error == "return":
                yield failure.error

    return view


def noted(settled: Settled, position: int) -> BaseException:
    """Return the item's own exception, with the item and the worker's traceback noted on it."""
    failure = settled.report.failures[position]
    error = failure.error
    if failure.traceback:
        error.add_note(f"in a worker process:\n{failure.traceback.rstrip()}")
    index = settled.report.indexes[position]
    error.add_note(f"outpace: this was item {index}: {shown(settled.items[position])}")
    return error


def shown(item: object, width: int = 80) -> str:
    """Show an item in a message: its repr, cut to a width, whatever its repr does."""
    try:
        text = repr(item)
    except Exception as error:  # noqa: BLE001 - a repr can raise anything
        text = f"<{type(item).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= width else text[: width - 1] + "…"


def seconds(value: float | None) -> str:
    """Write a duration the way a person says it."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f} s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size * 0.9995:  # or 0.9999 s would be written as 1e+03 ms
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.0f} ns"


def per_second(value: float | None) -> str:
    """Write how many items a second, with as many digits as mean something."""
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def fitting(text: str, stream: TextIO) -> str:
    """Return a text in characters that a stream has: where it has ASCII only, say, `us` for `µs`."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text
