"""The contract, over every model of the registry, for plain and for coroutine functions.

A new driver or host is tested here by being in its folder. What every test leaves behind (threads,
processes, descriptors, temporary files) is checked by the fixture in tests/conftest.py.
"""

import asyncio
import functools
import itertools
import os
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import outpace
from outpace.errors import SetupError
from outpace.registry import all_models, names

MODELS = [model.name for model in all_models() if model.unavailable() is None]


def plain(n: int) -> int:
    return n * 2


async def later(n: int) -> int:
    return n * 2


async def much_later(n: int) -> int:
    await asyncio.sleep(0.001 * (n % 3))
    return n * 2


def sometimes(n: int) -> int:
    if n % 5 == 3:
        raise LookupError(f"no {n}")
    return n


async def sometimes_later(n: int) -> int:
    await asyncio.sleep(0)
    return sometimes(n)


both = pytest.mark.parametrize("fn", [plain, later, much_later], ids=lambda fn: fn.__name__)
failing = pytest.mark.parametrize("fn", [sometimes, sometimes_later], ids=lambda fn: fn.__name__)
every = pytest.mark.parametrize("model", MODELS)


def test_the_registry_has_the_six_models_of_the_first_day() -> None:
    assert {
        "serial",
        "threads",
        "asyncio",
        "processes",
        "processes+threads",
        "processes+asyncio",
    } <= set(names())


@every
@both
def test_values_come_in_the_order_of_the_items(model, fn) -> None:
    assert list(outpace.map(fn, range(100), model=model)) == [n * 2 for n in range(100)]


@every
@both
def test_values_come_as_they_come_when_asked_for_so(model, fn) -> None:
    values = list(outpace.map(fn, range(100), model=model, ordered=False))

    assert sorted(values) == [n * 2 for n in range(100)]


async def both_later(x: int, y: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return x, y


@every
@pytest.mark.parametrize("fn", [lambda x, y: (x, y), both_later], ids=["plain", "coroutine"])
def test_several_arguments_come_from_iterables_side_by_side_or_from_tuples(model, fn) -> None:
    pairs = [(n, 2 * n) for n in range(100)]

    assert list(outpace.map(fn, range(100), range(0, 300, 2), model=model)) == pairs
    assert list(outpace.map(fn, iter(pairs), starmap=True, model=model)) == pairs


@every
@failing
def test_an_error_is_raised_at_its_place_with_the_item_noted(model, fn) -> None:
    run = outpace.map(fn, range(100), model=model)

    assert [next(run) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError, match="no 3") as caught:
        next(run)
    assert any("item 3" in note for note in caught.value.__notes__)
    with pytest.raises(StopIteration):
        next(run)


@every
@failing
def test_failed_items_can_be_skipped_or_returned(model, fn) -> None:
    good = [n for n in range(20) if n % 5 != 3]
    assert list(outpace.map(fn, range(20), model=model, on_error="skip")) == good

    mixed = list(outpace.map(fn, range(20), model=model, on_error="return"))
    assert [v for v in mixed if not isinstance(v, LookupError)] == good
    assert str(mixed[3]) == "no 3"


@every
@failing
def test_run_has_an_outcome_for_each_item_and_never_raises(model, fn) -> None:
    outcomes = list(outpace.run(fn, range(20), model=model))

    assert [o.index for o in outcomes] == list(range(20))
    for outcome in outcomes:
        assert outcome.item == outcome.index
        assert outcome.ok is (outcome.index % 5 != 3)
        assert outcome.kind == ("done" if outcome.ok else "failed")
        assert (outcome.value == outcome.item) is outcome.ok
        assert isinstance(outcome.error, LookupError) is not outcome.ok
        assert 0 < outcome.queued <= outcome.started + 0.005  # two processes' clocks
        assert outcome.started <= outcome.ended
        assert outcome.cpu_s >= 0
        assert outcome.attempts == 1


@every
def test_no_items_are_no_values_and_no_workers(model) -> None:
    run = outpace.map(plain, [], model=model)

    assert list(run) == []
    assert run.summary.items == 0
    assert run.summary.startup_s == 0


@every
@pytest.mark.parametrize("fn", [str, later])
def test_an_infinite_iterable_is_left_within_half_a_second(model, fn, stopwatch) -> None:
    run = outpace.map(fn, itertools.count(), model=model)

    first = list(itertools.islice(run, 1000))

    assert first == [str(n) if fn is str else n * 2 for n in range(1000)]
    seconds = stopwatch()
    run.close()
    assert seconds() < 0.5


@every
def test_leaving_the_loop_stops_the_work(model) -> None:
    for value in outpace.map(plain, itertools.count(), model=model):
        if value > 100:
            break
    with outpace.run(plain, itertools.count(), model=model) as run:
        assert next(run).value == 0


@every
def test_nothing_is_read_before_the_first_value_is_asked_for(model) -> None:
    read = []
    run = outpace.map(plain, (read.append(n) or n for n in range(5)), model=model)

    assert read == []
    run.close()
    assert read == []


@every
def test_a_slow_consumer_stops_the_reading(model) -> None:
    read = 0

    def source():
        nonlocal read
        for n in itertools.count():
            read += 1
            yield n

    with outpace.map(pause, source(), model=model, in_flight=4, workers=2) as run:
        for n, _ in enumerate(run):
            # What may be in flight, the few that wait for a lane, and what reports held: on a busy
            # machine several come at once. Who does not stop reads thousands.
            assert read <= n + 1 + 200
            if n == 60:
                break


def pause(n: int) -> int:
    time.sleep(0.005)
    return n


@every
def test_an_iterable_that_raises_half_way_loses_nothing_before(model) -> None:
    def source():
        yield from range(7)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(outpace.map(plain, source(), model=model))
    run = outpace.map(plain, source(), model=model)
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(run)  # extend keeps what came before
    assert seen[-7:] == [0, 2, 4, 6, 8, 10, 12]


@every
def test_a_setup_is_opened_once_per_lane_and_closed(model, tmp_path) -> None:
    setup = functools.partial(traced, str(tmp_path))

    values = list(
        outpace.map(with_state, range(30), model=model, setup=setup, workers=2, in_flight=4)
    )

    assert values == list(range(30))
    names_ = sorted(path.name for path in tmp_path.iterdir())
    opened = [name for name in names_ if name.startswith("open")]
    closed = [name for name in names_ if name.startswith("close")]
    assert 1 <= len(opened) <= 4
    assert len(closed) == len(opened)


@contextmanager
def traced(folder: str):
    mark = f"{os.getpid()}-{threading.get_ident()}"
    Path(f"{folder}/open-{mark}").touch()
    yield "state"
    Path(f"{folder}/close-{mark}").touch()


def with_state(n: int, state: str) -> int:
    assert state == "state"
    return n


@every
def test_an_asynchronous_setup_lives_on_the_loop_of_its_lane(model) -> None:
    values = list(outpace.map(on_same_loop, range(20), model=model, setup=loop_of_setup))

    assert values == [True] * 20


@asynccontextmanager
async def loop_of_setup():
    yield asyncio.get_running_loop()


async def on_same_loop(_: int, loop: asyncio.AbstractEventLoop) -> bool:
    return asyncio.get_running_loop() is loop


@every
def test_a_setup_that_fails_is_one_clear_error(model) -> None:
    with pytest.raises(SetupError, match="ZeroDivisionError"):
        list(outpace.map(with_state, range(3), model=model, setup=failing_setup))


@contextmanager
def failing_setup():
    yield 1 / 0


@every
@both
def test_map_works_where_a_loop_runs_already(model, fn) -> None:
    async def main():
        return list(outpace.map(fn, range(20), model=model))

    assert asyncio.run(main()) == [n * 2 for n in range(20)]


@pytest.mark.slow
@every
@both
def test_amap_works_with_plain_and_asynchronous_iterables(model, fn) -> None:
    async def source():
        for n in range(20):
            await asyncio.sleep(0)
            yield n

    async def main():
        from_list = [value async for value in outpace.amap(fn, range(20), model=model)]
        from_source = [value async for value in outpace.amap(fn, source(), model=model)]
        kinds = [o.kind async for o in outpace.arun(fn, source(), model=model)]
        return from_list, from_source, kinds

    expected = [n * 2 for n in range(20)]
    assert asyncio.run(main()) == (expected, expected, ["done"] * 20)


@every
def test_amap_lets_the_callers_loop_go_on(model) -> None:
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.create_task(tick())
        async for _ in outpace.amap(nap, [0.02] * 6, model=model, in_flight=2, workers=2):
            pass
        ticker.cancel()
        return ticks

    assert asyncio.run(main()) >= 5


async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


@every
def test_leaving_amap_leaves_nothing(model) -> None:
    async def main():
        async with outpace.amap(plain, itertools.count(), model=model) as run:
            async for value in run:
                if value > 50:
                    break
        run = outpace.amap(plain, itertools.count(), model=model)
        assert await anext(run) == 0
        await run.aclose()

    asyncio.run(main())


@every
def test_no_more_items_run_at_once_than_were_allowed(model, tmp_path) -> None:
    mark = functools.partial(counted, str(tmp_path))

    at_once = list(outpace.map(mark, range(40), model=model, in_flight=3, workers=2))

    assert max(at_once) <= 3


async def counted(folder: str, n: int) -> int:
    """Count how many items run now, over processes, by the files of those that do."""
    mine = Path(folder) / str(n)
    mine.touch()
    running = len(list(Path(folder).iterdir()))  # noqa: ASYNC240 - quick, and it must not wait
    await asyncio.sleep(0.003)
    mine.unlink()
    return running


@every
def test_chunks_of_a_size_that_the_user_chose(model) -> None:
    assert list(outpace.map(plain, range(100), model=model, chunk=7)) == [n * 2 for n in range(100)]


@every
def test_lambdas_closures_and_methods_work_everywhere(model) -> None:
    offset = 10

    def closure(n: int) -> int:
        return n + offset

    assert list(outpace.map(lambda n: n + 1, range(5), model=model)) == [1, 2, 3, 4, 5]
    assert list(outpace.map(closure, range(5), model=model)) == [10, 11, 12, 13, 14]
    assert list(outpace.map("abc".__contains__, "ax", model=model)) == [True, False]


@every
def test_large_values_travel_both_ways(model) -> None:
    texts = [chr(97 + n) * 2_000_000 for n in range(6)]

    assert list(outpace.map(str.upper, texts, model=model)) == [text.upper() for text in texts]


@pytest.mark.slow
@every
def test_stop_lets_what_is_in_flight_end(model) -> None:
    run = outpace.map(pause, itertools.count(), model=model)
    seen = []
    for value in run:
        seen.append(value)
        if value == 20:
            run.stop()

    assert seen == list(range(len(seen)))
    assert 21 <= len(seen) < 5000
    assert run.summary.items == len(seen)


@pytest.mark.slow
@every
def test_twenty_random_jobs_are_right(model, dice) -> None:
    for _ in range(20 if not model.startswith("processes") else 4):
        count = dice.choice([1, 2, 17, 300])
        fn = dice.choice([sometimes, sometimes_later, much_later])
        settings = {
            "ordered": dice.random() < 0.5,
            "workers": dice.choice([None, 1, 3]),
            "in_flight": dice.choice([None, 1, 2, 20]),
            "chunk": dice.choice([None, None, 1, 5]),
        }
        items = range(count) if dice.random() < 0.5 else iter(range(count))
        outcomes = list(outpace.run(fn, items, model=model, **settings))
        detail = f"{fn.__name__} {count} {settings}"
        assert sorted(o.index for o in outcomes) == list(range(count)), detail
        if settings["ordered"]:
            assert [o.index for o in outcomes] == list(range(count)), detail
        for o in outcomes:
            should_fail = fn is not much_later and o.item % 5 == 3
            assert o.ok is not should_fail, detail


class Ready:
    """Be awaitable without being a coroutine."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.n * 2


async def awaits_ready(n: int) -> int:
    return await Ready(n)


class Caller:
    """Be a callable whose call is a coroutine."""

    async def __call__(self, n: int) -> int:
        await asyncio.sleep(0)
        return n * 2


@every
@pytest.mark.parametrize("fn", [awaits_ready, Caller(), functools.partial(much_later)])
def test_every_shape_of_a_coroutine_function_is_awaited(model, fn) -> None:
    assert list(outpace.map(fn, range(5), model=model)) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("model", [name for name in MODELS if "asyncio" in name])
def test_anything_awaitable_is_awaited_on_a_loop(model) -> None:
    assert list(outpace.map(Ready, range(5), model=model)) == [0, 2, 4, 6, 8]


@every
def test_a_slow_source_holds_up_no_results(model) -> None:
    read = []

    def source():
        for n in range(4):
            time.sleep(0.06)  # a source that blocks is what is tested
            read.append(n)
            yield n

    for value in outpace.map(plain, source(), model=model, in_flight=8, workers=2):
        assert len(read) <= value // 2 + 3  # not all of them before the first comes out
    assert read == [0, 1, 2, 3]


@every
def test_a_loop_that_was_left_has_closed_the_run(model) -> None:
    run = outpace.map(plain, itertools.count(), model=model)
    for _ in run:
        break

    with pytest.raises(outpace.OutpaceError, match="was left"):
        iter(run)
    assert run.summary.items >= 1


@every
def test_a_lambda_that_returns_a_coroutine_is_as_good_as_the_coroutine_function(model) -> None:
    values = outpace.map(lambda n: much_later(n), range(50), model=model)  # noqa: PLW0108
    assert list(values) == [n * 2 for n in range(50)]


@every
def test_a_run_inside_an_item_of_a_run_works(model) -> None:
    def inner(n: int) -> list[int]:
        return list(outpace.map(abs, range(n), model=model, workers=1, in_flight=2))

    assert list(outpace.map(inner, [2, 3], model=model, workers=1, in_flight=2)) == [
        [0, 1],
        [0, 1, 2],
    ]


DEVELOPMENT = """
import asyncio, itertools, sys
import outpace
async def later(n):
    await asyncio.sleep(0)
    return n
def plain(n):
    return n
async def main(fn):
    assert [v async for v in outpace.amap(fn, range(20), model=model)] == list(range(20))
    async for value in outpace.amap(fn, itertools.count(), model=model):
        if value == 5:
            break
model = sys.argv[1]
for fn in (plain, later):
    assert list(outpace.map(fn, range(20), model=model)) == list(range(20))
    for value in outpace.map(fn, itertools.count(), model=model):
        if value == 5:
            break
    asyncio.run(main(fn))
kept = outpace.map(plain, itertools.count(), model=model)
print(next(kept))
"""


@pytest.mark.slow
@every
def test_python_in_development_mode_has_nothing_to_complain_of(model, run_python) -> None:
    done = run_python(DEVELOPMENT, model, PYTHONDEVMODE="1")

    said = done.stderr.splitlines()
    complaints = [line for line in said if not line.startswith("Executing ")]  # a busy machine
    assert (done.stdout, complaints, done.returncode) == ("0\n", [], 0)


class Obliging:
    """Answer to any name, as the proxy of `xmlrpc.client` does."""

    def __getattr__(self, name: str):
        return lambda *args: None

    def __reduce__(self):
        return Obliging, ()


class Secretive:
    """Answer to no name."""

    def __getattr__(self, name: str):
        raise LookupError(name)

    def __reduce__(self):
        return Secretive, ()


@every
@pytest.mark.parametrize("made", [Obliging, Secretive], ids=lambda made: made.__name__)
def test_a_value_is_awaited_for_what_its_class_says_and_not_itself(model, made) -> None:
    def fn(n: int):
        return made() if n == 1 else n

    one, two, three = outpace.map(fn, range(3), model=model)
    assert (one, type(two), three) == (0, made, 2)


@every
def test_an_item_whose_pickling_exits_is_its_own_failure_at_most(model) -> None:
    class Exiting:
        def __reduce__(self):
            raise SystemExit(3)

    outcomes = list(outpace.run(lambda _: 1, [0, Exiting(), 2], model=model))
    elsewhere = model.startswith("processes")
    assert [outcome.kind for outcome in outcomes] == [
        "done",
        "failed" if elsewhere else "done",
        "done",
    ]


@every
def test_in_flight_beyond_all_measure_is_no_bound(model) -> None:
    assert list(outpace.map(plain, iter(range(3)), model=model, in_flight=10**30)) == [0, 2, 4]
