"""What showing costs: being told of progress, and each picture of a race of large runs.

    python bench/pictures.py [--repeat N] [--json F]

Progress: nanoseconds for a report that draws nothing, and what a second of drawing at its most often
takes of a core. Pictures: six timelines of 10,000 items and 30,000 intervals each, seconds and bytes.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from _show import against, head, save, show, spread

from outpace.record import states
from outpace.record.timeline import Lane, Timeline
from outpace.report import save as pictures
from outpace.report.chrome_trace import chrome_trace
from outpace.report.html import page
from outpace.report.png import png
from outpace.report.progress import EVERY, Progress, Screen
from outpace.report.svg import svg
from outpace.report.timeline_text import lanes_text

CALLS = 200_000
ITEMS, LANES, MODELS = 10_000, 32, 6
BUDGET_NS = 300  # a report; of short items, hundreds share one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    head()
    silent = [silent_ns() for _ in range(options.repeat)]
    drawn = [drawing_s() for _ in range(options.repeat)]
    rows = [
        ["a report that draws nothing", f"{spread(silent)} ns", against(min(silent), BUDGET_NS)],
        ["a drawing, eight workers", f"{spread(drawn, 1e-6)} us", ""],
        ["drawing all the time", f"{100 * min(drawn) / EVERY:.2f} % of a core", ""],
    ]
    show("Progress", ["what", "cost", "budget"], rows)
    timelines = [large(n) for n in range(MODELS)]
    costs: dict[str, tuple[list[float], int]] = {}
    for name, draw in drawings(timelines).items():
        times = []
        for _ in range(options.repeat):
            before = time.perf_counter()
            result = draw()
            times.append(time.perf_counter() - before)
        costs[name] = times, len(result)
    table = [[name, spread(times), f"{size / 1e6:.2f}"] for name, (times, size) in costs.items()]
    title = f"Pictures of {MODELS} timelines of {ITEMS:,} items"
    show(title, ["form", "seconds", "MB"], table)
    save(options.json, {"silent_ns": silent, "drawing_s": drawn, "pictures": costs})


def silent_ns() -> float:
    """Return the nanoseconds of telling a progress something that it does not show."""
    counts = SimpleNamespace(settled=1, failed=0, timed_out=0, lost=0)
    progress = Progress(lambda _: None)
    progress.started(None, now=0.0)
    before = time.perf_counter()
    for _ in range(CALLS):
        progress.look(counts, 4, 0.05)
    return (time.perf_counter() - before) / CALLS * 1e9


def drawing_s() -> float:
    """Return the CPU seconds of one drawing on a terminal."""
    counts = SimpleNamespace(settled=0, failed=0, timed_out=0, lost=0)
    progress = Progress(Screen(io.StringIO()), on=lambda: [(n, n, 0.0) for n in range(8)])
    progress.started(1_000_000, now=0.0)
    before = time.process_time()
    for n in range(1000):
        counts.settled = n
        progress.look(counts, 8, 1.0 + n)
    return (time.process_time() - before) / 1000


def large(seed: int) -> Timeline:
    """Make a timeline with as many items as one keeps, no two lanes alike."""
    timeline = Timeline(f"model {seed}", 0.0, 0.0, 2, LANES)
    timeline.lanes = [Lane("thread", 0, n) for n in range(LANES)]
    ends = [0.0] * LANES
    for n in range(ITEMS):
        lane = n % LANES
        began, length = ends[lane], 0.02 + (n * 7919 + seed) % 97 / 1000
        label = f"http://127.0.0.1/page-{n}.html"
        timeline.items.add(n, lane, began, began + length, cpu_s=length / 3, label=label)
        for part, state in enumerate((states.RUNNING, states.NETWORK, states.GIL)):
            since = began + part * length / 3
            timeline.intervals.add(lane, state, since, since + length / 3)
        ends[lane] = began + length
    timeline.ended = max(ends)
    return timeline


def drawings(timelines: list[Timeline]) -> dict[str, Callable[[], Any]]:
    """Return what is measured."""
    return {
        "text, 110 wide": lambda: lanes_text(timelines, 110),
        "SVG": lambda: svg(timelines),
        "PNG": lambda: png(timelines),
        "page": lambda: page(timelines),
        "trace": lambda: pictures.dumps(chrome_trace(timelines)),
        "JSON of one": lambda: pictures.data(timelines[0]),
    }


if __name__ == "__main__":
    main()
