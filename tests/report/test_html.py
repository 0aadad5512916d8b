"""The page, in a browser: it is quiet, it fetches nothing, it believes no name, and it can be used."""

import json
import re

import pytest

from outpace.record import metrics, states
from outpace.record.lanes import rows
from outpace.record.raster import rasterise
from outpace.record.timeline import Lane, Timeline
from outpace.report.html import PAGE_ROWS
from outpace.report.html import page as page_of

in_browser = pytest.mark.needs_chromium
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'  # as in conftest.py
OVER = """
    const over = document.querySelector(`#lanes-${arguments[0]} .u-over`);
    over.scrollIntoView({ block: "center" });
    const box = over.getBoundingClientRect();
    return [box.x, box.y, box.width, box.height];
"""
ROW = 17  # pixels from one lane to the next


def frames(browser) -> None:
    """Wait until what was asked for is drawn."""
    browser.run(
        "window.drawn = 0; const f = () => { if (++window.drawn < 3) requestAnimationFrame(f); }; f();"
    )
    browser.wait_for("return window.drawn >= 3", "a frame")


def tip(browser) -> str:
    return browser.run(
        "const t = document.getElementById('tip'); return t.hidden ? '' : t.innerText"
    )


def span(browser) -> list[float]:
    return browser.run("return window.outpace.range()")


# Without a browser.


def test_names_are_escaped_in_markup_and_in_the_data(race):
    text = page_of([race.entrants[0].timeline, race.entrants[1].timeline], title=EVIL)

    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("</script>") == 3
    data = re.search(r'id="data">(.*?)</script>', text)[1]
    assert EVIL in json.loads(data)["timelines"][1]["items"]["label"]


def test_where_the_time_went_is_drawn_for_each_and_adds_up(threads, asyncio):
    text = page_of([threads, asyncio])
    bars = re.findall(r"<svg viewBox=.*?</svg>", text)

    assert len(bars) == 2
    for timeline, bar in zip((threads, asyncio), bars, strict=True):
        sizes = {
            int(n): float(w)
            for n, w in re.findall(r'class="f(\d+)" x="[^"]+" width="([^"]+)"', bar)
        }
        assert sum(sizes.values()) == pytest.approx(100, abs=0.1)
        for state, share in enumerate(metrics.shares(timeline)):
            assert sizes.get(state, 0) == pytest.approx(100 * share, abs=0.01)


def test_a_page_of_columns_that_are_all_alike_has_them_once(threads):
    alike = page_of([threads])
    threads.items.attempt[0] = 2

    assert '"attempt":1,' in alike
    assert '"attempt":[2,1,1,1],' in page_of([threads])


def test_the_policy_names_every_script_and_style_and_allows_nothing_else(threads):
    text = page_of([threads])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]

    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 3
    assert "http" not in policy


def test_a_page_of_nothing_says_so():
    assert "no timeline to show" in page_of([])


# In one.


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_race_opens_quietly_and_asks_nobody_for_anything(race, page, browser, theme):
    path = page(race)
    browser.prefer(theme)
    browser.open(path)
    frames(browser)

    assert browser.complaints() == []
    assert {re.sub(":.*", ":", url) for url in browser.requests()} <= {"file:", "data:"}
    background = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 30)"}[theme]


@pytest.mark.slow
@in_browser
def test_a_name_that_looks_like_markup_is_text(race, page, browser):
    browser.open(page(race))

    shown = browser.run("return document.body.innerText")
    assert shown.count("<script>alert(1)</script>") >= 5  # heading, reason, note, machine, place
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return document.querySelectorAll('script').length") == 3
    assert browser.complaints() == []

    x, y, width, _ = browser.run(OVER, 1)
    browser.run("document.getElementById('fit-1').click()")
    frames(browser)
    x, y, width, _ = browser.run(OVER, 1)
    # The loop, then slots 0-1, 2-3, …
    browser.mouse("mouseMoved", x + width * 0.5, y + ROW * 4 + 5)
    assert EVIL in tip(browser)
    assert browser.run("return document.querySelectorAll('#tip script, #tip img').length") == 0


@pytest.mark.slow
@in_browser
def test_pointing_at_an_item_tells_what_it_did(race, page, browser):
    browser.open(page(race))
    x, y, width, _ = browser.run(OVER, 0)

    browser.mouse("mouseMoved", x + width * 0.51, y + 5)
    words = tip(browser)

    assert "threads, ≈ thread 0, at 51" in words
    assert "number 2" in words
    assert "took 500 ms, CPU 190 ms" in words
    assert "on CPU: 37.5 ms of 50 ms (amount only)" in words
    assert "ready, no core free: 12.5 ms of 50 ms" in words

    browser.mouse("mouseMoved", x + width * 0.51, y - 60)
    assert tip(browser) == ""


@pytest.mark.slow
@in_browser
def test_wheel_drag_keys_and_buttons_move_through_time(race, page, browser):
    browser.open(page(race))
    x, y, width, _ = browser.run(OVER, 0)
    assert span(browser) == [0, 1]

    browser.mouse("mouseWheel", x + width / 4, y + 5, deltaX=0, deltaY=-240)
    browser.wait_for("return window.outpace.range()[1] < 1", "the zoom")
    began, ended = span(browser)
    assert began < 0.25 < ended
    assert (0.25 - began) / (ended - began) == pytest.approx(0.25, abs=0.01)  # stays where it was

    browser.mouse("mousePressed", x + width / 2, y + 5, button="left", clickCount=1)
    browser.mouse("mouseMoved", x + width / 4, y + 5, button="left", buttons=1)
    browser.mouse("mouseReleased", x + width / 4, y + 5, button="left", clickCount=1)
    moved = span(browser)
    assert moved[0] - began == pytest.approx((ended - began) / 4, rel=0.02)

    browser.key("0")
    assert span(browser) == [0, 1]
    browser.key("+")
    assert span(browser) == [0.25, 0.75]
    browser.run("document.getElementById('do-right').click()")
    assert span(browser) == pytest.approx([0.35, 0.85])
    browser.run("document.getElementById('fit-1').click()")
    assert span(browser) == pytest.approx([0, 0.05])
    frames(browser)
    assert "50 ms" in browser.run("return document.getElementById('seen').textContent")
    assert browser.complaints() == []


@pytest.mark.slow
@in_browser
def test_each_timeline_can_have_an_axis_of_its_own(race, page, browser):
    browser.open(page(race))
    x, y, width, _ = browser.run(OVER, 1)
    browser.mouse("mouseMoved", x + width / 2, y + 5)
    assert tip(browser) == ""  # the timeline of 50 ms ends before

    browser.run("document.getElementById('do-own').click()")
    frames(browser)
    x, y, width, _ = browser.run(OVER, 1)
    browser.mouse("mouseMoved", x + width / 2, y + 5)
    assert "event loop, at 25" in tip(browser)

    browser.mouse("mouseWheel", x + width / 2, y + 5, deltaX=0, deltaY=-200)
    browser.wait_for("return window.outpace.range()[1] < 1", "the zoom")
    frames(browser)
    began, ended = span(browser)
    assert (began + ended) / 2 == pytest.approx(0.5, abs=0.01)
    browser.mouse("mouseMoved", x + width / 2 + 1, y + 5)
    assert "event loop, at 25" in tip(browser)


@in_browser
def test_the_page_shows_the_sums_that_python_makes(race, page, browser):
    browser.open(page(race))
    for n, model in enumerate(("threads", "asyncio")):
        timeline = race.timeline(model)
        seen = browser.run(
            "const o = window.outpace, t = o.timelines[arguments[0]];"
            "const s = o.strips(t, 50, 0, t.span_s);"
            "return [o.amounts(t, 50, 0, t.span_s).map((m) => [...m].map(([k, v]) => [k, [...v]])),"
            " [...s.busy], [...s.flight]]",
            n,
        )
        drawn = rows(timeline, PAGE_ROWS)
        expected = rasterise(timeline, drawn, 50, timeline.began, timeline.ended)
        for found, wanted in zip(seen[0], expected, strict=True):
            assert {state for state, _ in found} == set(wanted)
            for state, line in found:
                assert line == pytest.approx(wanted[state], abs=1e-3)
        assert seen[1] == pytest.approx(metrics.cores_busy(timeline, 50), abs=1e-3)
        assert seen[2] == pytest.approx(metrics.in_flight(timeline, 50), abs=1e-3)


@pytest.mark.slow
@in_browser
def test_the_lanes_have_the_colours_of_their_states(race, page, browser):
    browser.prefer("light")
    browser.open(page(race))
    frames(browser)

    counts = browser.run("""
        const canvas = document.querySelector("#lanes-0 canvas");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const counts = {};
        for (let n = 0; n < pixels.length; n += 4) {
          const colour = [...pixels.slice(n, n + 3)].join(",");
          counts[colour] = (counts[colour] || 0) + 1;
        }
        return counts;
    """)

    gil, cpu = counts["213,94,0"], counts["0,158,115"]
    shares = metrics.shares(race.timeline("threads"))
    assert gil / cpu == pytest.approx(shares[states.GIL] / shares[states.RUNNING], rel=0.05)


@pytest.mark.slow
@in_browser
def test_the_names_of_the_lanes_stay_through_every_redrawing(race, page, browser):
    names = """
        const canvas = document.querySelector("#lanes-0 canvas");
        const pixels = canvas.getContext("2d").getImageData(0, 0, 115, canvas.height).data;
        let dark = 0;
        for (let n = 0; n < pixels.length; n += 4) {
          if (pixels[n + 3] > 200 && pixels[n] + pixels[n + 1] + pixels[n + 2] < 400) dark += 1;
        }
        return dark;
    """
    browser.prefer("light")
    browser.open(page(race))
    frames(browser)
    before = browser.run(names)
    assert before > 50

    for key in "+-+00":
        browser.key(key)
        frames(browser)
        assert browser.run(names) == before


@pytest.mark.slow
@in_browser
def test_odd_timelines_open_quietly_too(browser, tmp_path):
    nothing = Timeline("nothing", 5.0, 5.0, 1, 1)
    idle = Timeline("idle", 0.0, 1.0, 1, 1, [Lane("main")])
    moment = Timeline("moment", 0.0, 1e-6, 1, 1, [Lane("main")])
    moment.items.add(0, 0, 0.0, 1e-6, label="\ud800")
    moment.intervals.add(0, states.RUNNING, 0.0, 1e-6)
    alike = Timeline("alike", 0.0, 3.0, 1, 1, [Lane("process", n) for n in range(70)])
    for n in range(70):
        alike.items.add(n, n, 1.0, 2.0)
    path = tmp_path / "page.html"
    for timelines in ([nothing], [idle], [moment], [nothing, idle, moment, alike]):
        path.write_bytes(page_of(timelines).encode("utf-8", "backslashreplace"))
        browser.open(path)
        for name in ("in", "out", "own", "all", "left", "right"):
            browser.run(f"document.getElementById('do-{name}').click()")
            frames(browser)
        for n in range(len(timelines)):
            x, y, width, _ = browser.run(OVER, n)
            browser.mouse("mouseMoved", x + width / 2, y + 5)
    assert browser.complaints() == []


@pytest.mark.slow
@in_browser
def test_ten_thousand_items_stay_smooth(page, browser, tmp_path, stopwatch):
    timeline = Timeline("m", 0.0, 32.0, 2, 32, [Lane("thread", 0, n) for n in range(32)])
    for n in range(10_000):
        lane, began = n % 32, n // 32 * 0.1
        timeline.items.add(n, lane, began, began + 0.09, label=f"item {n}")
        for part, state in enumerate((states.RUNNING, states.NETWORK, states.GIL)):
            timeline.intervals.add(lane, state, began + part * 0.03, began + (part + 1) * 0.03)
    path = tmp_path / "page.html"
    path.write_text(page_of([timeline]), encoding="utf-8")
    browser.open(path)

    seconds = stopwatch()
    browser.run("""
        const times = [];
        let n = 0;
        const step = () => {
          const before = performance.now();
          window.outpace.show(n / 10, 32 - n / 10);
          requestAnimationFrame(() => {
            times.push(performance.now() - before);
            if (++n < 20) step(); else window.times = times;
          });
        };
        step();
    """)
    times = sorted(browser.wait_for("return window.times", "twenty zooms"))

    # ms; 17 on a quiet machine, which is a frame. On a busy one the watch knows better.
    assert min(times[10], 1000 * seconds() / 20) < 100
    assert browser.complaints() == []
