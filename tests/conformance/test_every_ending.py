"""However a run ends, over every model: at once, with every item accounted for, and nothing left.

That nothing is left is checked after every test by the fixture in tests/conftest.py.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.registry import all_models

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.conftest import Gate, Stopwatch

NEVER = 120.0  # seconds; what has not ended by then never does
MODELS = ["auto", *(model.name for model in all_models() if model.unavailable() is None)]
every = pytest.mark.parametrize("model", MODELS)


def plain(item: int) -> int:
    if item % 7 == 3:
        raise LookupError(item)
    return item


async def coroutine(item: int) -> int:
    await asyncio.sleep(0.0005 * (item % 3))
    return plain(item)


both = pytest.mark.parametrize("fn", [plain, coroutine], ids=["plain", "coroutine"])


def all_of(run: Any) -> Callable[[], list[Any]]:
    """Read a run in a thread of its own; return what waits for it and gives what it read."""
    got: list[Any] = []
    reader = threading.Thread(target=lambda: got.extend(run))
    reader.start()

    def wait() -> list[Any]:
        reader.join(NEVER)
        assert not reader.is_alive(), "the run did not end"
        return got

    return wait


@every
def test_a_run_that_is_busy_is_closed_by_another_thread_within_half_a_second(
    model: str, gate: Gate, stopwatch: Stopwatch
) -> None:
    run = outpace.map(gate.coroutine(), itertools.count(), model=model, in_flight=3, workers=2)
    read = all_of(run)
    gate.arrivals(1)
    seconds = stopwatch()
    run.close()
    if model == "serial":  # the one item runs in the reader: nobody can reach into it
        gate.let_through()
    assert read() == []
    assert seconds() < 0.5
    gate.wait_until_gone()


@every
def test_a_run_that_is_busy_is_stopped_by_another_thread_and_lets_items_end(
    model: str, gate: Gate
) -> None:
    run = outpace.run(gate.coroutine(), itertools.count(), model=model, in_flight=1, chunk=1)
    read = all_of(run)
    gate.arrivals(1)
    run.stop()
    gate.let_through()
    got = read()
    gate.close()
    assert [o.value for o in got] == [0]
    assert run.summary.items == 1


@every
@both
def test_a_run_dropped_half_way_leaves_nothing(model: str, fn: Callable[[int], Any]) -> None:
    run = outpace.run(fn, itertools.count(), model=model)
    assert next(run).value == 0
    del run


@every
@both
def test_a_consumer_that_raises_leaves_nothing(model: str, fn: Callable[[int], Any]) -> None:
    def consume() -> None:
        for outcome in outpace.run(fn, itertools.count(), model=model):
            if outcome.index == 30:
                raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="the consumer's own"):
        consume()


@pytest.mark.slow
@every
@both
@pytest.mark.parametrize("ordered", [True, False])
def test_every_item_has_one_outcome_with_a_source_that_comes_slowly(
    model: str, fn: Callable[[int], Any], *, ordered: bool
) -> None:
    def items() -> Iterator[int]:
        for n in range(60):
            if n % 20 == 5:
                time.sleep(0.01)
            yield n

    outcomes = list(outpace.run(fn, items(), model=model, ordered=ordered, in_flight=4, workers=2))
    indexes = [o.index for o in outcomes]
    assert (indexes if ordered else sorted(indexes)) == list(range(60))
    assert [o.index for o in outcomes if not o.ok] == [n for n in indexes if n % 7 == 3]


@every
def test_the_first_error_ends_the_run_also_as_they_come(model: str) -> None:
    run = outpace.map(plain, itertools.count(), model=model, ordered=False)
    with pytest.raises(LookupError) as raised:
        list(run)
    assert raised.value.args[0] % 7 == 3
    assert next(run, None) is None
    assert run.summary.failed >= 1


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (model, error)
        for model in MODELS
        for error in (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration)
        # In the caller's main thread a KeyboardInterrupt is a person's, and goes through.
        if error is not KeyboardInterrupt or model not in ("auto", "serial", "asyncio")
    ],
)
def test_an_item_may_raise_anything(model: str, error: type[BaseException]) -> None:
    def odd(item: int) -> int:
        if item == 1:
            raise error("odd")
        return item

    outcomes = list(outpace.run(odd, range(3), model=model))
    assert [o.kind for o in outcomes] == ["done", "failed", "done"]
    assert type(outcomes[1].error) is error


@every
def test_two_runs_read_in_turns_do_not_disturb_each_other(model: str) -> None:
    with (
        outpace.map(str, itertools.count(), model=model) as one,
        outpace.map(abs, itertools.count(0, -1), model=model) as other,
    ):
        pairs = itertools.islice(zip(one, other, strict=False), 300)
        assert list(pairs) == [(str(n), n) for n in range(300)]


@every
def test_a_run_is_read_to_its_end_by_another_thread_than_began_it(model: str) -> None:
    run = outpace.map(abs, range(300), model=model)
    assert next(run) == 0
    assert all_of(run)() == list(range(1, 300))


@pytest.mark.slow
@every
@both
def test_twenty_random_endings_are_all_clean(
    model: str, fn: Callable[[int], Any], dice: random.Random
) -> None:
    for _ in range(20 if "processes" not in model else 3):
        settings: dict[str, Any] = {
            "ordered": dice.random() < 0.5,
            "in_flight": dice.choice([None, 1, 5]),
            "chunk": dice.choice([None, 1, 4]),
        }
        run = outpace.run(fn, itertools.count(), model=model, **settings)
        got = [next(run) for _ in range(dice.randrange(60))]
        ending = dice.choice(["close", "stop", "drop", "with", "thread closes", "thread stops"])
        match ending:
            case "close":
                run.close()
            case "stop":
                run.stop()
                got += run
            case "with":
                with run:
                    pass
            case "thread closes" | "thread stops":
                read = all_of(run)
                (run.close if ending == "thread closes" else run.stop)()
                got += read()
        detail = f"{ending} {settings}"
        indexes = [o.index for o in got]
        assert len(set(indexes)) == len(indexes), detail
        if settings["ordered"]:
            assert indexes == list(range(len(indexes))), detail
        assert all(o.ok is (o.index % 7 != 3) for o in got), detail
        del run


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@both
def test_ten_random_endings_of_an_awaited_run_are_all_clean(
    model: str, fn: Callable[[int], Any], dice: random.Random
) -> None:
    async def one() -> None:
        settings: dict[str, Any] = {"in_flight": dice.choice([None, 1, 5])}
        run = outpace.arun(fn, itertools.count(), model=model, **settings)
        got = [await anext(run) for _ in range(dice.randrange(40))]
        match dice.choice(["aclose", "stop", "drop", "cancel"]):
            case "aclose":
                await run.aclose()
            case "stop":
                run.stop()
                got += [outcome async for outcome in run]
            case "cancel":

                async def read() -> None:
                    async for _ in run:
                        pass

                reading = asyncio.ensure_future(read())
                for _ in range(dice.randrange(5)):
                    await asyncio.sleep(0)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
        assert [o.index for o in got] == list(range(len(got)))

    async def main() -> None:
        for _ in range(10 if "processes" not in model else 3):
            await asyncio.wait_for(one(), NEVER)

    asyncio.run(main())
