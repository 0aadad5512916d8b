"""Whether an item that failed is tried again, and after how long: the rule, not its carrying out.

Exponential backoff with full jitter: before attempt n + 1 an item waits a random time between nothing
and `wait * 2 ** (n - 1)`, at most `longest`. Full jitter spreads out best what failed together
(Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

Pure: no clock, and the dice are thrown by whoever asks. Tested by `tests/flow/test_retry.py`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outpace.errors import TransferError, UsageError, UsageTypeError
from outpace.flow.amounts import real, whole
from outpace.flow.data import Failure
from outpace.flow.keywords import door
from outpace.flow.show import said, shown
from outpace.machine.clocks import LONGEST_WAIT

On = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], Any]
Wait = float | Callable[[int, BaseException], float]


@dataclass(slots=True, frozen=True)
class Retry:
    """Try an item again when it fails, times out, or is lost with its worker.

    `times`: how often after the first attempt. `on`: an exception class, several of them, or a
    function that is given the exception and says whether to go on; by default every `Exception`,
    which includes `outpace.errors.ItemTimeoutError` and `WorkerLostError`. What cannot travel between
    processes never will, so a `TransferError` is tried again only if a function says so.

    `wait`: seconds, the longest that the first pause may be; it doubles with every attempt, up to
    `longest`, and the pause is a random part of it. Or a function of the attempt that failed (1 for
    the first) and its exception, which returns the exact number of seconds.

    Raises `UsageError` or `UsageTypeError` for what cannot work.
    """

    times: int = 3
    on: On = Exception
    wait: Wait = 0.1
    longest: float = 60.0

    def __post_init__(self) -> None:
        """Check what was asked."""
        if (times := whole(self.times)) is None:
            msg = f"retries is a whole number or an outpace.Retry, not {shown(self.times)}"
            raise UsageTypeError(msg)
        if times < 0:
            msg = f"retries must be at least 0, not {shown(times)}"
            raise UsageError(msg)
        object.__setattr__(self, "times", times)
        classes: tuple[Any, ...] = self.on if isinstance(self.on, tuple) else (self.on,)
        is_function = callable(self.on) and not isinstance(self.on, type)
        if not is_function and not (classes and all(map(_is_exception, classes))):
            msg = (
                "Retry(on=…) is an exception class, a tuple of them, or a function, "
                f"not {shown(self.on)}"
            )
            raise UsageTypeError(msg)
        if not callable(self.wait):
            object.__setattr__(self, "wait", _checked_seconds("wait", self.wait))
        object.__setattr__(self, "longest", _checked_seconds("longest", self.longest))

    def pause(self, attempt: int, failure: Failure, dice: Callable[[], float]) -> float | None:
        """Return the seconds until the next attempt, or None when this failure is final.

        `dice` gives a number from 0 to 1. Where a function of the user's raises, or returns no number of
        seconds, the failure is final and its error says so, with the item's own as its context.
        """
        error = failure.error
        try:
            if attempt > self.times or failure.kind == "cancelled" or not self._covers(error):
                return None
            return min(self._wait(attempt, error, dice), LONGEST_WAIT)
        except Exception as wrong:  # noqa: BLE001 - the user's own function can raise anything
            why = f"{said(wrong)}; it was asked about {shown(error)}"
            failure.error = UsageError(f"a function of Retry failed: {why}")
            failure.error.__cause__, failure.error.__context__ = wrong, error
            return None

    def _wait(self, attempt: int, error: BaseException, dice: Callable[[], float]) -> float:
        """Return the seconds from this attempt to the next, however many."""
        if not callable(self.wait):
            doublings = min(attempt - 1, 64)  # a float has no more
            return dice() * min(self.longest, self.wait * 2.0**doublings)
        found: Any = self.wait(attempt, error)
        if found is None or not math.isfinite(found):
            raise ValueError(f"wait= returned {found!r:.80}, not a number of seconds")
        return max(0.0, float(found))

    def _covers(self, error: BaseException) -> bool:
        """Say whether this exception is one to try again after."""
        if isinstance(self.on, tuple) or _is_exception(self.on):
            classes: Any = self.on if isinstance(self.on, tuple) else (self.on,)
            return isinstance(error, classes) and (
                not isinstance(error, TransferError) or TransferError in classes
            )
        return bool(self.on(error))


Retry.__init__ = door(Retry.__init__)  # type: ignore[method-assign] # `dataclass` has written it


def _checked_seconds(name: str, value: object) -> float:
    """Return it as a number of seconds that can be waited for or counted with; raise for others."""
    number = real(value)
    if number is None or not 0 <= number <= sys.float_info.max:
        msg = f"Retry({name}=…) is a number of seconds, 0 or more, not {shown(value)}"
        raise UsageError(msg)
    return number


def _is_exception(value: object) -> bool:
    """Say whether it is a class of exceptions."""
    return isinstance(value, type) and issubclass(value, BaseException)
