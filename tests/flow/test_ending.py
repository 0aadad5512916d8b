"""How a run ends before its time: the line that says so."""

from __future__ import annotations

import sys
from types import TracebackType

import pytest

from outpace.flow.credit import credit_for
from outpace.flow.data import Failure
from outpace.flow.dispatch import Dispatcher, Start
from outpace.flow.ending import fates, tell, without_ours
from outpace.flow.limit import Fixed
from outpace.flow.order import AsTheyCome
from outpace.flow.signals import Terminated


def dispatcher(total: int | None) -> Dispatcher:
    """Make one of ten items of which two are done, one has failed, and one is out."""
    from array import array

    from outpace.flow.data import Report

    made = Dispatcher(
        limit=Fixed(4),
        order=AsTheyCome(),
        credit=credit_for(4),
        total=total,
        keep_order_window=False,
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


def test_a_ctrl_c_while_workers_are_closed_has_them_closed_without_waiting() -> None:
    from types import SimpleNamespace

    from outpace.flow.run import _close

    said: list[str] = []

    def close() -> None:
        said.append("close")
        if len(said) == 1:
            raise KeyboardInterrupt

    workers = SimpleNamespace(close=close, usage=None)
    flow = SimpleNamespace(
        parent=0,
        workers=workers,
        source=None,
        closed=lambda: None,
        hurry=lambda: said.append("hurry"),
    )
    with pytest.raises(KeyboardInterrupt):
        _close(flow)  # type: ignore[arg-type]
    _close(flow)  # type: ignore[arg-type]
    assert said == ["close", "hurry", "close"]


def test_an_instruction_that_is_on_no_line_is_shown_on_the_first_one_of_its_function() -> None:
    def outer() -> TracebackType:
        here = sys._getframe()

        def inner() -> object:
            return here

        return TracebackType(None, inner() and here, 0, -1)  # the cell of `here` is made on no line

    trace = outer()
    assert trace.tb_lineno is None
    error = without_ours(KeyboardInterrupt().with_traceback(trace))
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_lineno == trace.tb_frame.f_code.co_firstlineno
