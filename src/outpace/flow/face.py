"""What a run, plain or asynchronous, shows of itself: its length, a line, what a notebook displays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outpace.errors import UsageTypeError
from outpace.flow.show import as_html

if TYPE_CHECKING:  # `flow.flow` is imported by whoever has one
    from outpace.flow.flow import Flow


class Face:
    """The part of a run that `Run` and `AsyncRun` have in common; it reads the run's flow, no more."""

    _flow: Flow

    def __len__(self) -> int:
        """Count its items, those that are still to come included; progress bars ask for it.

        Raises `UsageTypeError` where that is known at the end only.
        """
        if (total := self._flow.job.total) is None:
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
        flow = self._flow
        of = "" if flow.job.total is None else f" of {flow.job.total}"
        what = f"outpace.{type(self).__name__} {flow.opening.model}"
        return f"<{what}: {flow.dispatcher.counts.settled}{of} items settled>"

    def _repr_html_(self) -> str:
        """Show itself in a notebook, once it has begun with its summary."""
        begun = self._flow.dispatcher.counts.settled
        return as_html(repr(self), str(self._flow.summary()) if begun else None)
