"""What is given wrongly at a door is one line that names the option, never a traceback from within."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import outpace
from outpace.errors import UsageError, UsageTypeError
from outpace.fetching.settings import make_getter


class Hostile:
    """Raise at whatever is asked."""

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")


HUGE = 10**400
RUNS = [
    ({"ordered": "no"}, "ordered is True or False, not a str: 'no'"),
    ({"ordered": Hostile()}, "ordered is True or False, not a Hostile: <Hostile whose repr raises"),
    ({"starmap": 1}, "starmap is True or False, not an int: 1"),
    ({"model": Hostile()}, "there is no model <Hostile whose repr raises RuntimeError>"),
    ({"model": HUGE}, "there is no model 1000"),
    ({"model": ["threads"]}, r"there is no model \['threads'\]"),
    ({"record": Hostile()}, "record is 'off', 'default' or 'full', not <Hostile"),
    ({"progress": "yes"}, "progress is True, None or a function to call, not 'yes'"),
    ({"chunk": -HUGE}, "chunk must be at least 1, not -1000"),
    ({"retries": -HUGE}, "retries must be at least 0, not -1000"),
]
FETCHES = [
    ({"urls": None}, "urls is a URL or an iterable of them, not None"),
    ({"urls": b"http://a.example/"}, "urls is a URL or an iterable of them, not b'http"),
    ({"into": True}, "into is a path, not a bool: True"),
    ({"into": b"x"}, "into is a path, not a bytes: b'x'"),
    ({"into": "a\0b"}, "no path has a character 0 in it: into='a"),
    ({"manifest": 1}, "manifest is a path, not an int: 1"),
    ({"resume": "no"}, "resume is True or False, not a str: 'no'"),
    ({"update": 1}, "update is True or False"),
    ({"insecure": "false"}, "insecure is True or False, not a str: 'false'"),
    ({"robots": None}, "robots is True or False"),
    ({"public_only": "no"}, "public_only is True or False"),
    ({"retry_failed": None}, "retry_failed is True or False"),
    ({"retry_failed": "dsn"}, "there is no kind of failure 'dsn'; there are .*dns"),
    ({"retry_failed": [1]}, "there is no kind of failure 1; there are"),
    ({"headers": None}, "headers is a mapping, or lines in a list, not None"),
    ({"user_agent": 1}, "user_agent is text, not an int: 1"),
    ({"http": 2}, "http is one of '1.1', '2', '3', not 2"),
    ({"http": []}, r"http is one of '1.1', '2', '3', not \[\]"),
    ({"proxy": True}, "proxy is a URL like"),
    ({"rate": HUGE}, "rate must be a number from"),
    ({"in_flight": HUGE}, "in_flight .* needs more open files"),
]
RACES = [
    ({"progress": 3}, "progress is True, None or a function to call, not 3"),
    ({"same": None}, "same is a function to call, not a NoneType: None"),
    ({"same": "eq"}, "same is a function to call, not a str: 'eq'"),
    ({"name": 1}, "name is text, not an int: 1"),
    ({"models": Hostile()}, "models are names of outpace.models"),
]
EXECUTORS = [
    ({"initializer": print, "initargs": None}, "initargs are the arguments in a tuple, not None"),
    ({"initializer": Hostile()}, "initializer must be callable, not <Hostile"),
    ({"workers": HUGE}, "more processes than a machine can have"),
]


def is_told(says: str, door: Any, *arguments: Any, **options: Any) -> None:
    with pytest.raises((UsageError, UsageTypeError), match=says) as caught:
        door(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("door", ["map", "run", "amap", "arun"])
@pytest.mark.parametrize(("options", "says"), RUNS)
def test_an_option_of_a_run(door: str, options: dict[str, Any], says: str) -> None:
    is_told(says, getattr(outpace, door), abs, [1], **options)


def test_what_becomes_of_errors() -> None:
    for wrong in (Hostile(), "ignore", None, True):
        is_told(
            "on_error is 'raise', 'skip' or 'return', not", outpace.map, abs, [1], on_error=wrong
        )


@pytest.mark.parametrize(("options", "says"), FETCHES)
def test_an_option_of_fetch(options: dict[str, Any], says: str) -> None:
    is_told(says, outpace.fetch, **{"urls": [], **options})


@pytest.mark.parametrize(("options", "says"), RACES)
def test_an_option_of_race(options: dict[str, Any], says: str) -> None:
    is_told(says, outpace.race, abs, [1], **options)


@pytest.mark.parametrize(("options", "says"), EXECUTORS)
def test_an_option_of_the_executor(options: dict[str, Any], says: str) -> None:
    is_told(says, outpace.Executor, **options)


def test_what_is_submitted() -> None:
    with outpace.Executor("threads") as executor:
        is_told(
            "what is submitted must be callable, and this is not: <Hostile",
            executor.submit,
            Hostile(),
        )
        assert list(executor.map(abs, [-1, -2], chunksize=HUGE)) == [1, 2]
        assert list(executor.map(abs, [-1, -2], buffersize=HUGE)) == [1, 2]


def test_what_is_meant_well_is_taken() -> None:
    assert list(outpace.map(abs, [-1], ordered=np.False_, starmap=np.False_, model="serial")) == [1]
    assert make_getter(headers="Accept: text/plain").headers == ("Accept: text/plain",)
    is_told("retry_failed needs the manifest", outpace.fetch, [], retry_failed="dns")
