"""How a run ends before its time: the line that says so, and whose the signal is."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import pytest

from outpace.flow.data import Failure
from outpace.flow.dispatch import Dispatcher, Start
from outpace.flow.ending import Terminated, fates, tell, terminable
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome

posix = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


def dispatcher(total: int | None) -> Dispatcher:
    """Make one of ten items of which two are done, one has failed, and one is out."""
    from array import array

    from outpace.flow.data import Report

    made = Dispatcher(
        limit=Fixed(4), order=AsTheyCome(), slots=4, total=total, keep_order_window=False
    )
    made.admit(list(range(10)), 0.0)
    for action in made.decide(0.0):
        if isinstance(action, Start) and action.chunk.first < 3:
            index = action.chunk.first
            failures = {0: Failure(OSError())} if index == 2 else {}
            times = array("d", [9.0])
            made.observe(Report([index], [index], times, times, failures), 9.0)
        if made.begun == 4:
            break
    return made


def test_the_fates_of_all_items_are_counted() -> None:
    assert fates(dispatcher(10), 1) == "2 done, 1 failed, 1 cut short, 6 not started"


def test_where_nobody_knows_how_many_there_are_the_rest_is_not_started() -> None:
    assert fates(dispatcher(None), 1).endswith("1 cut short, the rest not started")


@pytest.mark.parametrize(
    ("error", "word"), [(KeyboardInterrupt(), "interrupted"), (Terminated(143), "terminated")]
)
def test_it_is_told_in_one_line_on_stderr(
    error: BaseException, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(dispatcher(10), 1, error)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"outpace: {word}: 2 done, 1 failed, 1 cut short, 6 not started\n"


def test_without_a_stderr_nobody_complains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    tell(dispatcher(10), 1, KeyboardInterrupt())


# Whose the signal is.


@pytest.fixture
def sigterm(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield lambda: signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


@posix
def test_sigterm_unwinds_while_a_run_is_on_and_exits_with_143(sigterm: Any) -> None:
    with pytest.raises(SystemExit) as raised, terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert isinstance(raised.value, Terminated)
    assert raised.value.code == 143
    assert sigterm() is signal.SIG_DFL


@posix
def test_of_two_runs_the_last_one_lets_go(sigterm: Any) -> None:
    one, two = terminable(), terminable()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert sigterm() not in (signal.SIG_DFL, signal.SIG_IGN)
    two.__exit__(None, None, None)
    assert sigterm() is signal.SIG_DFL


@posix
def test_a_handler_of_the_users_is_left_alone(sigterm: Any) -> None:
    def theirs(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, theirs)
    with terminable():
        assert sigterm() is theirs
    assert sigterm() is theirs
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with terminable():
        assert sigterm() is signal.SIG_IGN


@posix
def test_a_handler_that_an_item_sets_meanwhile_stays(sigterm: Any) -> None:
    with terminable():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert sigterm() is signal.SIG_IGN


@posix
def test_a_run_in_another_thread_leaves_signals_alone(sigterm: Any) -> None:
    seen: list[Any] = []

    def work() -> None:
        with terminable():
            seen.append(sigterm())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_ctrl_c_while_workers_are_closed_has_them_closed_without_waiting() -> None:
    from types import SimpleNamespace

    from outpace.flow.run import _close

    said: list[str] = []

    def close() -> None:
        said.append("close")
        if len(said) == 1:
            raise KeyboardInterrupt

    workers = SimpleNamespace(close=close, usage=None)
    flow = SimpleNamespace(workers=workers, closed=lambda: None, hurry=lambda: said.append("hurry"))
    with pytest.raises(KeyboardInterrupt):
        _close(flow)  # type: ignore[arg-type]
    _close(flow)  # type: ignore[arg-type]
    assert said == ["close", "hurry", "close"]
