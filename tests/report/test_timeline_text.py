"""Lanes in a terminal."""

import io
import re
from dataclasses import replace

import pytest

from outpace.record import metrics, states
from outpace.record.timeline import Lane, Timeline
from outpace.report.timeline_text import lanes_text, wants_colour

CODES = re.compile("\x1b\\[[0-9;]*m")


def row(text: str, name: str) -> str:
    """Return what is between the bars in a row."""
    return next(line for line in text.splitlines() if line.lstrip().startswith(name)).split("│")[1]


def test_a_character_is_what_most_of_its_moment_went_into():
    timeline = Timeline("threads", 0.0, 1.0, 2, 1, [Lane("thread")])
    for began, state in ((0.0, states.RUNNING), (0.25, states.GIL), (0.5, states.NETWORK)):
        timeline.intervals.add(0, state, began, began + 0.25)

    cells = row(lanes_text([timeline], 66), "thread 0")

    quarter = len(cells) // 4
    assert cells[0] == "█"
    assert cells[quarter + 1] == "x"
    assert cells[2 * quarter + 1] == "."
    assert cells[-1] == " "


@pytest.mark.parametrize("width", [60, 80, 110, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_it_fits_the_width(threads, asyncio, width, colour):
    text = CODES.sub("", lanes_text([threads, asyncio], width, colour=colour))

    drawn = [line for line in text.splitlines() if "│" in line]
    assert max(map(len, drawn)) <= width
    assert len(drawn) >= 2 + 2 + 2 + 2


def test_the_length_of_a_row_is_the_makespan(threads, asyncio):
    asyncio.ended = 0.5
    text = lanes_text([threads, asyncio], 110)

    assert len(row(text, "slots 0-3")) == pytest.approx(len(row(text, "thread 0")) / 2, abs=1)


def test_a_short_one_is_drawn_enlarged_beside_itself(threads, asyncio):
    text = lanes_text([threads, asyncio], 110)

    assert re.search(r"asyncio, 40 at once: 50 ms \(right: .[\d.]+\)", text)
    line = next(line for line in text.splitlines() if "event loop" in line)
    assert line.count("│") == 4


def test_it_reads_without_colour_and_with_colour_says_the_same(threads, asyncio):
    plain, coloured = (lanes_text([threads, asyncio], 100, colour=c) for c in (False, True))

    assert "\x1b" not in plain
    assert "\x1b[0;31m" in coloured  # the GIL
    assert CODES.sub("", coloured) == plain
    assert "x waiting for the GIL" in plain


def test_a_terminal_without_unicode_gets_plain_characters(threads, asyncio):
    lanes_text([threads, asyncio], 100, ascii_only=True).encode("ascii")


def test_work_that_fills_a_part_of_its_item_shows_as_height():
    timeline = Timeline("serial", 0.0, 1.0, 2, 1, [Lane("main")])
    timeline.intervals.add(0, states.RUNNING, 0.0, 1.0, 0.25, sampled=True)
    timeline.intervals.add(0, states.WAITING, 0.0, 1.0, 0.75, sampled=True)

    text = lanes_text([timeline], 80)

    assert set(row(text, "main thread")) == {"▂"}
    assert "75% waiting, 25% on CPU" in text


def test_lines_that_blocked_the_loop_are_named_and_cannot_steer_the_terminal(asyncio):
    asyncio.blocked[0] = replace(asyncio.blocked[0], label="\x1b]0;owned\x07 \u202e")

    text = lanes_text([asyncio])

    assert "  ! app.py:7 `time.sleep(" in text
    assert "in ?]0;owned? ?: await asyncio.sleep" in text


def test_over_a_row_there_is_as_much_of_a_state_as_it_had_of_the_time(threads):
    cells = row(lanes_text([threads], 110), "thread 0")
    sums = metrics.seconds_by_state(threads)[0]

    for state in (states.RUNNING, states.GIL, states.READY):
        expected = sums[state] / threads.span_s * len(cells)
        assert cells.count(states.STATES[state].glyph) == pytest.approx(expected, abs=1.5)


def test_nothing_to_show_is_said_so():
    assert lanes_text([]) == "there is no timeline to show"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "wanted"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_whose_user_did_not_refuse_it(
    monkeypatch, stream, variables, wanted
):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert wants_colour(stream) is wanted
