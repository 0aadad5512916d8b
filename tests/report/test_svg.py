"""The picture: well-formed, and its numbers are those of the timeline."""

import re
import xml.etree.ElementTree as ET

import pytest

from outpace.record import metrics, states
from outpace.record.lanes import rows
from outpace.record.timeline import Lane, Timeline
from outpace.report.svg import svg
from outpace.report.svg_panel import PLOT, ROW, SVG_ROWS

SPACE = "{http://www.w3.org/2000/svg}"


def drawn(*timelines, **options) -> ET.Element:
    return ET.fromstring(svg(timelines, **options))


def areas(row: ET.Element) -> dict[int, float]:
    """Return the square pixels of each state in a row: of its outline, less that of the one below."""
    outlines = [
        (int(path.get("class")[1:]), area(path.get("d")))
        for path in row.iter(f"{SPACE}path")
        if re.fullmatch(r"s\d+", path.get("class"))
    ]
    lower = [size for _, size in outlines[1:]] + [0.0]
    return {state: size - under for (state, size), under in zip(outlines, lower, strict=True)}


def area(steps: str) -> float:
    """Return what lies between an outline and its base."""
    height = size = 0.0
    for step, length in re.findall(r"([hv])(-?\d+)", steps):
        if step == "v":
            height -= float(length)
        else:
            size += height * float(length)
    assert height == 0, "the outline does not come back to its base"
    return size


def panel(root: ET.Element, name: str, attribute: str = "data-model") -> ET.Element:
    return next(group for group in root.iter(f"{SPACE}g") if group.get(attribute) == name)


def lanes(group: ET.Element) -> list[ET.Element]:
    return [child for child in group.findall(f"{SPACE}g") if child.get("data-row")]


@pytest.mark.parametrize("attribute", ["data-model", "data-enlarged"])
def test_each_state_of_each_row_covers_as_much_as_was_measured(threads, asyncio, attribute):
    root = drawn(threads, asyncio)
    for timeline in (threads, asyncio):
        if attribute == "data-enlarged" and timeline is threads:
            continue
        group, sums = panel(root, timeline.model, attribute), metrics.seconds_by_state(timeline)
        width = float(group.get("data-width"))
        seen_rows = lanes(group)
        assert len(seen_rows) == len(rows(timeline, SVG_ROWS))
        for row, seen in zip(rows(timeline, SVG_ROWS), seen_rows, strict=True):
            found, covered = areas(seen), width * ROW / timeline.span_s / len(row.lanes)
            for state in range(states.IDLE):
                expected = sum(sums[lane][state] for lane in row.lanes) * covered
                # A column's height is rounded to a pixel: half of one off, at worst everywhere.
                assert found.get(state, 0) == pytest.approx(expected, abs=0.5 * width + 1)


def test_the_length_of_a_picture_is_the_makespan(threads, asyncio):
    root = drawn(threads, asyncio)

    assert float(panel(root, "threads").get("data-width")) == PLOT
    assert float(panel(root, "asyncio").get("data-width")) == pytest.approx(PLOT * 0.05)


def test_a_timeline_too_short_to_be_seen_is_drawn_enlarged_beside_itself(threads, asyncio):
    both, alone = svg([threads, asyncio]), svg([asyncio])

    assert 'data-enlarged="asyncio"' in both
    assert 'data-enlarged="threads"' not in both
    assert "data-enlarged" not in alone


def test_the_legend_has_what_occurs_and_nothing_else(threads):
    words = " ".join(drawn(threads).itertext())

    assert "waiting for the GIL" in words
    assert "ready, no core free" in words
    assert "waiting for the network" not in words


def test_what_is_sampled_is_marked_and_what_is_exact_is_not(threads, asyncio):
    assert "≈ thread 0" in svg([threads])
    assert "≈" not in svg([asyncio])


def test_names_are_text_and_never_markup(asyncio):
    text = svg([asyncio], title='"><script>alert(1)</script>\x00\x1b')

    assert "<script" not in text
    assert ET.fromstring(text).find(f"{SPACE}title").text == '"><script>alert(1)</script>'


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_a_theme_is_one_the_reader_or_the_caller_chooses(threads, theme):
    text = svg([threads], theme=theme)

    assert ("prefers-color-scheme" in text) == (theme == "auto")
    assert ("#12171e" in text) == (theme != "light")
    assert ("#ffffff" in text) == (theme != "dark")


def test_nothing_to_show_is_said_so():
    assert "no timeline" in svg([])
    ET.fromstring(svg([Timeline("serial", 1.0, 1.0, 1, 1, [Lane("main")])]))


def test_many_workers_many_lanes_and_many_items_stay_a_small_file():
    timeline = Timeline("m", 0.0, 10.0, 2, 160, [Lane("slot", n % 4, n) for n in range(160)])
    for n in range(20_000):
        began = n // 160 * 0.08
        timeline.intervals.add(n % 160, states.NETWORK, began, began + 0.07)
        timeline.items.add(n, n % 160, began, began + 0.07)

    assert len(svg([timeline])) < 400_000
