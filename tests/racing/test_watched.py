"""A race is watched as every run is, pass by pass."""

from __future__ import annotations

import time
from typing import Any

import pytest

from outpace import race
from outpace.errors import UsageTypeError


def nap(item: int) -> int:
    time.sleep(0.005)
    return item


def test_a_function_is_given_a_snapshot_of_each_pass_that_says_which_it_is() -> None:
    seen: list[Any] = []
    race(nap, range(10), models=["threads"], repeat=2, progress=seen.append)
    passes = {"round 1  serial", "round 1  threads", "round 2  serial", "round 2  threads"}
    assert {snapshot.what for snapshot in seen} == passes
    ends = [snapshot for snapshot in seen if snapshot.finished]
    assert {end.what: end.settled for end in ends} == dict.fromkeys(passes, 10)
    assert str(ends[0]).startswith("round 1  serial  10/10 (100%)")


def test_what_is_no_progress_is_one_line_before_any_work() -> None:
    def never(item: int) -> int:
        raise AssertionError(item)

    with pytest.raises(UsageTypeError, match="progress is True, None or a function to call"):
        race(never, [1], progress="yes")  # type: ignore[arg-type]
