"""Where items come from: read where the run is carried out, or, of another run, on the side.

An iterable is read by the thread that carries the run out, a few items at a time. It is not read in any
other, though results that are ready then wait for a slow one: much that Python programs read can be used
in one thread only, or must not be touched once the run has been left (docs/design.md, Rejected).

A run that is given as items (`outpace.map(parse, outpace.fetch(urls))`) is carried on by a thread of
its own, some of its values ahead, so that stages work side by side; it ends with the run that it feeds.
Not so one that had begun before, or that goes side by side with an iterable that may belong to a thread.
Tested by `tests/flow/test_source.py`.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from outpace.flow.credit import AIM
from outpace.flow.ending import HURRY
from outpace.flow.face import Face, runs_of
from outpace.flow.rows import Rows, values

if TYPE_CHECKING:
    from outpace.flow.engine import Engine

AHEAD = 2  # values of a run that wait, for each item that the workers may hold here
MOST_AHEAD = 1_024  # and in all
COLLECTIONS = (list, tuple, range, str, bytes, dict, set, frozenset)  # can be read in any thread
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
    source = InPlace(engine, values(items))
    runs = runs_of(items)
    parts = items.parts if isinstance(items, Rows) else (items,)
    may_move = all(isinstance(one, (Face, *COLLECTIONS)) for one in parts)
    if runs and may_move and not any(run.has_begun for run in runs):
        source.go_aside(runs)
    return source


class InPlace:
    """An iterable that is read by whoever asks, unless it is read on the side."""

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
        began = clock()
        until = began + AIM
        taken: list[Any] = []
        try:
            while len(taken) < room and clock() < until:
                wanted, had = min(room - len(taken), len(taken) or 1), len(taken)  # 1, 1, 2, 4, …
                taken.extend(islice(self._items, wanted))
                if len(taken) - had < wanted:
                    engine.dispatcher.exhaust()
                    break
        except BaseException as error:
            engine.dispatcher.exhaust()
            if not isinstance(error, Exception):
                raise
            engine.source_error = error
        engine.admit(taken, clock())
        engine.has_read(clock() - began)

    def go_aside(self, runs: Sequence[Face]) -> None:
        """Have it read by a thread of its own, unless there can be none."""
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

    def when_over(self, call: Callable[[], object]) -> bool:
        """Have something called once nothing is read any more; say whether it will be."""
        return self._beside is not None and self._beside.when_over(call)


class Beside:
    """Items of `runs`, which are carried on by a thread of its own; they are ended with it."""

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
        ahead = min(AHEAD * engine.dispatcher.credit.held, MOST_AHEAD)
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
        """Wait until nothing is read any more; in a hurry only a moment for who is stuck in an item."""
        self.end(hurry=hurry)
        if threading.current_thread() is not self._thread:  # an item may have dropped the run
            self._thread.join(HURRY if hurry else None)

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
