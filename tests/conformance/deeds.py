"""What the bad item does, in each of the faults; and the signs by which one sees what is left of it.

In a module of its own so that a worker process, which imports it by its name, imports little else.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOREVER = 1000.0  # seconds
HERE = "OUTPACE_FAULT_HERE"  # names a file that is made when a deed begins that does not end


def announce() -> None:
    """Tell whoever is waiting that the deed has begun."""
    if HERE in os.environ:
        Path(os.environ[HERE]).touch()


# Values that cannot travel.


class CannotBePickled(Exception):  # noqa: N818 - what it is to be
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class CannotBeUnpickled(Exception):  # noqa: N818 - the same
    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, ()


class StatusError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Reluctant:
    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, ()


def refuse() -> None:
    raise ValueError("refuses to be unpickled")


# Raising.


def raise_lookup_error(_item: Any) -> None:
    raise LookupError("no such thing")


def raise_unpicklable(_item: Any) -> None:
    raise CannotBePickled


def raise_unloadable(_item: Any) -> None:
    raise CannotBeUnpickled("one two")


def raise_with_init_of_its_own(_item: Any) -> None:
    raise StatusError(404, "not found")


def raise_system_exit(_item: Any) -> None:
    raise SystemExit(3)


def raise_keyboard_interrupt(_item: Any) -> None:
    raise KeyboardInterrupt


# Taking the process along, or its memory.


def kill_myself(_item: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(_item: Any) -> None:
    import ctypes

    ctypes.string_at(0)


def eat_memory(_item: Any) -> int:
    """Ask for more than there is; a limit of our own stands for the machine's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 64_000_000, hard))
    try:
        return len([bytearray(8_000_000) for _ in range(1000)])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# Not ending.


def spin(_item: Any) -> None:
    announce()
    while True:
        pass


def spin_natively(_item: Any) -> None:
    announce()
    sum(range(10**15))  # a loop in C that never asks whether anybody else wants the GIL


def sleep(_item: Any) -> None:
    announce()
    time.sleep(FOREVER)


def ignore_sigterm(_item: Any) -> None:
    import ctypes

    announce()
    # By the C library: Python would let only the main thread do it.
    ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))
    time.sleep(FOREVER)


# Leaving something behind.

QUIET: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
LINGERING = "left behind by an item"


def leave_a_child(_item: Any) -> int:
    return subprocess.Popen(["sleep", str(FOREVER)], **QUIET).pid


def leave_a_daemon(_item: Any) -> int:
    return subprocess.Popen(["sleep", str(FOREVER)], start_new_session=True, **QUIET).pid


def a_process_is_left(pid: int) -> bool:
    """Say whether the process is still there; end it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        return True
    return False


def leave_a_thread(item: int) -> int:
    threading.Thread(target=_linger, name=LINGERING, daemon=False).start()
    return item


def _linger() -> None:
    while not hasattr(threading, "outpace_may_go"):
        time.sleep(0.01)


def a_thread_is_left(_value: Any) -> bool:
    """Say whether the thread is still there; end it."""
    left = [thread for thread in threading.enumerate() if thread.name == LINGERING]
    threading.outpace_may_go = True  # type: ignore[attr-defined]
    for thread in left:
        thread.join()
    del threading.outpace_may_go  # type: ignore[attr-defined]
    return bool(left)


# Meddling with the process.


def close_stdout(item: int) -> int:
    os.close(1)
    return item


def stdout_is_closed(_value: Any) -> bool:
    try:
        os.fstat(1)
    except OSError:
        return True
    return False


def close_everything(item: int) -> int:
    os.closerange(3, 1000)
    return item


def write_to_stdout(item: int) -> int:
    os.write(1, b"written past Python\n")
    return item


def write_to_sockets(item: int) -> int:
    for fd in range(3, 1000):
        with contextlib.suppress(OSError):
            if str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("socket:"):
                os.write(fd, b"this is none of my business, and not even short\n" * 3)
    return item


def change_directory(item: int) -> int:
    os.chdir("/")
    return item


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)


def change_signals(item: int) -> int:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return item


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


def change_random_state(item: int) -> int:
    random.seed(1)
    return item


# Around the items.


def no_more_items() -> Any:
    raise LookupError("no more items")


@contextlib.contextmanager
def failing_setup() -> Iterator[None]:
    raise LookupError("no service")
    yield


@contextlib.contextmanager
def hanging_setup() -> Iterator[None]:
    announce()
    time.sleep(FOREVER)
    yield


@contextlib.contextmanager
def setup_that_fails_at_its_exit() -> Iterator[None]:
    yield
    raise LookupError("no way out")


@contextlib.contextmanager
def setup_that_hangs_at_its_exit() -> Iterator[None]:
    yield
    announce()
    time.sleep(FOREVER)
