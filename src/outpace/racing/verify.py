"""Whether two entrants gave the same results, item by item.

`same` is the user's, by default `==`. What `==` cannot say (arrays answer with an array, NaN is not
itself) is settled by comparing pickles, but only when the user has not said what same means.
"""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from outpace.errors import RemoteError
from outpace.flow.data import Failure

Same = Callable[[Any, Any], Any]


def first_difference(
    reference: Sequence[Any], results: Sequence[Any], same: Same, *, one_function: bool = True
) -> int | None:
    """Return the first item whose results differ, None when all that both have agree."""
    for index, (a, b) in enumerate(zip(reference, results, strict=False)):
        if not agree(a, b, same, one_function=one_function):
            return index
    return None


def agree(a: object, b: object, same: Same, *, one_function: bool = True) -> bool:
    """Say whether two results are the same: equal values, or failures of a kind with equal text.

    Two functions that do the same work with different libraries fail with different exceptions, so
    of them it is enough that both fail.
    """
    if isinstance(a, Failure) or isinstance(b, Failure):
        if not (isinstance(a, Failure) and isinstance(b, Failure)):
            return False
        if isinstance(a.error, RemoteError) or isinstance(b.error, RemoteError):
            return True  # one stands in for an exception that could not travel
        alike = type(a.error).__name__ == type(b.error).__name__ and str(a.error) == str(b.error)
        return alike or not one_function
    try:
        verdict = same(a, b)
        if same is not operator.eq:
            return bool(verdict)
        if isinstance(verdict, bool):
            return verdict or _same_pickle(a, b)
    except Exception:  # any type's == can raise; then the pickles decide
        if same is not operator.eq:
            raise
    return _same_pickle(a, b)


def _same_pickle(a: object, b: object) -> bool:
    """Say whether two values pickle alike."""
    try:
        return pickle.dumps(a) == pickle.dumps(b)
    except Exception:  # noqa: BLE001 - what cannot be pickled cannot be compared so
        return False
