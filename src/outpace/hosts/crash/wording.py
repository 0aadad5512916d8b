"""The words for a worker that died, or was killed over an item: what happened, why probably, what to do.

They know what was asked for (how many workers, retries or not), so that nobody is told to do what they
have done. Tested by `tests/hosts/test_wording.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from outpace.drivers._late import timed_out
from outpace.drivers._marks import is_carrying
from outpace.errors import WorkerLostError
from outpace.flow.data import Failure
from outpace.hosts.channel.messages import Died
from outpace.hosts.crash.exits import describe_exit

CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
OURS = f'File "{Path(__file__).parents[2]}/'  # how a line of our own begins in a stack
LINE = re.compile(r'File "(.*)", line (\d+) in (.*)')  # of a stack, as faulthandler writes it
SHOWN = 12  # lines of last words in a message; the error has them all


@dataclass(slots=True, frozen=True)
class Obituary:
    """What is known of a death."""

    death: Died
    worker: int
    workers: int
    begun: bool = True  # the item had begun
    cut_off: bool = False  # the worker lived, but could not be understood any more

    def lost(self) -> Failure:
        """Make the failure of the item that is to blame."""
        error = WorkerLostError(
            self._text(),
            self.death.exitcode,
            self.death.peak_bytes,
            out_of_memory=self.death.out_of_memory,
            trace=self.death.last_words,
        )
        return Failure(error, "lost", traceback=None)

    def _text(self) -> str:
        """Write it."""
        if self.cut_off:
            return (
                f"after this item its worker process {self.worker} could not be understood any more and "
                "was ended: it closes, or writes to, file descriptors that are not its own "
                "(os.closerange does, and some ways to become a daemon); leave those from 3 on alone"
            )
        did = "this item ended" if self.begun else "reading this item ended"
        how = describe_exit(self.death.exitcode)
        peak = self.death.peak_bytes
        size = f", having had {peak / 1e6:.0f} MB of memory at most" if peak else ""
        text = f"{did} its worker process {self.worker}, which {how}{size}: {self._why()}"
        if self.death.last_words:
            lines = _theirs(self.death.last_words)
            more = ["  …"] if len(lines) > SHOWN else []
            text += "\n" + "\n".join([*lines[:SHOWN], *more])
        return text

    def _why(self) -> str:
        """Say why, probably, and what to do."""
        code = self.death.exitcode
        if code is None:
            return "nobody could see how"
        if code >= 0:
            return "something in it calls os._exit, or a library does; raise an exception instead"
        name = describe_exit(code).rpartition(" ")[2]
        if name == "SIGKILL" and self.death.out_of_memory:
            fewer = "fewer workers= (now {self.workers}) and " if self.workers > 1 else ""
            fewer = fewer.format(self=self)
            return f"the kernel killed it because memory ran out; try {fewer}smaller items"
        if name == "SIGKILL":
            return "by somebody or something else, or by the kernel because memory ran out"
        if name in CRASHES:
            return "a crash in native code; run this one item alone to look into it"
        return "it, or somebody else, sent that signal"


def _theirs(last_words: str) -> list[str]:
    """Return a stack without our own frames, which are below the user's."""
    lines = last_words.splitlines()
    ours = [n for n, line in enumerate(lines) if OURS in line]
    return lines[: ours[0]] if ours else lines


KILLED = "its worker process was killed, with all that it had started, and replaced"
TOO_LATE = "it ended by itself just before its worker process was killed, and that was too late"


def late(seconds: float, last_words: str | None, what: str = KILLED) -> Failure:
    """Make the failure of an item whose time was up."""
    where = _innermost(last_words)
    return timed_out(seconds, what + (f"; it was at {where}" if where else ""), last_words)


def _innermost(last_words: str | None) -> str | None:
    """Return where the item is, as file:line in function, None where that is not clear.

    That is the innermost frame of the one thread that has an item or a loop; of the main thread where
    none can be seen to have one, as in a recursion too deep for faulthandler to write down.
    """
    stacks = _newest_stacks(last_words or "")
    working = [stack for stack in stacks if any(is_carrying(at.file, at.name) for at in stack)]
    stack = working[0] if len(working) == 1 else [] if working else (stacks or [[]])[-1]
    return f"{stack[0].file}:{stack[0].line} in {stack[0].name}" if stack else None


class Frame(NamedTuple):
    """One line of a stack that faulthandler has written."""

    file: str
    line: int
    name: str


def _newest_stacks(last_words: str) -> list[list[Frame]]:
    """Return the stack of each thread, the innermost frame first; the main thread's is the last."""
    stacks: list[list[Frame]] = []
    whole = True  # an account ends with the current thread
    for line in map(str.strip, last_words.splitlines()):
        if line.startswith(("Current thread", "Thread")):
            stacks = [[]] if whole else [*stacks, []]
            whole = line.startswith("Current")
        elif stacks and (found := LINE.fullmatch(line)):
            stacks[-1].append(Frame(found[1], int(found[2]), found[3]))
    return stacks
