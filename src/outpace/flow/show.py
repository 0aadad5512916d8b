"""What the user gets to see: bare values, or an `Outcome` an item; and how figures are written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from outpace.flow.brief import brief
from outpace.flow.signals import Terminated

if TYPE_CHECKING:  # an outcome shows itself by what is here
    from outpace.flow.data import Outcome, Settled

View = Callable[["Settled", Sequence[int]], Iterator[Any]]

# Where a stream has no better.
PLAIN = str.maketrans({"µ": "u", "…": "...", "\N{MULTIPLICATION SIGN}": "x", "≈": "~"})


def as_outcomes() -> View:
    """Show an `Outcome` an item."""
    run = object()

    def view(settled: Settled, positions: Sequence[int]) -> Iterator[Outcome]:
        failures = settled.report.failures
        for position in positions if failures else ():
            if position in failures:
                noted(settled, position, run)
        return map(settled.outcome, positions)

    return view


def as_values(on_error: str) -> View:
    """Show bare values; a failed item raises, is left out, or gives its exception."""
    run = object()

    def view(settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        values, failures = settled.report.values, settled.report.failures
        if not failures:
            if len(positions) == len(values):
                return iter(values)
            return map(values.__getitem__, positions)
        return mixed(settled, positions)

    def mixed(settled: Settled, positions: Sequence[int]) -> Iterator[Any]:
        for position in positions:
            if position not in settled.report.failures:
                yield settled.report.values[position]
            elif on_error == "raise":
                raise raisable(noted(settled, position, run))
            elif on_error == "return":
                yield noted(settled, position, run)

    return view


class Note(str):
    """A note on an exception that knows which run has made it; in a pickle it is a plain string."""

    __slots__ = ("run",)
    run: object

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without that: the run is none of another process."""
        return str, (str(self),)


def noted(settled: Settled, position: int, run: object) -> BaseException:
    """Return the item's own exception, with the item and the worker's traceback noted on it.

    Once for each run: an item may be looked at again, and items may raise one and the same exception.
    """
    failure = settled.report.failures[position]
    error = failure.error
    if any(getattr(note, "run", None) is run for note in notes(error)):
        return error
    if failure.traceback:
        annotate(error, f"in a worker process:\n{failure.traceback.rstrip()}")
    index = settled.report.indexes[position]
    note = Note(f"outpace: this was item {index}: {shown(settled.items[position])}")
    note.run = run
    annotate(error, note)
    return error


def notes(error: BaseException) -> list[Any]:
    """Return the notes on an exception; none where its own attributes get in the way."""
    try:
        found = getattr(error, "__notes__", None)
    except Exception:  # noqa: BLE001 - a property, or a `__getattr__`, can raise anything
        return []
    return found if type(found) is list else []


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an exception, unless it takes none: a frozen dataclass, say."""
    with contextlib.suppress(Exception):
        error.add_note(note)


def raisable(error: BaseException) -> BaseException:
    """Return what can be raised where values are taken; some exceptions mean something else there."""
    if not isinstance(error, StopIteration | StopAsyncIteration | GeneratorExit):
        return error
    # As PEP 479 has it: raised here, it would be the end of the values, or of whoever takes them.
    instead = RuntimeError(f"an item raised {said(error).removesuffix(': ')}")
    instead.__cause__ = error
    for note in notes(error):
        annotate(instead, note)
    return instead


def shown(item: object, width: int = 80) -> str:
    """Show an item in a message: its repr in one line, cut to a width, whatever its repr does.

    It takes no longer for a huge item: see `brief`.
    """
    try:
        text = brief(item, width)
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # noqa: BLE001 - a repr can raise anything
        text = f"<{type(item).__name__} whose repr raises {type(error).__name__}>"
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def said(error: BaseException) -> str:
    """Say an exception as Python does, in a message: its class and its text, whatever that does."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception as wrong:  # noqa: BLE001 - a __str__ can raise anything
        return f"{name} (its text raises {type(wrong).__name__})"


def printable(words: str) -> str:
    """Return words without what could steer a terminal: an item's name may hold anything."""
    return words if words.isprintable() else "".join(c if c.isprintable() else "?" for c in words)


def as_html(line: str, more: str | None = None) -> str:
    """Show a line, and a text below it, in a notebook."""
    from html import escape  # noqa: PLC0415 - for notebooks

    below = f"<pre>{escape(more)}</pre>" if more else ""
    return f"<div><code>{escape(line)}</code>{below}</div>"


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
