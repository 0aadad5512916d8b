"""Where a thread is, in the user's own code, and what to do about it when that blocks an event loop."""

from __future__ import annotations

import builtins
import linecache
import os
import re
import sys
import time
from types import CodeType, ModuleType
from typing import Any, NamedTuple

# Paths are strings in this file: pathlib would be 10 ms of a worker's start.
DRIVERS = os.path.dirname(__file__)  # noqa: PTH120
OURS = os.path.dirname(DRIVERS)  # noqa: PTH120
LIBRARY = os.path.dirname(linecache.__file__)  # noqa: PTH120 - the standard library's folder
INSTALLED = ("site-packages", "dist-packages")
WIDTH = 80  # characters of source text that are shown
DEPTH = 100  # calls that are looked at

CALLED = re.compile(r"(?:await\s+)?([A-Za-z_][\w.]*)\s*\(")
NETWORK = {"requests", "urllib3", "urllib", "http", "socket", "ssl", "httpx", "ftplib", "smtplib",
           "imaplib", "poplib", "xmlrpc", "paramiko", "psycopg2", "pymysql", "redis"}  # fmt: skip

SLEEPS = "use `await asyncio.sleep(…)`"
TALKS = "use an async client (aiohttp, httpx.AsyncClient), or `await asyncio.to_thread(…)`"
SPAWNS = "use `await asyncio.create_subprocess_exec(…)`, or `await asyncio.to_thread(…)`"
LOCKS = "use asyncio.Lock, Event or Queue, or take it in `await asyncio.to_thread(…)`"
READS = "use `await asyncio.to_thread(…)` for files"
WAITS = "use an asynchronous version of it, or `await asyncio.to_thread(…)`"
COMPUTES = "computing belongs in worker processes: model='processes' or 'processes+asyncio'"
KEEPS = "it waits without letting go of the GIL, so no thread helps: use worker processes"


class Spot(NamedTuple):
    """Be a place in the user's code: the line, its text, and what libraries it is in from there."""

    file: str
    line: int
    source: str
    # The names of modules that were called from there, and of what was called.
    inside: frozenset[str]


class Site(NamedTuple):
    """Be where a frame was at one moment: taken at once, described later, since that reads files."""

    code: CodeType
    line: int
    instruction: int
    names: dict[str, Any]
    inside: frozenset[str] = frozenset()
    frame: int = 0  # which call it is, as long as that lasts

    def described(self) -> Spot:
        """Read the source."""
        file = self.code.co_filename
        source = (
            _expression(self.code, self.instruction) or linecache.getline(file, self.line).strip()
        )
        inside = self.inside | _called(source, self.names)
        shown = source if len(source) <= WIDTH else source[: WIDTH - 1] + "…"
        return Spot(file, self.line, shown or f"{self.code.co_qualname}()", inside)


def stack_of(thread: int) -> list[Site]:
    """Return where a thread is, the innermost call first. It lets go of the GIL nowhere."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and meant for this
    found: list[Site] = []
    while frame is not None and len(found) < DEPTH:
        code = frame.f_code
        line = frame.f_lineno or code.co_firstlineno
        found.append(Site(code, line, frame.f_lasti, frame.f_globals, frozenset(), id(frame)))
        frame = frame.f_back
    return found


def locate(stack: list[Site], *, of_item: bool) -> Site | None:
    """Return where in the user's code a thread was, None when it was in none of it.

    An item whose function is installed has no code but that: then it is where that function was. What is
    no item's counts only if the loop has called it: whoever takes the results, in the thread that the
    loop runs in too, and whatever yields the items, block nobody's loop.
    """
    inside: set[str] = set()
    found = outermost = None
    for site in stack:
        file = site.code.co_filename
        if file.startswith(OURS):
            of_loop = site.names.get("RUNS_A_LOOP")
            return (found or outermost) if of_item else found if of_loop else None
        outermost = site
        if found is None and _is_users(file):
            found = site._replace(inside=frozenset(inside))
        inside.add(str(site.names.get("__name__", "")).partition(".")[0])
    return (found or outermost) if of_item else None


def advice(  # noqa: PLR0911 - a table, read downwards
    spot: Spot, how: str, wait: str, *, keeps_gil: bool
) -> str:
    """Return what to do instead."""
    if "time.sleep" in spot.inside:
        return SLEEPS
    if how == "computing":
        return COMPUTES
    if spot.inside & {"subprocess"} or wait == "child":
        return SPAWNS
    if spot.inside & NETWORK or wait == "network":
        return TALKS
    if keeps_gil:
        return KEEPS
    if spot.inside & {"threading", "queue"} or wait == "lock":
        return LOCKS
    return {"sleep": WAITS, "disk": READS}.get(wait, WAITS)


def _is_users(file: str) -> bool:
    """Say whether a file is the user's, and not a library's."""
    if file.startswith("<frozen") or any(part in file for part in INSTALLED):
        return False
    return not file.startswith(LIBRARY)


def _expression(code: CodeType, instruction: int) -> str:
    """Return the text of the expression that is carried out, where it is on one line."""
    if instruction < 0:
        return ""
    for n, (line, last, begins, ends) in enumerate(code.co_positions()):
        if n == instruction // 2:
            if line is None or line != last or begins is None or ends is None:
                return ""
            text = linecache.getline(code.co_filename, line).encode()[begins:ends]
            return text.decode("utf-8", "replace").strip()
    return ""


def _called(source: str, names: dict[str, Any]) -> set[str]:
    """Return what the expression calls, as far as modules go: "time.sleep", and the module's name."""
    match = CALLED.match(source)
    if match is None:
        return set()
    first, *rest = match[1].split(".")
    found = names.get(first, getattr(builtins, first, None))
    for name in rest:
        if not isinstance(found, ModuleType):  # looking into anything else could run its code
            return set()
        found = vars(found).get(name)
    if found is time.sleep:
        return {"time.sleep"}
    if isinstance(found, ModuleType | type) or callable(found):
        module = (
            getattr(found, "__module__", None) if type(found).__module__ == "builtins" else None
        )
        return {module.partition(".")[0]} if isinstance(module, str) else set()
    return set()
