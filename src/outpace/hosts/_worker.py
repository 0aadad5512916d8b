"""What a worker process does: take chunks from its socket, put a driver to work, send reports.

The caller says hello with the job's call and with what it sees at that moment (`sys.path`, working
directory, warnings filters); the worker opens the driver, says it is ready, and serves until the
caller closes its side. The end of the socket is the end of the worker.

What it is on stands on a board that the caller can read (`_shared`); what items print, log and warn of
goes to the caller (`_voices`).

Guarantees: a chunk that cannot be read, a result or an exception that cannot be sent, costs itself
and nothing else; the user's functions run in the main thread (drivers that wait elsewhere get a thread
that reads the socket). Tested by `tests/hosts/test_processes.py`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import outpace.drivers
from outpace.drivers import _lane
from outpace.errors import RemoteError, SetupError, TransferError, WorkerStartError
from outpace.flow.board import Shape
from outpace.flow.data import Chunk, Failure, Report, Returned
from outpace.flow.forks import free_in_forks
from outpace.flow.protocol import Call, Workers
from outpace.flow.show import said
from outpace.flow.signals import Recalled, Terminated
from outpace.hosts._chain import Bare, Chain, behind
from outpace.hosts._family import BORN_OF
from outpace.hosts._filters import set_filters
from outpace.hosts._group import CUT_OFF, WHERE, kill_group, library_first
from outpace.hosts._shared import attach
from outpace.hosts._sockets import blocking, taken
from outpace.hosts._usage import own_usage, resident_bytes
from outpace.hosts._voices import silence, speak_through
from outpace.hosts._wire import NOTHING, Channel, Message, Packed, pack
from outpace.machine.ulimits import more_threads

LOOPS = ("asyncio", "selectors")  # of what the steps between those of the user's are made
SACRIFICE = 300  # of 1000, see proc(5): above what the caller may have, below what is to go first
_over = threading.Event()  # the worker has said all it has to say
_speaking = free_in_forks(threading.RLock())  # one thread at a time sends to the caller
_state = SimpleNamespace(leaving=False)  # the worker begins no more items


def main(where: str, shared: str = "-1") -> None:
    """Be a worker that was started on its own, with two descriptors; `share` on Windows."""
    if where == "share":  # pragma: no cover - Windows
        shared_sock = socket.fromshare(sys.stdin.buffer.read())  # type: ignore[attr-defined]
        serve_on(blocking(shared_sock), -1)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with_caller, args=(int(where),), daemon=True).start()
        serve_on(taken(int(where)), int(shared))


def _end_with_caller(fd: int) -> None:
    """End when the caller is gone, also in the middle of an item; a template does it for its own."""
    poll = select.poll()
    poll.register(fd, 0)  # that it hangs up, and not that it has something to say
    poll.poll()
    if not _over.is_set():
        kill_group(os.getpid())


def serve_on(sock: socket.socket, shared: int) -> None:
    """Be a worker until the caller closes its side; `shared` is the descriptor of `_shared`."""
    sock.setblocking(True)  # noqa: FBT003 - its only form; a caller whose sockets are not has made it
    signal.signal(signal.SIGTERM, _terminate)
    os.environ[BORN_OF] = str(os.getpid())
    _go_before_the_caller()
    _prepare_last_words(shared)
    channel = Channel(sock)
    try:
        with contextlib.suppress(EOFError, Terminated), _ending(channel):
            _serve(channel, shared)
    except OSError as error:  # an item has closed the socket, or the caller is gone
        raise SystemExit(CUT_OFF) from error


def _serve(channel: Channel, shared: int) -> None:
    """Hear what to be, be it, and say goodbye."""
    hello = channel.receive()
    assert hello is not None
    if hasattr(os, "register_at_fork"):  # what an item forks has no business with the caller
        os.register_at_fork(after_in_child=channel.close)
    speak_through(lambda meta, payload: _say(channel, meta, payload), hello.meta["log"])
    workers, inline = _open(channel, hello, shared)
    if workers is None:
        return
    error = b""
    try:
        weigh = resident_bytes if hello.meta["weigh"] else _no_weight
        inbox = None if inline else _read_beside(channel, workers)
        _say(channel, ("ready", time.perf_counter(), weigh()))
        with contextlib.suppress(EOFError):  # the caller has closed its side: all is done
            if inbox is None:
                _serve_inline(channel, workers, weigh)
            else:
                _serve_threaded(channel, workers, weigh, inbox)
    except (SetupError, WorkerStartError) as failed:  # of our reader, or a lane hired for an item
        _say_failed(channel, failed)
    finally:
        # A setup's exit is not cut short. No call, in which a signal could still raise, and the handler
        # stays: of a signal that is under way when it goes, Python complains on stderr.
        _state.leaving = True
        try:
            workers.close()
        except SetupError as failed:
            error = bytes(_pack_error(failed).pickle)
        silence()
    _say(channel, ("bye", *own_usage(), error))


def _go_before_the_caller() -> None:
    """When memory runs out, let the kernel kill a worker, which can be replaced, and not the caller."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:  # noqa: PTH123
        if int(file.read()) < SACRIFICE:
            file.write(str(SACRIFICE))


def _prepare_last_words(shared: int) -> None:
    """Have faulthandler write to the shared memory: at a crash, and when the caller asks."""
    file: Any = shared if shared >= 0 else sys.__stderr__
    with contextlib.suppress(Exception):  # no stderr to write to: then without
        faulthandler.enable(file)
        if shared >= 0:
            faulthandler.register(WHERE, file, all_threads=True)


def _say(channel: Channel, meta: object, payload: Packed = NOTHING) -> None:
    """Send one message to the caller, whichever thread has it."""
    with _speaking:
        channel.send(meta, payload)


@contextlib.contextmanager
def _ending(channel: Channel) -> Iterator[None]:
    """Close a channel at the end, so that the caller hears of it at once, whoever else has it open."""
    try:
        yield
    finally:
        _over.set()
        with contextlib.suppress(OSError):
            channel.sock.shutdown(socket.SHUT_WR)
        channel.close()


def _terminate(_number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    """Unwind from whatever item is running, so that setups are closed.

    Not from between two steps of an event loop: the one that is to be next would be lost, and closing
    would wait for its task for ever. There the loop itself raises it, as its next step but one.
    """
    if _state.leaving:
        return
    # A coroutine that is cut short is never awaited.
    warnings.simplefilter("ignore", RuntimeWarning)
    if _is_loops(frame):
        loop = sys.modules["asyncio"]._get_running_loop()  # noqa: SLF001 - documented for this
        if loop is not None:
            loop.call_soon_threadsafe(_terminate)
            return
    raise Recalled


def _is_loops(frame: FrameType | None) -> bool:
    """Say whether it is a loop that runs there, or what of Python's library it has called."""
    while frame is not None:
        library = frame.f_globals.get("__name__", "").partition(".")[0]
        if library in LOOPS or library not in sys.stdlib_module_names:
            return library in LOOPS
        frame = frame.f_back
    return False


def _open(channel: Channel, hello: Message, shared: int) -> tuple[Workers | None, bool]:
    """Open the driver as the caller's hello says; or say why not, and return None."""
    meta = hello.meta
    try:
        sys.argv[:] = meta["argv"]
        with contextlib.suppress(OSError, TypeError):  # it may be gone
            os.chdir(meta["directory"])
        outpace.drivers.__path__[:] = meta["drivers"]
        sys.path[:] = library_first(meta["path"])
        imported = [importlib.import_module(name) for name in meta["imports"]]
        sys.path[:] = meta["path"]
        if (key := meta["authkey"]) is not None:  # proxies of a Manager are to work here too
            importlib.import_module("multiprocessing.process").current_process().authkey = key
        _reseed()
        _lane.worker_loading = True  # importing the function's module must not start workers again
        fn, setup, is_async, timeout, record, filters = hello.payload.load()
        _lane.worker_loading = False
        set_filters(filters)
        board = attach(Shape(*meta["shape"]), shared, meta["memory"])
        if hasattr(os, "register_at_fork"):  # what an item forks would write over what runs here
            os.register_at_fork(after_in_child=board.release)
        call = Call(fn, setup, is_async, timeout, board=board, record=record, supervised=True)
        driver = imported[0].driver
        return driver.open(call, meta["lanes"]), driver.inline
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
        _say_failed(channel, error)
        return None, True


def _say_failed(channel: Channel, error: BaseException) -> None:
    """Tell the caller why there can be no work here."""
    shown = error.__cause__ if isinstance(error, SetupError) and error.__cause__ else error
    text = "".join(traceback.format_exception(shown))
    silence()
    what = ("failed", isinstance(error, SetupError), str(error), text)
    _say(channel, what, _pack_error(shown))


def _reseed() -> None:
    """Give this worker random state of its own, if the template had imported NumPy."""
    random = getattr(sys.modules.get("numpy"), "random", None)
    if random is not None:
        random.seed()


Weigh = Callable[[], int]


def _no_weight() -> int:
    """Return 0: nobody has asked, and asking the system costs 7 us."""
    return 0


def _serve_inline(channel: Channel, workers: Workers, weigh: Weigh) -> None:
    """Serve with a driver that works inside `reports`: one thread, one thing after another."""
    carried = 0.0
    while True:
        carried += _take(channel, workers, channel.receive())
        while reports := workers.reports(None):
            for report in reports:
                carried = _send(channel, report, carried, weigh)
            del report  # nor does what it holds stay while there is nothing to do


Inbox = deque[Message | None]  # None at the end


def _read_beside(channel: Channel, workers: Workers) -> Inbox:
    """Start a thread that reads what the caller says; raise `WorkerStartError` when that cannot be."""
    inbox: Inbox = deque()

    def read() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                inbox.append(channel.receive())
                workers.wake()
        inbox.append(None)
        workers.wake()

    try:
        threading.Thread(target=read, name="outpace-read", daemon=True).start()
    except RuntimeError as error:
        msg = f"the thread that reads its items could not be started: {error}; {more_threads()}"
        raise WorkerStartError(msg) from error
    return inbox


def _serve_threaded(channel: Channel, workers: Workers, weigh: Weigh, inbox: Inbox) -> None:
    """Serve with a driver that is busy elsewhere: a thread reads, this one reports."""
    carried = 0.0
    while True:
        while inbox:
            message = inbox.popleft()
            if message is None:
                return
            carried += _take(channel, workers, message)
            del message  # what it holds does not stay while there is nothing to do; nor do reports
        for report in workers.reports(None):
            carried = _send(channel, report, carried, weigh)
            del report


def _take(channel: Channel, workers: Workers, message: Message | None) -> float:
    """Start a chunk, or tell the caller that it cannot be read, and why; return what it cost."""
    assert message is not None
    before = time.thread_time()
    if message.meta == ("ping",):
        _say(channel, ("pong",))
        return 0.0
    first, attempt, divisible = message.meta
    try:
        items = message.payload.load()
    except BaseException as error:  # noqa: BLE001 - unpickling runs the user's code
        _say(channel, ("unreadable", first, _format(error)), _pack_error(error))
    else:
        workers.start(Chunk(first, items, attempt=attempt, divisible=divisible))
    return message.cpu_s + time.thread_time() - before


def _send(channel: Channel, report: Report | Returned, carried: float, weigh: Weigh) -> float:
    """Send a report, with what carrying has cost so far; return what this one costs.

    What cannot be pickled in it becomes a failure of that item.
    """
    if isinstance(report, Returned):
        _say(channel, ("returned", report.indexes))
        return carried
    before = time.thread_time()
    try:
        values = _packed(report.values)
    except BaseException:  # noqa: BLE001 - pickling runs the user's code
        values = _pack_each(report)
    failures = []
    for position, failure in report.failures.items():
        packed = _pack_error(failure.error)
        text = failure.traceback or _format(failure.error)
        failures.append((position, failure.kind, bytes(packed.pickle), text))
    columns = (report.indexes, report.started, report.ended)
    facts = (report.cpu_s, report.lane, carried, weigh(), report.trace)
    _say(channel, ("report", *columns, failures, *facts), values)
    return time.thread_time() - before


def _packed(value: Any) -> Packed:
    """Pickle a value; raise where that fails, or where it could not be read again.

    Plain values can. To find out of others takes about as long as pickling them did; but one that
    cannot be read would take all of its report along.
    """
    packed = pack(value)
    if not packed.plain:
        packed.load()
    return packed


def _pack_each(report: Report) -> Packed:
    """Pickle values one by one, replacing those that cannot be, or not read again, by failures."""
    for position, value in enumerate(report.values):
        try:
            _packed(value)
        except BaseException as error:  # noqa: BLE001 - pickling runs the user's code
            msg = (
                f"the result, a {type(value).__name__}, cannot be sent back from a worker process: "
                f"{said(error)}; return plain data, or use threads"
            )
            report.failures[position] = Failure(TransferError(msg))
            report.values[position] = None
    return pack(report.values)


def _pack_error(error: BaseException) -> Packed:
    """Pickle an exception, and what it came from, so that they surely load."""
    packed, links = _pack_alone(error), []
    with contextlib.suppress(Exception):  # what the user has made of `__cause__` can raise anything
        links = [(how, bytes(_pack_alone(one).pickle)) for how, one in behind(error)]
    return pack(Chain(bytes(packed.pickle), links)) if links else packed


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


def _format(error: BaseException) -> str:
    """Format a traceback, whatever the exception's own methods do."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - __str__ or __cause__ can raise anything
        return f"{type(error).__name__} (its traceback cannot be shown)\n"
