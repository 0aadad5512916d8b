"""Numbers at the doors: what has `__index__` is a whole number at every one, and plain inside."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outpace
from outpace.errors import UsageError, UsageTypeError
from outpace.fetching.settings import make_getter
from outpace.flow.amounts import check_positive, check_seconds, real, whole
from outpace.flow.job import make_care
from outpace.racing.runner import RaceRunner


class Two:
    """Two, to whoever asks for an index."""

    def __index__(self) -> int:
        return 2


WHOLE = [2, np.int64(2), np.uint8(2), np.array(2), Two()]


@pytest.mark.parametrize("two", WHOLE, ids=lambda two: type(two).__name__)
def test_every_door_takes_whatever_is_a_whole_number(two: Any, tmp_path: Path) -> None:
    with outpace.Executor(two) as executor:
        assert executor._max_workers == 2
    with outpace.Executor("threads", two, chunk=two, retries=two) as executor:
        assert list(executor.map(abs, [-1, -2, -3], chunksize=two, buffersize=two)) == [1, 2, 3]
    with outpace.Executor("threads", max_workers=two) as executor:
        assert type(executor._max_workers) is int
    for door in (outpace.map, outpace.run, outpace.amap, outpace.arun):
        run = door(abs, [-1], model="threads", workers=two, in_flight=two, chunk=two, retries=two)
        assert type(run.summary.in_flight) is int
    run = outpace.map(abs, [-1], model="processes", max_items=two, max_memory=two, max_crashes=two)
    assert run.summary.workers == 1
    runner = RaceRunner(
        abs, [-1], models=["threads"], workers=two, repeat=two, budget=two, in_flight={"threads": two}
    )  # fmt: skip
    assert runner.in_flight == {"threads": 2}
    assert {type(n) for n in (runner.workers, runner.repeat, runner.in_flight["threads"])} == {int}
    assert RaceRunner(abs, [-1], in_flight=two).in_flight == 2
    assert type(outpace.Retry(two, wait=two, longest=two).times) is int
    with outpace.fetch([], into=tmp_path, in_flight=two, retries=two, workers=two, max_size=two):
        pass
    names = ("in_flight", "per_host", "rate", "delay", "timeout", "max_size", "max_redirects")
    getter = make_getter(**dict.fromkeys(names, two))
    assert [type(getattr(getter, name)) in (int, float) for name in names] == [True] * len(names)
    assert make_care(two, two, two) == make_care(2, 2, 2)


def test_numbers_that_are_not_whole_are_seconds_and_shares() -> None:
    for half in (0.5, np.float32(0.5), Fraction(1, 2)):
        assert (real(half), type(real(half))) == (0.5, float)
        assert check_seconds("timeout", half) == 0.5
        assert type(outpace.Retry(wait=half).wait) is float
        assert type(make_getter(rate=half).rate) is float
        assert type(RaceRunner(abs, [1], budget=half).budget_s) is float
        assert make_care(None, half, None) == make_care(None, 0.5, None)


@pytest.mark.parametrize("other", [True, np.True_, 2.0, "2", np.array([1, 2]), None, object])
def test_what_is_no_whole_number_is_none(other: Any) -> None:
    assert whole(other) is None
    if other is not None:
        with pytest.raises(UsageTypeError, match="n must be a whole number, not a"):
            check_positive("n", other)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: outpace.Executor(0), "workers must be at least 1"),
        (lambda: outpace.Executor(max_workers=np.int64(-1)), "max_workers must be greater than 0"),
        (lambda: outpace.Executor(1.5), "workers must be a whole number, not a float: 1.5"),
        (lambda: outpace.fetch([], retries=1.5), "retries is a whole number, 0 or more, not 1.5"),
        (lambda: outpace.fetch([], max_redirects="5"), "max_redirects is a number from 0 to 1000"),
        (lambda: outpace.fetch([], rate=True), "rate must be a number, not a bool: True"),
        (lambda: outpace.fetch([], delay="1"), "delay must be a number, not a str: '1'"),
        (
            lambda: outpace.race(abs, [1], in_flight={"threads": 0.5}),
            r"in_flight\['threads'\] must be a whole number",
        ),
        (lambda: outpace.race(abs, [1], budget=0), "budget is a number of seconds"),
        (lambda: outpace.race(abs, [1], budget=True), "budget is a number of seconds"),
        (lambda: outpace.race(abs, [1], budget=float("nan")), "budget is a number of seconds"),
    ],
)
def test_wrong_ones_are_one_line_everywhere(wrong: Any, says: str) -> None:
    with pytest.raises((UsageError, UsageTypeError), match=says) as caught:
        wrong()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
