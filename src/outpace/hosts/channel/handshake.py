"""What a worker is told when it starts: the job's call, and what the caller sees at that moment."""

from __future__ import annotations

import os
import sys

import outpace.drivers
from outpace.drivers._setup import needs_loop
from outpace.errors import TransferError
from outpace.flow.board import Shape
from outpace.flow.protocol import Call, Driver
from outpace.flow.show import said
from outpace.flow.signals import Terminated
from outpace.hosts.channel.by_value import by_value
from outpace.hosts.channel.framing import Packed, pack
from outpace.hosts.channel.messages import Surroundings
from outpace.hosts.channel.stdio import levels
from outpace.hosts.channel.warning_filters import named_filters


def pack_call(call: Call, by_value: by_value) -> Packed:
    """Pickle the job's call; say which function it is that cannot travel."""
    filters = named_filters()
    try:
        with by_value:
            job = call.fn, call.setup, call.is_async, call.timeout, call.record
            return pack((*job, filters), by_value=True)
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        name = getattr(call.fn, "__qualname__", repr(call.fn))
        msg = (
            f"{name} cannot be sent to a worker process: {said(error)}; "
            "open what it holds in setup= (once per worker), or use threads"
        )
        raise TransferError(msg) from error


def needed(call: Call, driver: Driver) -> list[str]:
    """Return the modules that a worker needs, the driver's own first.

    What every worker would import is imported once, before the fork. And before any module of the
    user's can be found, which may have the name of one of the standard library's.
    """
    named = [type(driver).__module__]
    if needs_loop(call):
        named.append("asyncio")
    if "multiprocessing.process" in sys.modules:
        named.append("multiprocessing.process")
    return named


def surroundings(
    imports: list[str], lanes: int, shape: Shape, memory: str | None, *, weigh: bool
) -> Surroundings:
    """Say where the worker is to find things, and what it is to be."""
    return Surroundings(
        lanes=lanes,
        imports=imports,
        path=list(sys.path),
        drivers=list(outpace.drivers.__path__),
        argv=list(getattr(sys, "argv", ())),
        directory=working_directory(),
        authkey=manager_key(),
        levels=levels(),
        rows=shape.rows,
        places=shape.places,
        memory=memory,
        weigh=weigh,
    )


def working_directory() -> str | None:
    """Return where this process is, None where that has been deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - a plain string is what travels
    except OSError:
        return None


def manager_key() -> bytes | None:
    """Return what proxies of a `multiprocessing.Manager` connect with, if this process can have any.

    The key goes over the socket pair alone: not by a name, a file or the environment.
    """
    process = sys.modules.get("multiprocessing.process")
    return bytes(process.current_process().authkey) if process else None
