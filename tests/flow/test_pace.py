"""`rate=`, `group=`, `per_group=` and `group_rate=`, as a user meets them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.errors import OutpaceError, UsageError, UsageTypeError
from outpace.registry import names

if TYPE_CHECKING:
    from tests.conftest import Gate

MODELS = [*names(), "auto"]


def now(_: Any) -> float:
    return time.perf_counter()


@pytest.mark.parametrize("model", MODELS)
def test_no_more_items_start_in_a_second_than_the_rate_says(model: str) -> None:
    starts = sorted(
        outcome.started for outcome in outpace.run(now, range(21), model=model, rate=100)
    )
    assert starts[-1] - starts[0] >= 0.2 - 0.05  # 20 gaps of 10 ms, but for what may be made up for


def test_the_rate_holds_for_what_is_awaited_too() -> None:
    async def starts() -> list[float]:
        return [start async for start in outpace.amap(now, range(21), model="asyncio", rate=100)]

    found = sorted(asyncio.run(starts()))
    assert found[-1] - found[0] >= 0.2 - 0.05


async def adouble(item: int) -> int:
    return 2 * item


class Busy:
    """How many of each group are at work at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def __call__(self, item: str) -> str:
        key = item[0]
        with self.lock:
            self.now[key] = self.now.get(key, 0) + 1
            self.most[key] = max(self.most.get(key, 0), self.now[key])
        time.sleep(0.002)
        with self.lock:
            self.now[key] -= 1
        return item


def first_letter(item: str) -> str:
    return item[0]


@pytest.mark.parametrize("ordered", [True, False])
def test_of_each_group_only_so_many_run_at_once_and_everything_comes_out(ordered: bool) -> None:  # noqa: FBT001
    busy, items = Busy(), [f"{letter}{n}" for n in range(30) for letter in "aaab"]
    options: dict[str, Any] = {"model": "threads", "in_flight": 8, "ordered": ordered}
    found = list(outpace.map(busy, items, group=first_letter, per_group=2, **options))
    assert (found if ordered else sorted(found)) == (items if ordered else sorted(items))
    assert busy.most["a"] <= 2
    assert busy.most["b"] <= 2


@pytest.mark.parametrize("model", ["threads", "processes", "asyncio", "processes+asyncio"])
def test_a_group_that_is_slow_keeps_no_other_waiting(model: str, gate: Gate) -> None:
    stop = gate.coroutine() if "asyncio" in model else gate.plain()

    def fn(item: Any) -> Any:
        return stop(item) if item == "slow" else item

    run = outpace.map(
        fn,
        ["slow", "slow", *range(100)],
        model=model,
        workers=2,
        in_flight=2 if model == "processes" else 8,
        ordered=False,
        group=lambda item: item == "slow",
        per_group=1,
    )
    with run:
        assert sorted(next(run) for _ in range(100)) == list(range(100))

        def let_both_through() -> None:
            for _ in range(2):
                gate.arrivals(1)
                gate.let_through()

        thread = threading.Thread(target=let_both_through)
        thread.start()
        assert list(run) == ["slow", "slow"]
        thread.join()


def test_with_several_iterables_the_group_is_of_all_arguments() -> None:
    seen = []

    def group(x: int, y: str) -> str:
        seen.append((x, y))
        return y

    values = outpace.map(
        lambda x, y: (x, y), [1, 2], "ab", model="serial", group=group, per_group=1
    )
    assert list(values) == [(1, "a"), (2, "b")] == seen


def test_where_group_raises_its_item_has_failed_and_no_other() -> None:
    def group(item: int) -> int:
        return 10 // (item - 3)

    outcomes = list(outpace.run(str, range(6), model="threads", group=group, per_group=1))
    assert [outcome.kind for outcome in outcomes] == ["done"] * 3 + ["failed"] + ["done"] * 2
    assert isinstance(outcomes[3].error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError) as caught:
        list(outpace.map(str, range(6), model="threads", group=group, per_group=1))
    assert any("raised by group=" in note for note in caught.value.__notes__)


def test_a_group_that_cannot_be_told_from_others_fails_its_item() -> None:
    (outcome,) = outpace.run(str, [1], model="serial", group=lambda _: [], per_group=1)
    assert isinstance(outcome.error, TypeError)


def test_what_a_groups_key_raises_fails_its_item() -> None:
    class Odd:
        def __init__(self, item: int) -> None:
            self.item = item

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if isinstance(other, Odd) and 2 in (self.item, other.item):
                raise LookupError
            return self is other

    together = threading.Barrier(3)  # so that there are other groups when the third is looked up
    run = outpace.run(
        lambda _: together.wait(60), range(4), model="threads", in_flight=4, group=Odd, per_group=1
    )
    assert [outcome.kind for outcome in run] == ["done", "done", "failed", "done"]


def test_after_stop_nothing_of_a_group_starts_that_has_waited() -> None:
    started: list[int] = []
    run = outpace.map(
        started.append,
        range(1_000),
        model="threads",
        in_flight=8,
        ordered=False,
        group=lambda item: item % 100 == 99,
        per_group=1,
    )
    for _ in range(5):
        next(run)
    run.stop()
    before = len(started)
    list(run)
    assert len(started) <= before + 2


def test_a_rate_holds_up_starts_and_not_the_end() -> None:
    assert list(outpace.map(str, [1], model="threads", rate=1e-6)) == ["1"]
    assert list(outpace.map(str, iter([1]), model="serial", rate=1e-6)) == ["1"]


def test_a_run_that_is_stopped_while_items_wait_for_their_groups_ends() -> None:
    run = outpace.run(
        now, range(500), model="threads", in_flight=4, group=lambda _: 0, group_rate=50
    )
    next(run)
    run.stop()
    assert len(list(run)) < 100


def test_retries_keep_to_the_group() -> None:
    tried: dict[str, int] = {}

    def twice(item: str) -> str:
        tried[item] = tried.get(item, 0) + 1
        if tried[item] == 1:
            raise LookupError(item)
        return item

    again = outpace.Retry(1, wait=lambda _attempt, _error: 0.0)
    values = outpace.map(
        twice, "abcdef", model="threads", in_flight=3, retries=again, group=str.islower, per_group=1
    )
    assert list(values) == list("abcdef")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rate": 0}, UsageError, "rate must be a number of starts a second above 0, not 0"),
        ({"rate": -1}, UsageError, "above 0, not -1"),
        ({"rate": float("nan")}, UsageError, "above 0"),
        ({"rate": "10/s"}, UsageTypeError, "rate must be a number of starts a second, not a str"),
        ({"rate": True}, UsageTypeError, "not a bool"),
        ({"group": "host", "per_group": 1}, UsageTypeError, "group must be a function of the item"),
        ({"group": len, "per_group": 0}, UsageError, "per_group must be at least 1"),
        ({"group": len, "group_rate": 0}, UsageError, "group_rate must be a number of starts"),
        ({"per_group": 1}, UsageError, "per_group= needs group="),
        ({"per_group": 1, "group_rate": 2}, UsageError, "per_group= and group_rate= needs group="),
        ({"group": len}, UsageError, "group= alone does nothing"),
        ({"rate": 5, "chunk": 10}, UsageError, "no chunk=10"),
        ({"rate": 1e-300}, UsageError, "rate must be between 1e-06 and 1e\\+09 starts a second"),
        ({"rate": 10**400}, UsageError, "rate must be between"),
        ({"group": adouble, "per_group": 1}, UsageTypeError, "this is a coroutine function"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line_before_any_work(
    options: dict[str, Any], error: type[OutpaceError], words: str
) -> None:
    with pytest.raises(error, match=words):
        outpace.map(str, [1], **options)
