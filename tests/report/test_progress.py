"""Progress: what it says, how often, where, and what it costs."""

import io
import re
import sys
import types
from dataclasses import dataclass

import pytest

from outpace.errors import UsageTypeError
from outpace.report.progress import (
    WORKERS_SHOWN,
    LogLines,
    Progress,
    Screen,
    Snapshot,
    make_progress,
)


@dataclass
class Counts:
    settled: int = 0
    failed: int = 0
    timed_out: int = 0
    lost: int = 0
    cancelled: int = 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Closed(Terminal):
    def write(self, text):
        raise BrokenPipeError


def shown_of(total, steps, **more):
    """Return the snapshots that are shown when items settle at these times."""
    shown: list[Snapshot] = []
    progress = Progress(shown.append, **more)
    progress.started(total, now=0.0)
    for now, settled in steps:
        progress.look(Counts(settled), 4, now)
    return shown, progress


def test_it_is_shown_ten_times_a_second_however_often_it_is_told():
    shown, _ = shown_of(100_000, [(n / 1000, n) for n in range(3000)])

    assert 25 <= len(shown) <= 30


def test_the_speed_is_that_of_late_and_the_time_left_follows_from_it():
    slow = [(n / 10, n) for n in range(1, 100)]  # ten items a second
    fast = [(10 + n / 10, 100 + 100 * n) for n in range(1, 100)]  # and then a thousand

    shown, _ = shown_of(20_000, slow + fast)

    assert shown[50].items_per_s == pytest.approx(10, rel=0.05)
    assert shown[-1].items_per_s == pytest.approx(1000, rel=0.05)
    assert shown[-1].left_s == pytest.approx((20_000 - shown[-1].settled) / 1000, rel=0.05)


def test_of_an_endless_job_no_end_is_told():
    shown, _ = shown_of(None, [(1.0, 10)])

    assert shown[0].left_s is None
    assert str(shown[0]) == "10  10 items/s  4 in flight"


def test_what_failed_and_what_was_lost_are_told_together():
    shown: list[Snapshot] = []
    progress = Progress(shown.append)
    progress.started(10, now=0.0)
    progress.look(Counts(5, failed=1, timed_out=1, lost=1), 3, 1.0)

    assert str(shown[0]) == "5/10 (50%)  5 items/s  3 failed  3 in flight  1 s left"


def test_the_end_is_shown_whenever_it_comes():
    shown, progress = shown_of(10, [])
    progress.finished(Counts(10), now=0.05)

    assert [one.finished for one in shown] == [True]
    assert str(shown[0]) == "10/10 (100%)  200 items/s  took 50 ms"


def test_it_says_how_long_it_can_wait_to_be_told():
    _, progress = shown_of(10, [(0.25, 1)])

    assert progress.patience(0.30) == pytest.approx(0.05)
    _, plain = shown_of(10, [], every=10.0)
    assert plain.patience(1.0) == 9.0
    assert plain.patience(60.0) == 0.001


def test_a_terminal_is_written_over_and_told_what_each_worker_is_on():
    terminal = Terminal()
    screen = Screen(terminal)
    screen(Snapshot(9, 1, 0, 2, 1.0, 1.0, 8.0, ((0, 17, 0.5), (1, 5, 60.0))))
    first = terminal.getvalue()
    screen(Snapshot(9, 2, 0, 2, 2.0, 1.0, 7.0))

    assert first.startswith("\r\x1b[J1/9")
    lines = first.splitlines()[-2:]
    assert lines == ["  worker 1: item 5 for 60 s", "  worker 0: item 17 for 500 ms"]
    assert terminal.getvalue()[len(first) :].startswith("\r\x1b[2A\x1b[J2/9")


def test_many_workers_do_not_fill_the_screen():
    terminal = Terminal()
    on = tuple((n, n, 1.0) for n in range(100))
    Screen(terminal)(Snapshot(9, 1, 0, 2, 1.0, 1.0, 8.0, on))

    assert terminal.getvalue().count("\n") == WORKERS_SHOWN + 1
    assert terminal.getvalue().endswith("  and 92 more")


def test_no_line_is_wider_than_the_terminal(monkeypatch):
    terminal = Terminal()
    with monkeypatch.context() as narrow:  # pytest asks, too, and with arguments
        narrow.setattr("shutil.get_terminal_size", lambda: (20, 24))
        Screen(terminal)(Snapshot(10**9, 10**8, 5, 1000, 1e4, 1e6, 1e5, ((0, 10**12, 1.0),)))

    text = re.sub("\x1b\\[[0-9]*[A-Z]", "", terminal.getvalue()).replace("\r", "")
    assert max(map(len, text.split("\n"))) < 20


def test_a_pipe_gets_plain_lines_and_few_of_them():
    pipe = io.StringIO()
    progress = make_progress(wanted=True, stream=pipe)
    progress.started(1000, now=0.0)
    for n in range(1, 300):
        progress.look(Counts(n), 1, n / 10)
    progress.finished(Counts(1000), now=30.0)

    lines = pipe.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("outpace: ") and "\x1b" not in line for line in lines)
    assert lines[-1] == "outpace: 1,000/1,000 (100%)  33.3 items/s  took 30 s"


@pytest.mark.parametrize("display", [Screen, LogLines])
def test_a_stream_that_fails_ends_the_drawing_and_not_the_work(display):
    shown = display(Closed())

    shown(Snapshot(9, 1, 0, 2, 1.0, 1.0, 8.0))
    shown(Snapshot(9, 2, 0, 2, 1.0, 1.0, 8.0))


def test_a_notebook_gets_an_output_that_changes(monkeypatch):
    updates = []

    class Handle:
        def update(self, content, *, raw):
            updates.append((content["text/plain"], raw))

    def display(content, *, raw, display_id):
        assert raw
        assert display_id
        updates.append((content["text/plain"], raw))
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    inner = types.ModuleType("IPython.display")
    inner.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)

    progress = make_progress(wanted=True)
    progress.started(4, now=0.0)
    progress.look(Counts(1), 3, 1.0)
    progress.look(Counts(2), 2, 2.0)

    assert [text.split()[0] for text, _ in updates] == ["1/4", "2/4"]


def test_a_terminal_with_ipython_is_no_notebook(monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = types.SimpleNamespace
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    terminal = Terminal()

    progress = make_progress(wanted=True, stream=terminal)
    progress.started(1, now=0.0)
    progress.finished(Counts(1), now=1.0)

    assert terminal.getvalue().endswith("took 1 s\n")


def test_a_function_is_called_with_how_far_it_is():
    seen = []
    progress = make_progress(seen.append)
    progress.on = lambda: [(0, 7, 0.5), (1, None, 0.0)]
    progress.started(10, now=0.0)
    progress.look(Counts(4), 2, 1.0)

    assert (seen[0].settled, seen[0].in_flight, seen[0].on) == (4, 2, ((0, 7, 0.5),))


def test_nothing_is_made_of_nothing():
    assert make_progress(None) is None
    assert make_progress(wanted=False) is None


@pytest.mark.parametrize("wanted", ["yes", 1, 0, 2.5, []])
def test_anything_else_is_refused(wanted):
    with pytest.raises(UsageTypeError, match="progress is True, None or a function"):
        make_progress(wanted)
