"""The faults: all that an item, its values or what is around it can do wrong, and what comes of it.

One table, written once. `test_faults.py` carries every fault out under every model of the registry, and
`docs/faults.md` is made from the same rows: what the page promises is what is tested.

A fault is a *deed* (`deeds.py`), done by one item among many; the others must come out right, each once.
What becomes of it is an `End`: one in worker processes, one in this process, and exceptions by model. In
this process an item can do to us what it likes: some of these cells end the program, and say how.

Importable without pytest: the page is made with it, and the cells that could hurt whoever tests are
carried out by programs of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import deeds

import outpace
from outpace.registry import Model

ITEMS, BAD = 40, 17  # so many items, and the one that misbehaves
TIMEOUT = 0.5  # seconds, where a fault is about items that do not end
LARGE = 40_000_000  # bytes: no socket, pipe or buffer takes it at once
SOME = -1  # of the first items came out, however many

Deed = Callable[[Any], Any]


@dataclass(frozen=True)
class End:
    """Be what comes of a fault, and the same in words.

    `kind` is that of the item's outcome; or "raises" when the run raises an error after the first `came`
    items, "left" when the consumer stops after so many, "ends" when the program ends with `exitcode`,
    "hangs" when that needs the signal. `error` is the exception's name, and `says` a regular expression
    for its text (or the program's stderr). `touches` says that the caller is left with a trace of it.
    """

    kind: str
    words: str
    error: str = ""
    says: str = ""
    came: int = ITEMS
    exitcode: int = 0
    touches: bool = False


@dataclass(frozen=True)
class Fault:
    """Be one way to misbehave.

    `deed` is done by the bad item (and gets it); `bad` makes that item itself. `options` are those of
    `outpace.run`; a consumer leaves after `take` outcomes. `apart`: in this process it could hurt
    whoever tests. `state` and `is_left` (which gets the item's value, and cleans up) show whether the
    caller is touched by it. `impatient`: what is waited for long is not waited for long.
    """

    name: str
    title: str
    section: str
    deed: Deed
    hosted: End
    alone: End
    exceptions: Mapping[str, End] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    bad: Callable[[], Any] | None = None
    take: int | None = None
    kinds: Sequence[str] = ("plain", "coroutine")
    apart: bool = False
    state: Callable[[], Any] = lambda: None
    is_left: Callable[[Any], bool] = lambda _: False
    impatient: bool = False
    slow: bool = False

    def end(self, model: Model, kind: str) -> End:
        """Return what comes of it under a model, for this kind of function."""
        for key in (f"{model.name}, {kind}", model.name):
            if key in self.exceptions:
                return self.exceptions[key]
        return self.hosted if model.host else self.alone


@dataclass
class Seen:
    """Be what was seen: a row for each outcome, what the run raised, and whether the caller is touched.

    A row is the index, the kind, the error's name and text; of a done item, whether its value is right.
    """

    rows: list[tuple[int, str, str, str]] = field(default_factory=list)
    raised: tuple[str, str] | None = None
    touched: bool = False


def carry_out(fault: Fault, kind: str, model: str) -> Seen:
    """Carry a fault out under a model, with a plain or a coroutine function."""
    seen = Seen()
    options: dict[str, Any] = {"workers": 2, "in_flight": 8, **fault.options}
    before, value = fault.state(), None
    with impatience() if fault.impatient else contextlib.nullcontext():
        try:
            for outcome in outpace.run(function(fault, kind), items(fault), model=model, **options):
                name = type(outcome.error).__name__ if outcome.error is not None else ""
                right = "" if outcome.value == outcome.index else f"gives {outcome.value!r:.60}"
                text = str(outcome.error) if name else right
                seen.rows.append((outcome.index, outcome.kind, name, text))
                if outcome.index == BAD:
                    value = outcome.value
                if len(seen.rows) == fault.take:
                    break
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            seen.raised = type(error).__name__, str(error)
    seen.touched = fault.state() != before or fault.is_left(value)
    return seen


def items(fault: Fault) -> Iterator[Any]:
    """Yield the items: numbers, and the bad one at its place."""
    for n in range(ITEMS):
        yield fault.bad() if n == BAD and fault.bad is not None else n


def function(fault: Fault, kind: str) -> Callable[..., Any]:
    """Return the function of a job: the bad item does the deed, the others return themselves."""
    deed = fault.deed

    def plain(item: Any, *_: Any) -> Any:
        return item if type(item) is int and item != BAD else deed(item)

    async def coroutine(item: Any, *_: Any) -> Any:
        await asyncio.sleep(0)
        found = item if type(item) is int and item != BAD else deed(item)
        return await found if hasattr(found, "__await__") else found

    return plain if kind == "plain" else coroutine


@contextlib.contextmanager
def impatience() -> Iterator[None]:
    """Have setups be waited for less long than anybody would want."""
    waits = [("drivers._late", "SETUP"), ("hosts.pool.shutdown", "EXIT_PATIENCE")]
    found = [(importlib.import_module(f"outpace.{module}"), name) for module, name in waits]
    before = [getattr(module, name) for module, name in found]
    for module, name in found:
        setattr(module, name, 0.3)
    try:
        yield
    finally:
        for (module, name), old in zip(found, before, strict=True):
            setattr(module, name, old)


def named(name: str) -> Fault:
    """Return the fault of this name."""
    return next(fault for fault in FAULTS if fault.name == name)


# Ends of a kind.


def failed(error: str, words: str, says: str = "") -> End:
    return End("failed", words, error, says)


def lost(words: str, says: str) -> End:
    return End("lost", words, "WorkerLostError", says)


def late(words: str, says: str = "its timeout of 0.5 s") -> End:
    return End("timed-out", words, "ItemTimeoutError", says)


def raises(error: str, words: str, says: str, came: int = 0) -> End:
    return End("raises", words, error, says, came)


def ends_program(exitcode: int, words: str, says: str = "") -> End:
    return End("ends", words, says=says, exitcode=exitcode)


def hangs(words: str, needs: int, says: str = "") -> End:
    return End("hangs", words, says=says, exitcode=-needs)


# The table.

SECTIONS: dict[str, str] = {
    "What it raises or gives": (
        "Values and exceptions travel between processes as pickles, and some cannot. A model without "
        "worker processes hands over the object itself."
    ),
    "What ends the process": (
        "A worker process that dies is replaced, and the item that was running is to blame. In your "
        "own process there is nobody to notice: your program ends as it would without outpace."
    ),
    "What does not end": "These have a `timeout` of half a second. Without one, outpace waits.",
    "What it leaves behind": (
        "The item itself is done. What it has started is its worker's, and goes with it."
    ),
    "What it does to its process": (
        "A worker process is the items' own, to do with as they like; nothing of it reaches you, except "
        "where a worker becomes useless by it."
    ),
    "What is around the items": "Nothing is left running after any of these.",
}

RAISED = "You get the exception itself."
STANDS_IN = (
    "You get a `RemoteError` in its place, with its name, its text and the worker's traceback."
)
NOT_SENT = (
    "You get a `TransferError` that says what could not be pickled; the other items of its chunk are "
    "not affected."
)
ITSELF = "Nothing travels, so nothing is wrong: the item is done."
CTRL_C = (
    "It is taken for a Ctrl-C of yours: the run ends, says in a line what became of it, and your "
    "program is interrupted."
)
KILLED = (
    "The worker is killed, with all that it has started, and replaced; only this item is timed out, "
    "and its error says where it was."
)
ABANDONED = (
    "A thread cannot be killed: it is abandoned and goes on by itself, another takes its place, and "
    "the item is timed out."
)
LOOP_GIVEN_UP = (
    "It blocks the event loop, which is given up: the other items go on, on a loop in another thread, "
    "and the item is timed out. The blocked thread cannot be killed, and goes on by itself."
)
CANCELLED = "It is cancelled, also a second time if it swallows that, and is timed out."
STANDS_STILL = (
    "Nothing else runs in the whole process, so nobody can keep the timeout, and Ctrl-C is not heard: "
    "only SIGKILL ends the program. Use a model with worker processes."
)
CUT_OFF = "could not be understood any more"
NOT_HEARD = (
    "What its worker says is not heard any more, or makes no sense: the worker is ended and replaced, "
    "and the item is lost."
)
CLEARED = "It ends with its worker, at the end of the run at the latest."
STAYS = "It stays, as it would without outpace: it is your program's."
HERS = "It holds for this worker and the items after it there; you do not notice."
YOURS = "It holds for your program from then on, as it would without outpace."
UNTIL_CTRL_C = "The run waits for it until you interrupt it."
CTRL_C_LINE = "outpace: interrupted: "
HALF_WAY = "Everything before it comes out; then its error is raised."
STOPPED = "What is running is stopped, and nothing is left."
NO_SETUP = "A `SetupError` is raised, with its own exception as the cause, before any item runs."
NO_EXIT = "All outcomes come; then a `SetupError` is raised."
NO_EXIT_EVER = "All outcomes come; after 10 s the worker is killed and a `SetupError` raised."

GONE = "The item is lost, its error says how the worker ended (`.exitcode`, `.signal`)"
LIMITED = {"timeout": TIMEOUT}

EVERYWHERE_RAISED = failed("LookupError", RAISED, "no such thing")


def stuck(name: str, title: str, deed: Deed) -> Fault:
    """Make a fault that never gives up its thread."""
    ends = {"asyncio": late(LOOP_GIVEN_UP)}
    return Fault(
        name,
        title,
        "What does not end",
        deed,
        late(KILLED),
        late(ABANDONED),
        ends,
        LIMITED,
        apart=True,
    )


def deadly(
    name: str, title: str, deed: Deed, exitcode: int, *, says: str, words: str = ""
) -> Fault:
    """Make a fault that takes its process along."""
    how = f"exit code {exitcode}" if exitcode >= 0 else signal.Signals(-exitcode).name
    alone = ends_program(exitcode, f"It ends your program, with {how}.")
    end = lost(f"{GONE}{words}.", says)
    return Fault(name, title, "What ends the process", deed, end, alone, apart=True)


FAULTS: list[Fault] = [
    Fault(
        "raises",
        "raises an exception",
        "What it raises or gives",
        deeds.raise_lookup_error,
        EVERYWHERE_RAISED,
        EVERYWHERE_RAISED,
    ),
    Fault(
        "raises-unpicklable",
        "raises an exception that cannot be pickled",
        "What it raises or gives",
        deeds.raise_unpicklable,
        failed("RemoteError", STANDS_IN, "CannotBePickled: holds a lock"),
        failed("CannotBePickled", RAISED, "holds a lock"),
    ),
    Fault(
        "raises-unloadable",
        "raises an exception that can be pickled, but not unpickled",
        "What it raises or gives",
        deeds.raise_unloadable,
        failed("RemoteError", STANDS_IN, "CannotBeUnpickled: one two"),
        failed("CannotBeUnpickled", RAISED, "one two"),
    ),
    Fault(
        "raises-own-init",
        "raises an exception whose `__init__` takes other arguments than it passes on",
        "What it raises or gives",
        deeds.raise_with_init_of_its_own,
        failed("StatusError", RAISED, "404: not found"),
        failed("StatusError", RAISED, "404: not found"),
    ),
    Fault(
        "raises-system-exit",
        "raises `SystemExit`, as `sys.exit()` does",
        "What it raises or gives",
        deeds.raise_system_exit,
        failed("SystemExit", RAISED),
        failed("SystemExit", RAISED + " It ends nothing else."),
    ),
    Fault(
        "raises-keyboard-interrupt",
        "raises `KeyboardInterrupt`",
        "What it raises or gives",
        deeds.raise_keyboard_interrupt,
        failed("KeyboardInterrupt", RAISED),
        failed("KeyboardInterrupt", RAISED),
        {m: ends_program(-signal.SIGINT, CTRL_C, CTRL_C_LINE) for m in ("serial", "asyncio")},
        apart=True,
    ),
    Fault(
        "returns-unpicklable",
        "returns what cannot be pickled",
        "What it raises or gives",
        lambda _: threading.Lock(),
        failed("TransferError", NOT_SENT, "the result, a lock, cannot be sent back"),
        End("done", ITSELF),
    ),
    Fault(
        "returns-unloadable",
        "returns what fails when it is unpickled",
        "What it raises or gives",
        lambda _: deeds.Reluctant(),
        failed("TransferError", NOT_SENT, "a Reluctant.*refuses to be unpickled"),
        End("done", ITSELF),
    ),
    Fault(
        "item-unpicklable",
        "cannot be pickled",
        "What it raises or gives",
        lambda _: BAD,
        failed("TransferError", NOT_SENT, "the item, a lock, cannot be sent"),
        End("done", ITSELF),
        bad=threading.Lock,
    ),
    Fault(
        "item-unloadable",
        "fails when it is unpickled",
        "What it raises or gives",
        lambda _: BAD,
        failed("TransferError", NOT_SENT, "cannot be read in a worker.*refuses to be unpickled"),
        End("done", ITSELF),
        bad=deeds.Reluctant,
    ),
    Fault(
        "large-item",
        "has 200 MB",
        "What it raises or gives",
        lambda item: BAD if len(item) == LARGE else -1,
        End("done", "It arrives."),
        End("done", ITSELF),
        bad=lambda: bytes(LARGE),
        slow=True,
    ),
    Fault(
        "large-result",
        "returns 200 MB",
        "What it raises or gives",
        lambda _: bytes(LARGE),
        End("done", "It arrives."),
        End("done", ITSELF),
        slow=True,
    ),
    deadly("exits", "calls `os._exit(3)`", lambda _: os._exit(3), 3, says="ended with exit code 3"),
    deadly(
        "killed",
        "is killed (SIGKILL), as the kernel does when memory runs out",
        deeds.kill_myself,
        -signal.SIGKILL,
        words=", and whether the kernel has killed for want of memory meanwhile (`.out_of_memory`)",
        says="was killed by SIGKILL",
    ),
    deadly(
        "crashes",
        "crashes in native code (SIGSEGV)",
        deeds.crash,
        -signal.SIGSEGV,
        words=", and where it was, by faulthandler (`.trace`)",
        says="was killed by SIGSEGV.*\n.*Segmentation fault",
    ),
    deadly(
        "aborts",
        "calls `abort()`",
        lambda _: os.abort(),
        -signal.SIGABRT,
        words=", and where it was, by faulthandler (`.trace`)",
        says="was killed by SIGABRT.*\n.*Aborted",
    ),
    Fault(
        "exhausts-memory",
        "is refused memory",
        "What ends the process",
        deeds.eat_memory,
        failed("MemoryError", "You get the `MemoryError`; the worker goes on."),
        failed("MemoryError", "You get the `MemoryError`; your program goes on."),
        apart=True,
    ),
    stuck("never-returns", "never returns, in Python", deeds.spin),
    Fault(
        "keeps-the-gil",
        "never returns, in native code that keeps the GIL",
        "What does not end",
        deeds.spin_natively,
        late(KILLED),
        hangs(STANDS_STILL, signal.SIGKILL),
        options=LIMITED,
        apart=True,
    ),
    stuck(
        "sleeps", "waits for ever, in a call that blocks (in a coroutine: the loop)", deeds.sleep
    ),
    Fault(
        "waits",
        "waits for ever, as a coroutine should",
        "What does not end",
        lambda _: asyncio.sleep(deeds.FOREVER),
        late(CANCELLED, "it was cancelled"),
        late(CANCELLED, "it was cancelled"),
        options=LIMITED,
        kinds=("coroutine",),
    ),
    stuck("ignores-sigterm", "ignores SIGTERM and never returns", deeds.ignore_sigterm),
    Fault(
        "leaves-a-child",
        "leaves a child process running",
        "What it leaves behind",
        deeds.leave_a_child,
        End("done", CLEARED),
        End("done", STAYS, touches=True),
        apart=True,
        is_left=deeds.a_process_is_left,
    ),
    Fault(
        "leaves-a-daemon",
        "leaves a process running in a session of its own",
        "What it leaves behind",
        deeds.leave_a_daemon,
        End("done", CLEARED + " (On Linux; elsewhere it stays.)"),
        End("done", STAYS, touches=True),
        apart=True,
        is_left=deeds.a_process_is_left,
    ),
    Fault(
        "leaves-a-thread",
        "leaves a thread running",
        "What it leaves behind",
        deeds.leave_a_thread,
        End("done", CLEARED),
        End("done", STAYS, touches=True),
        apart=True,
        is_left=deeds.a_thread_is_left,
    ),
    Fault(
        "closes-stdout",
        "closes stdout's descriptor",
        "What it does to its process",
        deeds.close_stdout,
        End("done", "It is the worker's own; what is printed there afterwards still reaches you."),
        End("done", "It is your program's, and closed from then on.", touches=True),
        apart=True,
        is_left=deeds.stdout_is_closed,
    ),
    Fault(
        "writes-to-stdout",
        "writes to stdout's descriptor, past Python",
        "What it does to its process",
        deeds.write_to_stdout,
        End("done", "It goes where your stdout goes. Results travel elsewhere."),
        End("done", "It goes where your stdout goes."),
    ),
    Fault(
        "closes-everything",
        "closes every descriptor but the standard ones",
        "What it does to its process",
        deeds.close_everything,
        lost(NOT_HEARD, CUT_OFF),
        End("done", "It closes your program's. outpace needs none here, and goes on."),
        dict.fromkeys(
            ("asyncio", "serial, coroutine", "threads, coroutine"),
            raises(
                "OSError|ValueError",
                "No event loop works without its own: the run raises.",
                "",
                SOME,
            ),
        ),
        apart=True,
    ),
    Fault(
        "writes-to-sockets",
        "writes to every socket that it can find",
        "What it does to its process",
        deeds.write_to_sockets,
        lost(NOT_HEARD, CUT_OFF),
        End("done", "None of ours minds."),
        apart=True,
    ),
    Fault(
        "changes-directory",
        "changes the working directory",
        "What it does to its process",
        deeds.change_directory,
        End("done", HERS),
        End("done", YOURS, touches=True),
        apart=True,
        state=os.getcwd,
    ),
    Fault(
        "changes-signals",
        "changes signal handlers",
        "What it does to its process",
        deeds.change_signals,
        End("done", HERS),
        End("done", YOURS, touches=True),
        {
            m: failed(
                "ValueError",
                "Python refuses that in all threads but the main one; you get its `ValueError`.",
                "main thread",
            )
            for m in ("threads", "processes+threads")
        },
        apart=True,
        state=deeds.handlers,
    ),
    Fault(
        "changes-random-state",
        "seeds the random generator",
        "What it does to its process",
        deeds.change_random_state,
        End("done", HERS),
        End("done", YOURS, touches=True),
        apart=True,
        state=random.getstate,
    ),
    Fault(
        "items-raise",
        "The iterable of the items raises half-way",
        "What is around the items",
        lambda item: item,
        raises("LookupError", HALF_WAY, "no more items", came=BAD),
        raises("LookupError", HALF_WAY, "no more items", came=BAD),
        bad=deeds.no_more_items,
    ),
    Fault(
        "consumer-stops",
        "Whoever takes the outcomes stops half-way",
        "What is around the items",
        lambda item: item,
        End("left", STOPPED, came=BAD),
        End("left", STOPPED, came=BAD),
        take=BAD,
    ),
    Fault(
        "setup-raises",
        "`setup` raises",
        "What is around the items",
        lambda item: item,
        raises("SetupError", NO_SETUP, "setup failed before any item ran: LookupError: no service"),
        raises("SetupError", NO_SETUP, "setup failed before any item ran: LookupError: no service"),
        options={"setup": deeds.failing_setup},
    ),
    Fault(
        "setup-hangs",
        "`setup` never opens",
        "What is around the items",
        lambda item: item,
        raises("SetupError", "With a `timeout`, no longer than 60 s or it.", "not opened within"),
        hangs(UNTIL_CTRL_C, signal.SIGINT, CTRL_C_LINE),
        options={"setup": deeds.hanging_setup, "timeout": 0.3},
        apart=True,
        impatient=True,
    ),
    Fault(
        "setup-exit-raises",
        "`setup` fails at its exit",
        "What is around the items",
        lambda item: item,
        raises("SetupError", NO_EXIT, "at its exit, after the items: LookupError: no", came=ITEMS),
        raises("SetupError", NO_EXIT, "at its exit, after the items: LookupError: no", came=ITEMS),
        options={"setup": deeds.setup_that_fails_at_its_exit},
    ),
    Fault(
        "setup-exit-hangs",
        "`setup` does not end at its exit",
        "What is around the items",
        lambda item: item,
        raises("SetupError", NO_EXIT_EVER, "the exit of setup took longer than", came=ITEMS),
        hangs("All outcomes have come; closing waits until you interrupt it.", signal.SIGINT),
        options={"setup": deeds.setup_that_hangs_at_its_exit},
        apart=True,
        impatient=True,
    ),
]
