"""What a pool and its workers say to each other: one class a message, the same on both sides.

How they travel is the transport's business. Between processes `codec` makes frames of them; within one
process they can be handed over as they are. What a worker cannot say itself, because it has ended or
cannot be heard, its transport says of it (`pool.transport`).

Pure.
"""

from __future__ import annotations

import traceback
from typing import Any, NamedTuple

from outpace.errors import SetupError
from outpace.flow.data import Chunk, Report, Returned

# To a worker.


class Surroundings(NamedTuple):
    """What the caller sees at the moment when a worker starts, so that the worker sees the same."""

    lanes: int
    imports: list[str]  # modules that a worker needs, the driver's own first
    path: list[str]  # sys.path
    drivers: list[str]  # where driver files are
    argv: list[str]
    directory: str | None  # the working directory, None where that has been deleted
    authkey: bytes | None  # what proxies of a `multiprocessing.Manager` connect with
    levels: dict[str, Any]  # of loggers
    rows: int  # of the board, and its places
    places: int
    memory: str | None  # the name of what is shared, where it has one
    weigh: bool  # whether the worker is to say how much memory it takes


class Hello(NamedTuple):
    """What to be: the first that a worker process hears. `job` is packed, once for all workers."""

    surroundings: Surroundings
    job: Any


class Work(NamedTuple):
    """Items to be carried out."""

    chunk: Chunk


class Unsendable(Exception):  # noqa: N818 - what becomes of it is the pool's business
    """The items of a chunk cannot travel: `why` not."""

    def __init__(self, why: BaseException) -> None:
        super().__init__(why)
        self.why = why


class Ping(NamedTuple):
    """A question that any worker answers one of whose threads can run."""


class Cancel(NamedTuple):
    """The request to put an end to an item whose time is up: for who cannot be killed for it."""

    item: int  # its index


class Locate(NamedTuple):
    """The request to write down where it is, for an item that is late."""


class Recall(NamedTuple):
    """The request to unwind at once from whatever is running."""


class Over(NamedTuple):
    """The end: nothing more comes, and the worker is to close its setup and go."""


# From a worker.


class Ready(NamedTuple):
    """The worker has opened its driver. `now` is its clock, `weight` as in `Done`."""

    now: float = 0.0
    weight: int = 0


class Done(NamedTuple):
    """Items that have ended. `weight` is how many bytes the worker has resident, if it was asked to."""

    report: Report
    weight: int = 0


class Unreadable(NamedTuple):
    """The chunk that begins with this item could not be read, and why."""

    first: int
    error: BaseException
    text: str


class Failed(NamedTuple):
    """There can be no work in this worker: `text` says why, `trace` what the traceback says."""

    error: BaseException
    text: str
    trace: str
    in_setup: bool

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Make it of what opening the driver has raised."""
        in_setup = isinstance(error, SetupError)
        cause = (error.__cause__ if in_setup else None) or error
        return cls(cause, str(error), "".join(traceback.format_exception(cause)), in_setup)


class Pong(NamedTuple):
    """The answer to a `Ping`."""


class Printed(NamedTuple):
    """Text for the caller's stdout, or stderr."""

    stream: str
    text: str


class Logged(NamedTuple):
    """A log record, as the facts that it consists of; None where those cannot be read."""

    name: str
    facts: dict[str, Any] | None


class Warned(NamedTuple):
    """A warning, with the module and name of its class."""

    text: str
    category: tuple[str, str]
    file: str
    line: int


class Bye(NamedTuple):
    """The last word: what the worker has used, and what went wrong at the exit of its setup."""

    cpu_s: float = 0.0
    peak_bytes: int = 0
    error: BaseException | None = None


# Of a worker.


class Died(NamedTuple):
    """A worker has ended: how, the most memory it had, and what it has written down, if known."""

    exitcode: int | None = None
    peak_bytes: int | None = None
    last_words: str | None = None
    out_of_memory: bool = False  # the kernel has killed somebody for want of memory meanwhile


class Lost(NamedTuple):
    """Nothing more can be heard of a worker: it is dead, or about to be, or makes no sense."""


class Refused(NamedTuple):
    """A worker was not even started, and others would not be."""

    error: Exception


Said = Printed | Logged | Warned
ToWorker = Hello | Work | Ping | Cancel | Locate | Recall | Over
OfWorker = Died | Lost | Refused
FromWorker = Ready | Done | Returned | Unreadable | Failed | Pong | Printed | Logged | Warned | Bye
Event = FromWorker | OfWorker
