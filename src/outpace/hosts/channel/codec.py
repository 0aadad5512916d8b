"""Messages as frames, and frames as messages: in what order their fields travel, and what can go wrong.

A frame has facts of plain types, which always load, and the user's values, which may not (`framing`).
What cannot be sent or read costs itself and nothing else: a value becomes the failure of its item, an
exception is replaced by one that says what it was, a chunk is `Unsendable` or `Unreadable`.

Tested by `tests/hosts/test_codec.py` and `tests/hosts/test_exceptions.py`.
"""

from __future__ import annotations

import contextlib
import traceback
from typing import Any

from outpace.errors import RemoteError, TransferError
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.show import said
from outpace.flow.signals import Terminated
from outpace.hosts.channel.by_value import by_value
from outpace.hosts.channel.exceptions import Bare, Chain, behind
from outpace.hosts.channel.framing import NOTHING, Frame, Packed, pack
from outpace.hosts.channel.messages import (
    Bye,
    Cancel,
    Done,
    Failed,
    FromWorker,
    Hello,
    Locate,
    Logged,
    Over,
    Ping,
    Pong,
    Printed,
    Ready,
    Recall,
    Surroundings,
    ToWorker,
    Unreadable,
    Unsendable,
    Warned,
    Work,
)

Message = ToWorker | FromWorker
# A message travels as its place in this tuple, and its fields; so none is looked up by a name.
KINDS: tuple[Any, ...] = (
    *(Work, Done, Returned, Ping, Pong, Ready, Hello, Unreadable, Failed, Bye),
    *(Printed, Logged, Warned, Locate, Recall, Over, Cancel),
)
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


def encode(  # noqa: PLR0911 - a table, read downwards
    message: Message, values: by_value | None = None
) -> tuple[tuple[Any, ...], Packed]:
    """Return a message as facts and a payload; raise `Unsendable` for items that cannot travel.

    `values` says which modules' functions and classes go by value.
    """
    number = NUMBERS[type(message)]
    match message:
        case Work(chunk):
            return (number, chunk.first, chunk.attempt, chunk.divisible), _items(chunk, values)
        case Done(report, weight):
            packed = _values(report)  # first: it adds to the failures
            failures = [(n, *_failure(failure)) for n, failure in report.failures.items()]
            columns = (report.indexes, report.started, report.ended, failures)
            facts = (report.cpu_s, report.lane, report.carried_s, report.trace, weight)
            return (number, *columns, *facts), packed
        case Returned(indexes):
            return (number, indexes), NOTHING
        case Hello(surroundings, job):
            return (number, *surroundings), job
        case Unreadable(first, error, text):
            return (number, first, text), pack_error(error)
        case Failed(error, text, trace, in_setup):
            return (number, text, trace, in_setup), pack_error(error)
        case Bye(cpu_s, peak_bytes, error):
            return (number, cpu_s, peak_bytes), NOTHING if error is None else pack_error(error)
        case Logged(name, facts):
            return (number, name), _log_facts(facts or {})
        case _:
            return (number, *message), NOTHING


def decode(frame: Frame) -> Message:  # noqa: PLR0911 - a table, read downwards
    """Return the message that a frame is; raise what unpickling items raises, and nothing else."""
    number, *fields = frame.meta
    kind, payload = KINDS[number], frame.payload
    if kind is Done:
        return _done(fields, payload)
    if kind is Work:
        first, attempt, divisible = fields
        return Work(Chunk(first, payload.load(), attempt=attempt, divisible=divisible))
    if kind is Hello:
        return Hello(Surroundings._make(fields), payload)
    if kind is Unreadable:
        first, text = fields
        return Unreadable(first, load_error(payload, text), text)
    if kind is Failed:
        text, trace, in_setup = fields
        return Failed(load_error(payload, trace), text, trace, in_setup)
    if kind is Bye:
        cpu_s, peak_bytes = fields
        return Bye(cpu_s, peak_bytes, load_error(payload, "an exception at the exit of setup"))
    if kind is Logged:
        facts = None
        with contextlib.suppress(Exception):  # unpickling runs the user's code
            facts = payload.load()
        return Logged(fields[0], facts)
    return kind(*fields)  # type: ignore[no-any-return]


def unreadable(frame: Frame, error: BaseException) -> Unreadable:
    """Say of a frame whose items could not be read which they are, and why."""
    return Unreadable(frame.meta[1], error, text_of(error))


# Items and values.


def _items(chunk: Chunk, values: by_value | None) -> Packed:
    """Pickle what a chunk holds."""
    try:
        if values is None:
            return pack(chunk.items)
        with values:
            return pack(chunk.items, by_value=values.active)
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        raise Unsendable(error) from error


def _values(report: Report) -> Packed:
    """Pickle the values of a report; what cannot be pickled becomes a failure of that item."""
    try:
        return _readable(report.values)
    except BaseException:  # noqa: BLE001 - pickling runs the user's code
        return _each(report)


def _readable(value: Any) -> Packed:
    """Pickle a value; raise where that fails, or where it could not be read again.

    Plain values can. To find out of others takes about as long as pickling them did; but one that
    cannot be read would take all of its report along.
    """
    packed = pack(value)
    if not packed.plain:
        packed.load()
    return packed


def _each(report: Report) -> Packed:
    """Pickle values one by one, replacing those that cannot be, or not read again, by failures."""
    for position, value in enumerate(report.values):
        try:
            _readable(value)
        except BaseException as error:  # noqa: BLE001 - pickling runs the user's code
            msg = (
                f"the result, a {type(value).__name__}, cannot be sent back from a worker process: "
                f"{said(error)}; return plain data, or use threads"
            )
            report.failures[position] = Failure(TransferError(msg))
            report.values[position] = None
    return pack(report.values)


def _failure(failure: Failure) -> tuple[Any, ...]:
    """Return a failure as plain facts."""
    packed = bytes(pack_error(failure.error).pickle)
    return failure.kind, packed, failure.traceback or text_of(failure.error)


def _done(fields: list[Any], payload: Packed) -> Done:
    """Put a report together: values that may not load, failures, times."""
    indexes, started, ended, failures, cpu_s, lane, carried_s, trace, weight = fields
    report = Report(indexes, [], started, ended, {}, cpu_s, 0, lane, carried_s, trace)
    try:
        report.values = payload.load()
    except BaseException as error:  # noqa: BLE001 - unpickling runs the user's code
        report.values = [None] * len(indexes)
        failure = untransferable("a result cannot be read here", error)
        report.failures = dict.fromkeys(range(len(indexes)), failure)
    for position, kind, pickled, text in failures:
        report.failures[position] = Failure(load_error(Packed(pickled, []), text), kind, text)
    return Done(report, weight)


def _log_facts(facts: dict[str, Any]) -> Packed:
    """Pickle the facts of a log record, without what else the user has put into it if need be."""
    try:
        return pack(facts)
    except Exception:  # noqa: BLE001 - pickling runs the user's code
        return pack({k: v for k, v in facts.items() if isinstance(v, str | int | float | None)})


def untransferable(what: str, error: BaseException, trace: str | None = None) -> Failure:
    """Make the failure of something that cannot travel."""
    wrapped = TransferError(f"{what}: {said(error)}; pass plain data, or use threads")
    wrapped.__cause__ = error
    return Failure(wrapped, traceback=trace)


# Exceptions.


def pack_error(error: BaseException) -> Packed:
    """Pickle an exception, and what it came from, so that they surely load."""
    packed, links = _pack_alone(error), []
    with contextlib.suppress(Exception):  # what the user has made of `__cause__` can raise anything
        links = [(how, bytes(_pack_alone(one).pickle)) for how, one in behind(error)]
    return pack(Chain(bytes(packed.pickle), links)) if links else packed


def load_error(packed: Packed, trace: str) -> BaseException:
    """Return an exception that a worker sent; what stands in for it when it cannot be read here."""
    try:
        error: BaseException = packed.load()
    except Exception as why:  # noqa: BLE001 - unpickling runs the user's code
        last = trace.strip().rpartition("\n")[2]
        return RemoteError(f"{last} (this exception cannot be read here: {said(why)})")
    return error


def _pack_alone(error: BaseException) -> Packed:
    """Pickle an exception so that it surely loads; else something that stands in for it."""
    for form in (lambda: error, lambda: Bare(error)):
        with contextlib.suppress(BaseException):  # it cannot travel: say what it was
            packed = pack(form(), whole=True)
            if type(packed.load()) is type(error):
                return packed
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a __str__ can raise anything
        text = "(its text cannot be shown)"
    return pack(
        RemoteError(f"{name}: {text} (the exception itself cannot travel between processes)")
    )


def text_of(error: BaseException) -> str:
    """Format a traceback, whatever the exception's own methods do."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - __str__ or __cause__ can raise anything
        return f"{type(error).__name__} (its traceback cannot be shown)\n"
