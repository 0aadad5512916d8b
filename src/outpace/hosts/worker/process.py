"""How an interpreter of ours becomes a worker: its socket, its signals, what the caller sees.

The caller says hello with the job's call and with what it sees at that moment (`sys.path`, working
directory, warnings filters); the worker opens the driver and serves (`worker.serve`) until the caller
closes its side. The end of the socket is the end of the worker.

What it is on stands on a board that the caller can read (`launch.shared_memory`); what items print, log
and warn of goes to the caller (`channel.stdio`).

Guarantees: a chunk that cannot be read, a result or an exception that cannot be sent, costs itself
and nothing else (`channel.codec`); the user's functions run in the main thread. Tested by
`tests/hosts/test_processes.py`.
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
import warnings
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import outpace.drivers
from outpace.drivers import _lane
from outpace.errors import SetupError, WorkerStartError
from outpace.flow.board import Shape
from outpace.flow.protocol import Call, Workers
from outpace.flow.signals import Recalled, Terminated
from outpace.hosts._usage import own_usage, resident_bytes
from outpace.hosts.channel.framing import Channel
from outpace.hosts.channel.messages import Bye, Failed, Hello, Surroundings
from outpace.hosts.channel.sockets import blocking, taken
from outpace.hosts.channel.stdio import silence, speak_through
from outpace.hosts.channel.warning_filters import set_filters
from outpace.hosts.crash.exits import CUT_OFF
from outpace.hosts.launch.orphans import BORN_OF
from outpace.hosts.launch.process_group import WHERE, kill_group, library_first
from outpace.hosts.launch.shared_memory import attach
from outpace.hosts.worker.caller import SocketCaller
from outpace.hosts.worker.serve import no_weight, serve

LOOPS = ("asyncio", "selectors")  # of what the steps between those of the user's are made
SACRIFICE = 300  # of 1000, see proc(5): above what the caller may have, below what is to go first
_over = threading.Event()  # the worker has said all it has to say
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
    """Be a worker until the caller closes its side; `shared` is the descriptor of what is shared."""
    sock.setblocking(True)  # noqa: FBT003 - its only form; a caller whose sockets are not has made it
    signal.signal(signal.SIGTERM, terminate)
    os.environ[BORN_OF] = str(os.getpid())
    _go_before_the_caller()
    _prepare_last_words(shared)
    channel = Channel(sock)
    try:
        with contextlib.suppress(EOFError, Terminated), _ending(channel):
            _be_a_worker(SocketCaller(channel), shared)
    except OSError as error:  # an item has closed the socket, or the caller is gone
        raise SystemExit(CUT_OFF) from error


def _be_a_worker(caller: SocketCaller, shared: int) -> None:
    """Hear what to be, be it, and say goodbye."""
    hello = caller.unpack(caller.receive())  # type: ignore[arg-type] # it waits
    assert isinstance(hello, Hello)
    if hasattr(os, "register_at_fork"):  # what an item forks has no business with the caller
        os.register_at_fork(after_in_child=caller.channel.close)
    speak_through(caller.send, hello.surroundings.levels)
    try:
        workers, inline = _open(hello, shared)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
        _say_failed(caller, error)
        return
    failed = None
    try:
        weigh = resident_bytes if hello.surroundings.weigh else no_weight
        serve(caller, workers, inline=inline, weigh=weigh)
    except (SetupError, WorkerStartError) as error:  # of our reader, or a lane hired for an item
        _say_failed(caller, error)
    finally:
        # A setup's exit is not cut short. No call, in which a signal could still raise, and the handler
        # stays: of a signal that is under way when it goes, Python complains on stderr.
        _state.leaving = True
        try:
            workers.close()
        except SetupError as error:
            failed = error
        silence()
    caller.send(Bye(*own_usage(), failed))


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


def terminate(_number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    """Unwind from whatever item is running, so that setups are closed.

    Not from between two steps of an event loop: the one that is to be next would be lost, and closing
    would wait for its task for ever. There the loop itself raises it, as its next step but one.
    """
    if _state.leaving:
        return
    # A coroutine that is cut short is never awaited.
    warnings.simplefilter("ignore", RuntimeWarning)
    if is_loops(frame):
        loop = sys.modules["asyncio"]._get_running_loop()  # noqa: SLF001 - documented for this
        if loop is not None:
            loop.call_soon_threadsafe(terminate)
            return
    raise Recalled


def is_loops(frame: FrameType | None) -> bool:
    """Say whether it is a loop that runs there, or what of Python's library it has called."""
    while frame is not None:
        library = frame.f_globals.get("__name__", "").partition(".")[0]
        if library in LOOPS or library not in sys.stdlib_module_names:
            return library in LOOPS
        frame = frame.f_back
    return False


def _open(hello: Hello, shared: int) -> tuple[Workers, bool]:
    """Open the driver as the caller's hello says; return it, and whether it works inside `reports`."""
    seen = hello.surroundings
    driver = _see_what_the_caller_sees(seen)[0].driver
    _lane.worker_loading = True  # importing the function's module must not start workers again
    fn, setup, is_async, timeout, record, filters = hello.job.load()
    _lane.worker_loading = False
    set_filters(filters)
    board = attach(Shape(seen.rows, seen.places), shared, seen.memory)
    if hasattr(os, "register_at_fork"):  # what an item forks would write over what runs here
        os.register_at_fork(after_in_child=board.release)
    call = Call(fn, setup, is_async, timeout, board=board, record=record, supervised=True)
    return driver.open(call, seen.lanes), driver.inline


def _see_what_the_caller_sees(seen: Surroundings) -> list[Any]:
    """Be in the same place, with the same module path; return the modules imported for the driver."""
    sys.argv[:] = seen.argv
    with contextlib.suppress(OSError, TypeError):  # it may be gone
        os.chdir(seen.directory)  # type: ignore[arg-type]
    outpace.drivers.__path__[:] = seen.drivers
    sys.path[:] = library_first(seen.path)
    imported = [importlib.import_module(name) for name in seen.imports]
    sys.path[:] = seen.path
    if seen.authkey is not None:  # proxies of a Manager are to work here too
        process: Any = importlib.import_module("multiprocessing.process")
        process.current_process().authkey = seen.authkey
    _reseed()
    return imported


def _say_failed(caller: SocketCaller, error: BaseException) -> None:
    """Tell the caller why there can be no work here."""
    failed = Failed.of(error)
    silence()
    caller.send(failed)


def _reseed() -> None:
    """Give this worker random state of its own, if the template had imported NumPy."""
    random = getattr(sys.modules.get("numpy"), "random", None)
    if random is not None:
        random.seed()
