"""Several arguments an item: iterables side by side, as builtin `map` has them, and tuples taken apart.

Either way the item is a tuple: it is what travels, and what an outcome shows. Only the call differs, so
jobs of one plain iterable pay nothing. Tested by `tests/flow/test_rows.py`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from outpace.errors import UsageTypeError
from outpace.flow.face import Face, SideBySide

Row = tuple[Any, ...]


class Spread(functools.partial[Any]):
    """The caller's function, to be called with the parts of an item, and with the state after them.

    A `partial`, so whoever looks through one (is it a coroutine function, of which module) finds it.
    """

    def __call__(self, item: Any, /, *state: Any) -> Any:
        """Call it; leave no frame of ours in the traceback."""
        row = item if type(item) is tuple else _as_row(item)
        try:
            return super().__call__(*row, *state)
        except BaseException as error:
            if (trace := error.__traceback__) is not None:
                BaseException.with_traceback(error, trace.tb_next)
            raise

    def __getattr__(self, name: str) -> Any:
        """Be called what the function is called."""
        return getattr(self.func, name)


def _as_row(item: Any) -> Row:
    """Return the parts of an item; raise `UsageTypeError` where it has none."""
    try:
        return tuple(item)
    except TypeError:
        what = type(item).__name__
        raise UsageTypeError(
            "with starmap=True an item is a tuple of arguments, and this one is "
            f"{'an' if what[0] in 'aeiou' else 'a'} {what}: {item!r:.80}"
        ) from None


class Rows(SideBySide):
    """Iterables side by side: tuples of an item of each, until the shortest ends."""

    def __init__(self, iterables: tuple[Iterable[Any] | AsyncIterable[Any], ...]) -> None:
        self.parts = iterables

    def __iter__(self) -> Iterator[Row]:
        return zip(*map(values, self.parts), strict=False)

    def __len__(self) -> int:
        """Count them; raise what `len` raises where one has no length, unless it never ends."""
        return min(len(each) for each in self.parts if not _is_endless(each))


class AsyncRows(Rows):
    """The same where at least one of them is asynchronous."""

    async def __aiter__(self) -> AsyncIterator[Row]:
        async with contextlib.AsyncExitStack() as closing:
            sources: list[Any] = []
            for each in self.parts:
                sources.append(avalues(each) if isinstance(each, AsyncIterable) else values(each))
                if (close := getattr(sources[-1], "aclose", None)) is not None:
                    closing.push_async_callback(close)
            while True:
                row = []
                # A comprehension would be a coroutine, which no StopIteration leaves.
                for each in sources:
                    try:
                        awaited = isinstance(each, AsyncIterator)
                        row.append(await anext(each) if awaited else next(each))
                    except (StopIteration, StopAsyncIteration):
                        return
                yield tuple(row)


def values(items: Any) -> Iterator[Any]:
    """Return what goes through items, also of a run, which is no one else's from here on."""
    return items.values() if isinstance(items, Face) else iter(items)


def avalues(items: Any) -> AsyncIterator[Any]:
    """Return what goes through asynchronous items, also of a run."""
    return items.avalues() if isinstance(items, Face) else aiter(items)


def _is_endless(items: object) -> bool:
    """Say whether it is known never to end."""
    return isinstance(items, itertools.count | itertools.cycle) or (
        isinstance(items, itertools.repeat) and operator.length_hint(items, -1) < 0
    )
