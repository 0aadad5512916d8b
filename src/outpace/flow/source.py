"""Where items come from: read here while that is quick, and on the side from the first slow one on.

An iterable is read in the thread that carries the run out, a few items at a time. One that has let it
wait for `SLOW` is read on by a thread of its own, only as far as the engine has asked, so that results
that are ready never wait for it. It is never touched by two threads at once. What can be used in one
thread only (a cursor of SQLite, or a generator that has one) stays where it is.

A run that is given as items (`outpace.map(parse, outpace.fetch(urls))`) is carried on there as well,
some of its values ahead, so that stages work side by side; it ends with the run that it feeds.
Tested by `tests/flow/test_source.py`.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from outpace.flow.credit import AIM
from outpace.flow.ending import LAST
from outpace.flow.face import Face
from outpace.flow.rows import Rows, values

if TYPE_CHECKING:
    from outpace.flow.engine import Engine

SLOW = AIM  # seconds for one item from which nobody is to wait for the next
AHEAD = 2  # values of a run that wait, for each item that the workers may hold here
MOST_AHEAD = 1_024  # and in all
ENDED = object()


class Source(Protocol):
    """What items come from."""

    def pull(self, room: int) -> None:
        """Give the engine up to `room` items, or wake it when there are some."""
        ...

    def end(self, *, hurry: bool = False) -> None:
        """Read no more, and end what is being read. For any thread; returns at once."""
        ...

    def close(self, *, hurry: bool = False) -> None:
        """Wait until nothing is read any more; not for long in a hurry."""
        ...


def open_source(engine: Engine) -> InPlace:
    """Return what reads the items of an engine's job."""
    items: Any = engine.job.items
    parts = items.parts if isinstance(items, Rows) else [items]
    runs = [one for one in parts if isinstance(one, Face)]
    source = InPlace(engine, values(items))
    if runs:
        source.go_aside(runs)
    return source


class InPlace:
    """An iterable that is read by whoever asks, until it turns out to be slow."""

    def __init__(self, engine: Engine, items: Iterator[Any]) -> None:
        """Read nothing yet."""
        self._engine = engine
        self._items = items
        self._beside: Beside | None = None

    def pull(self, room: int) -> None:
        """Read up to `room` items; fewer when they come slowly, so that results are not held up."""
        if self._beside is not None:
            self._beside.pull(room)
            return
        engine, clock = self._engine, self._engine.clock
        began = before = clock()
        until, slow = began + AIM, False
        taken: list[Any] = []
        try:
            while len(taken) < room and before < until:
                wanted, had = min(room - len(taken), len(taken) or 1), len(taken)  # 1, 1, 2, 4, …
                taken.extend(islice(self._items, wanted))
                if len(taken) - had < wanted:
                    engine.dispatcher.exhaust()
                    break
                now = clock()
                slow, before = now - before >= SLOW * wanted, now
        except BaseException as error:
            engine.dispatcher.exhaust()
            if not isinstance(error, Exception):
                raise
            engine.source_error = error
        now = clock()
        engine.admit(taken, now)
        engine.has_read(now - began)
        if slow and not _is_bound_to_its_thread(self._items):
            self.go_aside()

    def go_aside(self, runs: Sequence[Face] = ()) -> None:
        """Have it read by a thread of its own from here on, unless there can be none."""
        with suppress(RuntimeError):  # it cannot start: too many, or the interpreter ends
            self._beside = Beside(self._engine, self._items, runs)
            self._items = iter(())

    def end(self, *, hurry: bool = False) -> None:
        """Read no more on the side."""
        if self._beside is not None:
            self._beside.end(hurry=hurry)

    def close(self, *, hurry: bool = False) -> None:
        """Wait until nothing is read any more on the side."""
        if self._beside is not None:
            self._beside.close(hurry=hurry)

    @property
    def patience(self) -> float | None:
        """Say how long to wait for the end of the reading: for who is stuck there only a moment."""
        return LAST if self._beside is None else self._beside.patience

    def when_over(self, call: Callable[[], object]) -> bool:
        """Have something called once nothing is read any more; say whether it will be."""
        return self._beside is not None and self._beside.when_over(call)


class Beside:
    """An iterable that is read by a thread of its own, as far as it was asked to.

    With `runs` that it takes its items from, these are ended with it, and read ahead.
    """

    def __init__(self, engine: Engine, items: Iterator[Any], runs: Sequence[Face]) -> None:
        """Read nothing yet."""
        self._engine = engine
        self._runs = runs
        self._news = threading.Condition()
        # Shared with the thread, under that lock.
        self._asked = 0
        self._taken: deque[Any] = deque()
        self._error: BaseException | None = None
        self._over = self._ending = False
        self._call: Callable[[], object] = lambda: None
        self._items: Iterator[Any] | None = items  # until the thread has it
        read = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=read, args=(self._read,), name="outpace-items", daemon=True
        )
        self._thread.start()

    def pull(self, room: int) -> None:
        """Give the engine up to `room` items, or wake it when there are some."""
        engine = self._engine
        ahead = min(AHEAD * engine.dispatcher.credit.held, MOST_AHEAD) if self._runs else 0
        with self._news:
            items = [self._taken.popleft() for _ in range(min(room, len(self._taken)))]
            self._asked = max(0, room - len(items)) + ahead - len(self._taken)
            is_all = self._over and not self._taken
            engine.lacking = not (items or is_all)
            if self._asked > 0:
                self._news.notify()
        if is_all:
            engine.source_error = self._error
            engine.dispatcher.exhaust()
        if items:
            engine.admit(items, engine.clock())

    def end(self, *, hurry: bool = False) -> None:
        """Read no more, and end the runs whose values these are. For any thread; returns at once."""
        with self._news:
            self._ending = True
            self._news.notify()
        for run in self._runs:
            run.end_soon(hurry=hurry)

    def close(self, *, hurry: bool = False) -> None:
        """Wait until nothing is read any more; for who is stuck in the iterable only for a moment."""
        self.end(hurry=hurry)
        self._thread.join(LAST if hurry else self.patience)

    @property
    def patience(self) -> float | None:
        """Say how long to wait for the end of the reading: for who is stuck there only a moment."""
        return None if self._runs else LAST

    def when_over(self, call: Callable[[], object]) -> bool:
        """Have something called once nothing is read any more; say whether it will be."""
        with self._news:
            self._call = call
            return not self._over

    def _read(self) -> None:
        """Read one item after another while any are asked for."""
        items, self._items = self._items, None
        assert items is not None
        try:
            while self._is_wanted():
                item = next(items, ENDED)
                if item is ENDED:
                    break
                self._give(item)
        except BaseException as error:  # noqa: BLE001 - it is raised at the caller's loop
            self._error = error
        finally:
            del items  # a generator that is left is closed here, where it was being read
            with self._news:
                self._over = True
                self._tell()
            self._call()

    def _is_wanted(self) -> bool:
        """Wait until another item is asked for; say whether one ever will be."""
        with self._news:
            while self._asked <= 0 and not self._ending:
                self._news.wait()
            return not self._ending

    def _give(self, item: Any) -> None:
        """Put an item where the engine takes it."""
        with self._news:
            self._taken.append(item)
            self._asked -= 1
            self._tell()

    def _tell(self) -> None:
        """Wake the engine if it waits for items."""
        if self._engine.lacking:
            self._engine.lacking = False
            self._engine.wake()


def _is_bound_to_its_thread(items: Any) -> bool:
    """Say whether it can be read in this thread only: it is of SQLite, or a generator that has such."""
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is None:
        return False
    kinds = (sqlite3.Connection, sqlite3.Cursor)
    while items is not None:
        frame = getattr(items, "gi_frame", None)
        held = () if frame is None else frame.f_locals.values()
        if isinstance(items, kinds) or any(isinstance(one, kinds) for one in held):
            return True
        items = getattr(items, "gi_yieldfrom", None)
    return False
