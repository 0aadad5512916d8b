"""An exception comes back with what it came from, and with what there is to say of it."""

from __future__ import annotations

import asyncio
import pickle
import threading
import traceback
from typing import Any

import pytest

import outpace
from outpace.errors import OutpaceError, RemoteError, SetupError
from outpace.hosts.channel.codec import pack_error
from outpace.hosts.channel.exceptions import MOST, behind
from outpace.hosts.channel.framing import Packed

MODELS = ["serial", "threads", "asyncio", "processes"]
every = pytest.mark.parametrize("model", MODELS)


class Locked(Exception):  # noqa: N818 - what it is
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def refuse() -> None:
    raise ValueError("refuses to be unpickled")


class Reluctant(Exception):  # noqa: N818 - what it is
    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, ()


class StatusError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Secretive(Exception):  # noqa: N818 - what it is
    @property
    def __cause__(self) -> Any:
        raise RuntimeError("nobody's business")


def missing(_item: Any = None) -> None:
    raise KeyError("port")


def from_cause(item: Any = None) -> None:
    try:
        missing()
    except KeyError as error:
        raise ValueError(f"no setting in {item}") from error


def in_context(item: Any = None) -> None:
    try:
        from_cause(item)
    except ValueError:
        int("x")


def from_none(_item: Any = None) -> None:
    try:
        missing()
    except KeyError:
        raise ValueError("hidden") from None


async def from_cause_later(item: Any) -> None:
    await asyncio.sleep(0)
    from_cause(item)


def raised(function: Any) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def sent(error: BaseException) -> BaseException:
    """Send an exception as a worker does."""
    found = Packed(bytes(pack_error(error).pickle), []).load()
    assert isinstance(found, BaseException)
    return found


# In a pickle.


def test_a_cause_a_context_and_what_those_came_from_travel() -> None:
    error = sent(raised(in_context))
    assert isinstance(error, ValueError)
    assert error.__cause__ is None
    assert isinstance(error.__context__, ValueError)
    assert str(error.__context__) == "no setting in None"
    assert isinstance(error.__context__.__cause__, KeyError)
    shown = "".join(traceback.format_exception(error))
    assert shown.index("KeyError") < shown.index("direct cause") < shown.index("During handling")


def test_what_a_traceback_would_not_show_stays_behind() -> None:
    assert list(behind(raised(from_none))) == []
    error = sent(raised(from_none))
    assert error.__context__ is None


def test_an_exception_that_came_from_nothing_is_pickled_as_ever() -> None:
    assert b"channel.exceptions" not in bytes(pack_error(raised(missing)).pickle)


@pytest.mark.parametrize("cause", [Locked(), Reluctant("one two")], ids=["pickled", "read"])
def test_a_cause_that_cannot_travel_has_a_stand_in(cause: Exception) -> None:
    error = ValueError("mine")
    error.__cause__ = cause
    found = sent(error)
    assert type(found) is ValueError
    assert isinstance(found.__cause__, RemoteError)
    assert type(cause).__name__ in str(found.__cause__)


def test_an_exception_that_cannot_travel_itself_still_has_its_cause() -> None:
    error = Locked()
    error.__cause__ = KeyError("port")
    found = sent(error)
    assert isinstance(found, RemoteError)
    assert isinstance(found.__cause__, KeyError)


def test_a_circle_and_an_endless_line_end() -> None:
    one, other = KeyError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    assert str(sent(one).__cause__) == "'other'"

    last = first = KeyError(0)
    for n in range(1, 100):
        last.__cause__ = KeyError(n)
        last = last.__cause__
    assert len(list(behind(sent(first)))) == MOST


def test_an_exception_that_will_not_say_where_it_came_from_travels_alone() -> None:
    assert str(sent(Secretive("mine"))) == "mine"


# In a run.


@pytest.mark.slow
@every
@pytest.mark.parametrize("fn", [from_cause, from_cause_later], ids=["plain", "coroutine"])
def test_a_returned_exception_says_as_much_as_a_raised_one(model: str, fn: Any) -> None:
    with pytest.raises(ValueError, match="no setting in a") as caught:
        list(outpace.map(fn, ["a.toml"], model=model))
    (returned,) = outpace.map(fn, ["a.toml"], model=model, on_error="return")
    (outcome,) = outpace.run(fn, ["a.toml"], model=model)

    for error in (caught.value, returned, outcome.error):
        assert isinstance(error, ValueError)
        assert isinstance(error.__cause__, KeyError)
        *of_worker, of_item = error.__notes__
        assert of_item == "outpace: this was item 0: 'a.toml'"
        assert len(of_worker) == model.startswith("processes")
        told = "".join(traceback.format_exception(error))
        assert "in missing" in told
        assert "in from_cause" in told
        assert told.count("this was item 0") == 1


@every
def test_one_exception_that_many_items_raise_is_noted_once(model: str) -> None:
    same = LookupError("no more")

    def refuse(_item: int) -> None:
        raise same

    errors = list(outpace.map(refuse, range(20), model=model, on_error="return", chunk=5))
    assert {len(error.__notes__) for error in errors} == {1 + model.startswith("processes")}
    outcomes = list(outpace.run(refuse, range(20), model=model))
    for outcome in outcomes:
        ours = [note for note in outcome.error.__notes__ if note.startswith("outpace: ")]
        assert len(ours) <= 2  # one of this run, and where it is the same object one of the first


@every
def test_an_exception_that_passes_through_two_runs_is_noted_by_both(model: str) -> None:
    def inner(item: str) -> list[Any]:
        return list(outpace.map(from_cause, [f"{item}.toml"], model="serial"))

    (error,) = outpace.map(inner, ["a"], model=model, on_error="return")
    ours = [note for note in error.__notes__ if note.startswith("outpace: ")]
    assert ours == ["outpace: this was item 0: 'a.toml'", "outpace: this was item 0: 'a'"]
    assert isinstance(error.__cause__, KeyError)


def test_a_note_is_a_plain_string_to_whoever_pickles_it() -> None:
    (error,) = outpace.map(missing, [1], model="serial", on_error="return")
    found = pickle.loads(pickle.dumps(error))
    assert found.__notes__ == error.__notes__ == ["outpace: this was item 0: 1"]
    assert type(found.__notes__[0]) is str


@pytest.mark.parametrize("model", ["processes", "processes+threads"])
def test_a_setup_that_fails_at_its_exit_says_why(model: str) -> None:
    class Session:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            raise ConnectionResetError("no goodbye")

    with pytest.raises(SetupError) as caught:
        list(outpace.map(lambda item, _: item, [1], model=model, setup=Session))
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_a_future_has_the_cause_too() -> None:
    with outpace.Executor(workers=1) as executor:
        error = executor.submit(from_cause, "a.toml").exception()
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, KeyError)
    assert not isinstance(error, OutpaceError)


def test_an_exception_with_an_init_of_its_own_comes_back_as_itself_with_all_it_holds() -> None:
    def work(_item: int) -> None:
        raise StatusError(500, "gave up") from StatusError(404, "not found")

    with pytest.raises(StatusError, match="500: gave up") as caught:
        list(outpace.map(work, [0], model="processes"))
    assert caught.value.status == 500
    cause = caught.value.__cause__
    assert isinstance(cause, StatusError)
    assert (cause.status, str(cause)) == (404, "404: not found")
