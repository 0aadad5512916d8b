"""What a run, plain or asynchronous, shows of itself: its length, a line, what a notebook displays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from outpace.errors import UsageError, UsageTypeError
from outpace.flow.show import as_html

if TYPE_CHECKING:  # `flow.engine` is imported by whoever has one
    from outpace.flow.engine import Engine


FEEDS = "this run is the items of another run{}"


class Face:
    """The part of a run that `Run` and `AsyncRun` have in common; it reads the run's engine, no more."""

    _engine: Engine
    _over: str

    @property
    def has_begun(self) -> bool:
        """Say whether its workers were opened by somebody already."""
        return self._engine.workers is not None

    def become_source(self) -> None:
        """Be the items of another run from here on."""
        self._engine.feeds = True

    def check_source(self) -> None:
        """Raise `UsageError` where it cannot be the items of another run."""
        if self._engine.feeds:
            raise UsageError(FEEDS.format("; it can feed only one: keep its values in a list"))
        if self._over:
            how = {"next": "next(run)", "call": "map", "keep": "list(run)"}
            raise UsageError(self._over.format_map(how))

    def values(self) -> Iterator[Any]:
        """Yield the values: for the run that they feed."""
        raise NotImplementedError

    def avalues(self) -> AsyncIterator[Any]:
        """Yield the values to who awaits them: for the run that they feed."""
        raise NotImplementedError

    async def end(self) -> None:
        """End it, and wait for that where that does not hold up a loop."""
        self.end_soon()

    def end_soon(self, *, hurry: bool = False) -> None:
        """Have whoever carries it out end it, as soon as he can. For any thread."""
        self._engine.abandon()
        if hurry and self._engine.is_on:
            self._engine.hurry()

    def __len__(self) -> int:
        """Count its items, those that are still to come included; progress bars ask for it.

        Raises `UsageTypeError` where that is known at the end only.
        """
        if (total := self._engine.job.total) is None:
            raise UsageTypeError(
                "this run has no len(): its items come from an iterable that has none, so nobody "
                "knows their number before the end"
            )
        return total

    def __bool__(self) -> bool:
        """Say yes, also of a run without any items."""
        return True

    def __repr__(self) -> str:
        """Say how far it is."""
        engine = self._engine
        of = "" if engine.job.total is None else f" of {engine.job.total}"
        what = f"outpace.{type(self).__name__} {engine.opening.model}"
        return f"<{what}: {engine.dispatcher.counts.settled}{of} items settled>"

    def _repr_html_(self) -> str:
        """Show itself in a notebook, once it has begun with its summary."""
        begun = self._engine.dispatcher.counts.settled
        return as_html(repr(self), str(self._engine.summary()) if begun else None)


def take_for(engine: Engine) -> None:
    """Have the runs among an engine's items feed that one from here on; raise where one cannot.

    The last thing that a door does: a call that is refused leaves them to whoever has them.
    """
    runs = runs_of(engine.job.items)
    for n, run in enumerate(runs):
        run.check_source()
        if any(run is other for other in runs[:n]):
            raise UsageError(FEEDS.format("; it can feed only one: keep its values in a list"))
    for run in runs:
        run.become_source()


def runs_of(items: Any) -> list[Face]:
    """Return the runs that items are, or consist of."""
    parts = items.parts if isinstance(items, SideBySide) else (items,)
    return [one for one in parts if isinstance(one, Face)]


class SideBySide:
    """Items of several iterables: `parts`."""

    parts: tuple[Any, ...]
