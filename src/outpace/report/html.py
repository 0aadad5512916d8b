"""One page that says everything of a race or a run, in one file that works without a network.

What it is made of is in the file: the data as JSON, uPlot (report/vendor), our script and style
(report/page). A content security policy lets nothing else run and nothing be fetched, whatever stood in
an item's name; and names are escaped besides, in markup and in the JSON, and shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from math import floor, log10
from typing import Any

from outpace.flow.show import seconds
from outpace.record import metrics, states
from outpace.record.lanes import rows
from outpace.record.raster import in_order
from outpace.record.thin import thinned
from outpace.record.timeline import Timeline
from outpace.record.timeline_json import DIGITS, as_json
from outpace.report.captions import at_once, marked, share_words
from outpace.report.palette import DARK, LIGHT, Palette, Theme

ZOOM_DIGITS = 6  # digits of a time that a page keeps: the zoom goes to a millionth
ROUNDED_COLUMNS = ("started", "ended", "wall_s", "cpu_s", "began", "share")
UNSEEN_COLUMNS = ("queued",)
PAGE_ROWS = 32  # of one timeline, at most; more lanes than that share rows
# Rows of items and intervals of all timelines together: 1.4 MB, and a zoom that is smooth.
PAGE_ITEMS, PAGE_INTERVALS = 10_000, 30_000
SCRIPTS = ("vendor/uPlot.iife.min.js", "page/model.js", "page/draw.js", "page/page.js")
LICENCE = "vendor/uPlot.LICENSE"
STYLES = ("vendor/uPlot.min.css", "page/page.css")


def page(
    timelines: Sequence[Timeline],
    *,
    title: str = "What ran when",
    before: str = "",
    after: str = "",
    theme: Theme = "auto",
) -> str:
    """Write the page; `before` and `after` are markup that stands around the timelines."""
    timelines = bounded(timelines)
    style = "\n".join([variables(theme), *map(_part, STYLES)])
    scripts = [
        f"/*!\n{_part(LICENCE)}*/\n{_part(SCRIPTS[0])}",  # the licence goes where the library goes
        f'"use strict";\n(() => {{\n{"".join(map(_part, SCRIPTS[1:]))}}})();\n',
    ]
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {' '.join(map(_hash, scripts))}; base-uri 'none'; form-action 'none'"
    )
    body = [_lanes(timelines), _spreads(timelines)] if timelines else [NO_TIMELINE]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="generator" content="outpace">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            before or f"<h1>{escape(title)}</h1>",
            *body,
            after,
            '<div id="tip" role="status" hidden></div>',
            f'<script type="application/json" id="data">{_data(timelines)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


ZOOM_HELP = (
    "All on one axis, so the length of a picture is the makespan. The wheel zooms, dragging moves, a "
    "double click shows all; keys: + - 0 and the arrows."
)
BUTTONS = (
    ("in", "+", "zoom in"),
    ("out", "&minus;", "zoom out"),
    ("left", "&#9666;", "earlier"),
    ("right", "&#9656;", "later"),
    ("all", "all", "show all"),
    ("own", "own axes", "give each timeline an axis of its own"),
)
NO_TIMELINE = '<p class="muted">There is no timeline to show.</p>'


def bounded(timelines: Sequence[Timeline]) -> list[Timeline]:
    """Return timelines that a page can hold together; those with few rows leave more to the others."""
    items = shared_out(PAGE_ITEMS, [len(timeline.items) for timeline in timelines])
    intervals = shared_out(PAGE_INTERVALS, [len(timeline.intervals) for timeline in timelines])
    return list(map(thinned, timelines, items, intervals))


def shared_out(most: int, wanted: list[int]) -> list[int]:
    """Share so many out: each gets what it wants, or as much as any other that does not."""
    level = most
    for n, least in enumerate(sorted(wanted)):
        level = most // (len(wanted) - n)
        if least > level:
            break
        most -= least
    return [min(one, level) for one in wanted]


def variables(theme: Theme) -> str:
    """Return the colours as CSS variables; "auto" follows the reader's own setting."""
    if theme != "auto":
        return f":root{{{_colours(LIGHT if theme == 'light' else DARK)};color-scheme:{theme}}}"
    dark = f"@media (prefers-color-scheme: dark){{:root{{{_colours(DARK)}}}}}"
    return f":root{{{_colours(LIGHT)}}}\n{dark}"


def _colours(palette: Palette) -> str:
    """Write one theme's colours."""
    names = ("page", "panel", "text", "muted", "line", "busy", "flight")
    pairs = [f"--{name}:{getattr(palette, name)}" for name in names]
    return ";".join([*pairs, *(f"--s{n}:{colour}" for n, colour in enumerate(palette.states))])


def _part(name: str) -> str:
    """Read a file that goes into the page."""
    return (files("outpace.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what a policy calls a text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(timelines: Sequence[Timeline]) -> str:
    """Write the JSON of the page so that nothing in it can end the script element."""
    data = {
        "states": [{"name": s.name, "words": s.words, "on_cpu": s.on_cpu} for s in states.STATES],
        "timelines": list(map(_timeline, timelines)),
    }
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _timeline(timeline: Timeline) -> dict[str, Any]:
    """Return one timeline for the script: its columns, its rows, how long its items took."""
    spread = metrics.durations(timeline)
    digits = min(DIGITS, max(0, ZOOM_DIGITS - floor(log10(max(timeline.span_s, 1e-6)))))
    content = as_json(timeline)
    for name in ("items", "intervals"):
        content[name] = _packed(content[name], digits)
    return {
        **content,
        "rows": [{"name": marked(row), "lanes": row.lanes} for row in rows(timeline, PAGE_ROWS)],
        "durations": spread and {"edges": spread.edges, "counts": spread.counts},
    }


def _packed(columns: dict[str, list[Any]], digits: int) -> dict[str, Any]:
    """Round times to what a zoom can show, and write a column that is all alike only once."""
    packed: dict[str, Any] = {"rows": len(columns["lane"])}
    for name, column in columns.items():
        if column and all(value == column[0] for value in column):
            packed[name] = column[0]
        elif name in ROUNDED_COLUMNS:
            packed[name] = [round(value, digits) for value in column]
        elif name not in UNSEEN_COLUMNS:
            packed[name] = column
    return packed


def _lanes(timelines: Sequence[Timeline]) -> str:
    """Write the places that the script draws lanes into, with all that is text about them."""
    used = {state for timeline in timelines for state in timeline.intervals.state} | {states.IDLE}
    legend = "".join(
        f'<li><i class="s{n}"></i>{escape(states.STATES[n].words)}</li>' for n in sorted(used)
    )
    buttons = "".join(
        f'<button id="do-{name}" aria-label="{words}" title="{words}">{sign}</button>'
        for name, sign, words in BUTTONS
    )
    ways = {timeline.how for timeline in timelines}
    return "\n".join(
        [
            '<section id="timelines"><h2>What ran when</h2>',
            f'<p class="muted">{ZOOM_HELP}</p>',
            f'<div class="tools">{buttons}<span id="seen" class="muted"></span></div>',
            f'<ul class="legend">{legend}</ul>',
            _where(timelines) if len(timelines) > 1 else "",
            *(
                f'<p class="how muted">Measured {escape(how)}.</p>'
                for how in ways
                if len(ways) == 1
            ),
            *(_article(n, timeline, len(ways) > 1) for n, timeline in enumerate(timelines)),
            "</section>",
        ]
    )


def _where(timelines: Sequence[Timeline]) -> str:
    """Draw where the lane time of each went, side by side: all bars are as long."""
    rows = []
    for timeline in timelines:
        at, parts = 0.0, []
        shares = metrics.shares(timeline)
        for state in in_order(range(len(shares))):
            if shares[state] > 0:
                size = 100 * shares[state]
                words = escape(f"{states.STATES[state].words}: {shares[state]:.1%}")
                box = f'x="{at:.4g}" width="{size:.4g}" height="10"'
                parts.append(f'<rect class="f{state}" {box}><title>{words}</title></rect>')
                at += size
        rows.append(
            f"<tr><td>{escape(timeline.model)}</td><td>"
            f'<svg viewBox="0 0 100 10" preserveAspectRatio="none">{"".join(parts)}</svg></td></tr>'
        )
    head = '<tr><th>where the time of all lanes went</th><th class="left"></th></tr>'
    return f'<table class="where"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _article(n: int, timeline: Timeline, how_differs: bool) -> str:  # noqa: FBT001 - internal
    """Write the place of one timeline."""
    model = escape(timeline.model)
    words = escape(f"{at_once(timeline)}: {seconds(timeline.span_s)}; {share_words(timeline)}")
    how = f'<p class="how muted">Measured {escape(timeline.how)}.</p>' if how_differs else ""
    how += "".join(f'<p class="how muted">{escape(note)}.</p>' for note in timeline.notes)
    blocked = "".join(f'<p class="blocked">{escape(str(one))}</p>' for one in timeline.blocked)
    return (
        f'<article class="lanes" data-model="{model}"><header><h3>{model}</h3>'
        f'<span class="muted">{words}</span><button id="fit-{n}">zoom to {model}</button></header>'
        f'<div class="plots" id="lanes-{n}"></div>{how}{blocked}</article>'
    )


def _spreads(timelines: Sequence[Timeline]) -> str:
    """Write the places for the distributions of item times."""
    parts = ['<section id="spreads"><h2>How long items took</h2><div class="spreads">']
    for n, timeline in enumerate(timelines):
        spread = metrics.durations(timeline)
        if spread is not None:
            words = (
                f"median {seconds(spread.median)}, 90% within {seconds(spread.p90)}, "
                f"99% within {seconds(spread.p99)}, longest {seconds(spread.most)}"
            )
            parts.append(
                f'<div><h3>{escape(timeline.model)}</h3><p class="muted how">{words}</p>'
                f'<div class="plot" id="spread-{n}"></div></div>'
            )
    return "\n".join([*parts, "</div></section>"])
