"""What a user meets first: names, options, and what things look like when they are shown."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import itertools
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import outpace
from outpace.errors import UsageTypeError
from outpace.racing.result import Race, Recommendation

DOORS = ["map", "run", "amap", "arun"]
every_door = pytest.mark.parametrize("door", DOORS)


def odd(item: Any) -> Any:
    if item == 3:
        raise LookupError("<three>")
    return item


def test_dir_shows_the_public_names_all_and_only_them() -> None:
    assert dir(outpace) == sorted(outpace.__all__)
    for name in dir(outpace):
        getattr(outpace, name)


# Options that we do not have.

THEIRS = {
    "n_jobs": "n_jobs= is workers= here",
    "max_workers": "max_workers= is workers= here",
    "processes": 'processes= is workers= here, with model="processes"',
    "threads": 'threads= is in_flight= here, with model="threads"',
    "concurrency": "concurrency= is in_flight= here",
    "chunksize": "chunksize= is chunk= here",
    "batch_size": "batch_size= is chunk= here",
    "initializer": "initializer= is setup= here, a function that makes a context manager",
    "max_retries": "max_retries= is retries= here",
    "desc": "desc= is progress= here",
    "total": "total= is progress= here, as in progress=True",
    "maxtasksperchild": "maxtasksperchild= is max_items= here",
    "backend": "backend= is model= here",
    "keep_order": "keep_order= is ordered= here",
    "items": r"the items have no name: outpace.\w+\(fn, items\)",
    "worker": "has no option worker=; perhaps workers= is meant",
    "time_out": "has no option time_out=; perhaps timeout= is meant",
    "colour": "has no option colour=; it has chunk=, .*fn=, .*in_flight=, .*workers=",
}


@every_door
@pytest.mark.parametrize("theirs", THEIRS)
def test_an_option_of_others_is_told_in_our_words(door: str, theirs: str) -> None:
    with pytest.raises(UsageTypeError, match=THEIRS[theirs]) as raised:
        getattr(outpace, door)(odd, [1], **{theirs: 1})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("door", "theirs", "says"),
    [
        ("map", "return_exceptions", "return_exceptions= is on_error= here"),
        ("run", "return_exceptions", "run has no option return_exceptions=; it has"),
        (
            "run",
            "on_error",
            "run has no option on_error=: it never raises for an item; see outcome.kind",
        ),
        ("race", "n_jobs", "n_jobs= is workers= here"),
        ("race", "rounds", "rounds= is repeat= here"),
        ("race", "model", "race has no option model=; perhaps models= is meant"),
        ("fetch", "concurrency", "concurrency= is in_flight= here"),
        ("fetch", "output", "output= is into= here"),
        ("fetch", "header", "fetch has no option header=; perhaps headers= is meant"),
        ("fetch", "perhost", "fetch has no option perhost=; perhaps per_host= is meant"),
        ("fetch", "colour", "fetch has no option colour=; it has .*connect_timeout=.*urls="),
        ("Executor", "n_jobs", "n_jobs= is workers= here"),
        ("Executor", "chunksize", "chunksize= is chunk= here"),
        ("Executor", "max_tasks_per_child", "max_tasks_per_child= is max_items= here"),
        ("Executor", "thread_name_prefix", "Executor has no option thread_name_prefix=; it has"),
    ],
)
def test_the_other_doors_tell_it_too(door: str, theirs: str, says: str) -> None:
    arguments = () if door == "Executor" else (["http://a.example/"],)
    if door in ("map", "run", "race"):
        arguments = (odd, [1])
    with pytest.raises(UsageTypeError, match=says):
        getattr(outpace, door)(*arguments, **{theirs: 1})


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        ("tries", "^tries= is times= here, how often after the first attempt$"),
        ("max_retries", "^max_retries= is times= here"),
        ("exceptions", "^exceptions= is on= here, an exception class, several, or a function$"),
        ("delay", "^delay= is wait= here, in seconds$"),
        ("max_delay", "^max_delay= is longest= here"),
        ("longst", r"^Retry has no option longst=; perhaps longest= is meant$"),
        ("colour", "^Retry has no option colour=; it has longest=, on=, times=, wait=$"),
    ],
)
def test_retry_tells_it_too(theirs: str, says: str) -> None:
    with pytest.raises(UsageTypeError, match=says):
        outpace.Retry(**{theirs: 3})


def test_retry_is_still_what_a_dataclass_is() -> None:
    retry = outpace.Retry(2, wait=0.5)

    assert list(inspect.signature(outpace.Retry).parameters) == ["times", "on", "wait", "longest"]
    assert pickle.loads(pickle.dumps(retry)) == retry == outpace.Retry(times=2, wait=0.5)
    assert dataclasses.replace(retry, times=3).times == 3


@every_door
def test_numbers_of_numpy_are_numbers(door: str) -> None:
    numbers = {"workers": np.int64(2), "chunk": np.uint8(1), "retries": np.int32(1)}
    run = getattr(outpace, door)(odd, [1], model="threads", timeout=np.float32(9), **numbers)
    assert type(run.summary.in_flight) is int
    with pytest.raises(UsageTypeError, match="chunk must be a whole number, not a float"):
        getattr(outpace, door)(odd, [1], chunk=np.float64(2))


def test_an_executor_takes_the_names_of_the_standard_pools() -> None:
    with outpace.Executor(max_workers=1, initializer=int, initargs=()) as executor:
        assert executor.submit(abs, -1).result() == 1


@every_door
def test_a_door_keeps_its_signature_its_name_and_its_text(door: str) -> None:
    function = getattr(outpace, door)
    assert list(inspect.signature(function).parameters)[:3] == ["fn", "iterables", "model"]
    assert function.__name__ == door
    assert len(function.__doc__) > 50
    assert pickle.loads(pickle.dumps(function)) is function


# How many there are.


def some(kind: str, items: Any, **more: Any) -> Any:
    return getattr(outpace, kind)(odd, items, **more)


@every_door
def test_a_run_has_the_length_of_its_items(door: str) -> None:
    assert len(some(door, range(7))) == 7
    assert len(some(door, [], model="threads")) == 0
    assert operator.length_hint(some(door, "abc"), -1) == 3
    assert len(some(door, [(1,), (2,)], starmap=True)) == 2


@every_door
def test_a_run_of_who_knows_how_many_says_so(door: str) -> None:
    run = some(door, iter([1, 2]))
    with pytest.raises(
        TypeError, match=r"this run has no len\(\): its items come from an iterable"
    ) as e:
        len(run)
    assert isinstance(e.value, UsageTypeError)
    assert operator.length_hint(run, -1) == -1


@every_door
def test_a_run_is_true_whatever_its_length(door: str) -> None:
    assert some(door, [])
    assert some(door, [1])
    assert some(door, iter([]))


@pytest.mark.parametrize("source", [list, iter], ids=["known", "unknown"])
@pytest.mark.parametrize("taken", [list, tuple, sorted, lambda run: [*run]])
def test_whoever_takes_all_of_a_run_does_so_either_way(source: Any, taken: Any) -> None:
    assert list(taken(outpace.map(odd, source([1, 2]), model="serial"))) == [1, 2]


def test_a_length_stays_what_it_is_while_the_run_goes_on() -> None:
    with outpace.map(odd, range(3), model="serial") as run:
        next(run)
        assert len(run) == 3
    assert len(run) == 3


def test_stages_know_how_many_items_the_first_has() -> None:
    first = outpace.map(odd, range(3), model="serial")
    second = outpace.map(odd, first, model="serial")
    assert len(second) == 3
    assert list(second) == [0, 1, 2]


# What they look like.


def test_a_run_shows_in_a_line_how_far_it_is() -> None:
    run = outpace.run(odd, range(10), model="threads")
    assert repr(run) == "<outpace.Run threads: 0 of 10 items settled>"
    assert run._repr_html_() == (
        "<div><code>&lt;outpace.Run threads: 0 of 10 items settled&gt;</code></div>"
    )
    list(run)
    assert repr(run) == "<outpace.Run threads: 10 of 10 items settled>"
    assert "10 items with threads" in run._repr_html_()
    assert (
        repr(outpace.map(odd, iter([]), model="serial")) == "<outpace.Run serial: 0 items settled>"
    )


def test_an_awaited_run_does_the_same() -> None:
    async def main() -> str:
        run = outpace.amap(odd, range(2), model="asyncio")
        assert repr(run) == "<outpace.AsyncRun asyncio: 0 of 2 items settled>"
        assert [value async for value in run] == [0, 1]
        return run._repr_html_()

    assert "2 items with asyncio" in asyncio.run(main())


def test_looking_at_a_run_starts_nothing() -> None:
    run = outpace.map(odd, itertools.count(), model="processes")
    repr(run), run._repr_html_(), bool(run), operator.length_hint(run)
    assert run._engine.workers is None


def test_an_outcome_shows_in_a_short_line_what_became_of_what() -> None:
    done, failed = outpace.run(odd, [1, 3], model="serial")
    assert repr(done).startswith("<Done 0: 1 -> 1, ")
    assert repr(done).endswith("s>")
    assert repr(failed).startswith("<Failed 1: 3 -> LookupError('<three>'), ")
    (large,) = outpace.run(odd, ["x" * 10**6], model="serial")
    assert len(repr(large)) < 130
    (lines,) = outpace.run(odd, [LogLines()], model="serial")
    assert repr(lines).startswith("<Done 0: first second -> first second, ")


class LogLines:
    def __repr__(self) -> str:
        return "first\n   second"


def test_attempts_are_shown_where_there_were_several() -> None:
    retry = outpace.Retry(2, wait=0)
    (failed,) = outpace.run(odd, [3], model="serial", retries=retry)
    assert repr(failed).endswith(", 3 attempts>")


def test_in_a_notebook_an_outcome_shows_the_traceback_and_is_escaped() -> None:
    (failed,) = outpace.run(odd, [3], model="processes")
    shown = failed._repr_html_()
    assert "&lt;three&gt;" in shown
    assert "<three>" not in shown
    assert "<pre>Traceback" in shown


def test_a_summary_shows_its_first_line() -> None:
    run = outpace.map(odd, range(3))
    list(run)
    shown = repr(run.summary)
    assert shown.startswith("<outpace.Summary: 3 items with serial (1 at once) in ")
    assert "\n" not in shown
    assert "were done before a choice was due" in run.summary._repr_html_()


def test_a_timeline_shows_in_a_line_what_it_is_of() -> None:
    run = outpace.map(odd, range(2), model="threads", in_flight=2)
    assert len(list(run)) == 2
    line = repr(run.timeline)
    assert line.startswith("<outpace.Timeline threads: 2 items in ")
    assert line.endswith("s>")
    assert len(line) < 80


@pytest.mark.slow
def test_a_race_shows_in_a_line_what_won() -> None:
    race = outpace.race(odd, [1, 2], models=["threads"], repeat=1, name="<odd>")
    assert repr(race) == (
        f"<outpace.Race <odd>: 2 items under 2 models; use {race.recommendation.model}>"
    )
    assert "makespan" in str(race)
    page = race._repr_html_()
    assert page is not None
    assert "&lt;odd&gt;" in page
    assert "<odd>" not in page


def test_a_race_that_was_put_together_by_hand_shows_itself_all_the_same() -> None:
    race = Race({}, {}, [], Recommendation("serial", ()))
    assert str(race) == repr(race) == "<outpace.Race : 0 items under 0 models; use serial>"
    assert race._repr_html_() is None
