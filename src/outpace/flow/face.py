"""What a run, plain or asynchronous, shows of itself: its length, a line, what a notebook displays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outpace.errors import UsageTypeError
from outpace.flow.show import as_html

if TYPE_CHECKING:  # `flow.engine` is imported by whoever has one
    from outpace.flow.engine import Engine


class Face:
    """The part of a run that `Run` and `AsyncRun` have in common; it reads the run's engine, no more."""

    _engine: Engine

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
