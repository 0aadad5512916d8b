"""The words for a worker that died: what happened, why probably, what to do."""

from __future__ import annotations

import pickle
import signal
from typing import Any

import pytest

from outpace.drivers._lane import Lane
from outpace.drivers._tasks import AsyncioWorkers
from outpace.errors import ItemTimeoutError, WorkerLostError
from outpace.hosts.channel.messages import Died
from outpace.hosts.crash.exits import Memory
from outpace.hosts.crash.wording import SHOWN, Obituary, late

posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="names Unix signals")


def text(
    exitcode: int | None, workers: int = 2, *, out_of_memory: bool = False, **more: Any
) -> str:
    death = Died(exitcode, 50_000_000, out_of_memory=out_of_memory)
    return str(Obituary(death, 1, workers, **more).lost().error)


@posix
@pytest.mark.parametrize(
    ("exitcode", "more", "says"),
    [
        (3, {}, "ended with exit code 3.*os._exit"),
        (None, {}, "vanished"),
        (-9, {}, "was killed by SIGKILL.*somebody or something else"),
        (-9, {"out_of_memory": True}, r"memory ran out; try fewer workers= \(now 2\) and smaller"),
        (-9, {"out_of_memory": True, "workers": 1}, "memory ran out; try smaller items"),
        (-11, {}, "was killed by SIGSEGV.*a crash in native code"),
        (-15, {}, "was killed by SIGTERM.*sent that signal"),
        (-9, {"cut_off": True}, "could not be understood any more.*descriptors"),
        (3, {"begun": False}, "^reading this item ended"),
        (3, {"begun": True}, "^this item ended its worker process 1"),
    ],
)
def test_it_says_what_happened_why_and_what_to_do(
    exitcode: int | None, more: dict[str, Any], says: str
) -> None:
    import re

    assert re.search(says, text(exitcode, **more)), text(exitcode, **more)


def test_it_says_how_much_memory_there_was_where_that_is_known() -> None:
    assert "50 MB of memory" in text(1)
    assert "MB" not in str(Obituary(Died(1), 0, 1).lost().error)


def test_the_facts_are_kept_beside_the_words_also_when_pickled() -> None:
    words = "Fatal Python error: Segmentation fault\n" + "\n".join(f"line {n}" for n in range(50))
    failure = Obituary(Died(-11, 7, words, out_of_memory=True), 0, 2).lost()
    assert failure.kind == "lost"
    error = pickle.loads(pickle.dumps(failure.error))
    assert isinstance(error, WorkerLostError)
    assert (error.exitcode, error.peak_bytes, error.out_of_memory) == (-11, 7, True)
    assert error.trace == words
    assert len(str(error).splitlines()) <= SHOWN + 2  # the message has the beginning of it


# Where an item is.


def ours(function: Any) -> str:
    code = function.__code__
    return f'  File "{code.co_filename}", line {code.co_firstlineno + 1} in {code.co_name}'


LANE, LOOP = ours(Lane._called), ours(AsyncioWorkers.reports)


def stack(head: str, *frames: str) -> str:
    return "\n".join([f"{head} 0x0001 (most recent call first):", *frames])


def frame(name: str, line: int = 7) -> str:
    return f'  File "work.py", line {line} in {name}'


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ([stack("Current thread", frame("stuck"), LANE)], "work.py:7 in stuck"),
        ([stack("Thread", frame("stuck"), LANE), stack("Current thread", frame("main"))], "stuck"),
        (
            [stack("Thread", frame("reads")), stack("Current thread", frame("blocks"), LOOP)],
            "blocks",
        ),
        # asked twice, it says where it is now
        (
            [
                stack("Current thread", frame("old"), LANE),
                stack("Current thread", frame("new"), LANE),
            ],
            "new",
        ),
        # two threads have items: which of them it is cannot be seen
        ([stack("Thread", frame("a"), LANE), stack("Current thread", frame("b"), LANE)], None),
        # too deep a recursion to see who called it
        ([stack("Current thread", *[frame("again")] * 100, "  ...")], "again"),
        ([], None),
    ],
)
def test_where_an_item_was_is_read_off_the_thread_that_had_it(
    words: list[str], where: str | None
) -> None:
    failure = late(2.5, "\n\n".join(words) or None)
    assert failure.kind == "timed-out"
    assert isinstance(failure.error, ItemTimeoutError)
    assert failure.error.seconds == 2.5
    assert "its timeout of 2.5 s" in str(failure.error)
    if where is None:
        assert "it was at" not in str(failure.error)
    else:
        assert str(failure.error).endswith(where)


# The kernel's account.


def test_out_of_memory_is_what_the_kernel_has_done_since_the_last_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = iter([4, 4, 5, 5])
    monkeypatch.setattr(Memory, "_count", staticmethod(lambda: next(counts)))
    memory = Memory()
    assert [memory.ran_out() for _ in range(3)] == [False, True, False]
