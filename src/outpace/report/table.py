"""The tables: a race, and the list of models, as text of a terminal's width."""

from __future__ import annotations

from collections.abc import Sequence

from outpace.flow.show import per_second, printable, seconds
from outpace.racing.result import Entrant, Race
from outpace.racing.stats import MedianRange
from outpace.registry import Listed

WIDEST = 110  # columns; a wider terminal gains nothing
HEADINGS = [
    "model", "at once", "start-up", "makespan", "min - max", "speedup", "items/s", "CPU", "memory",
    "results",
]  # fmt: skip
FIRST_TO_GO = ("items/s", "memory", "min - max", "CPU", "at once")  # where a terminal is narrow
LEFT_COLUMNS = ("model", "results")
REMARK_LENGTH = 600  # characters of a remark
GAP = "  "


def race_table(race: Race, width: int = WIDEST) -> str:
    """Write a race: its table, what there is to say of single rows, and the recommendation."""
    lines = [race_heading(race), "", _columns(race_cells(race), width)]
    lines += ["", *(_one_line(f"{e.model}: {e.reason}") for e in race.entrants if e.reason)]
    lines += [*map(_one_line, race.notes), "", _one_line(str(race.recommendation))]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Return what may hold the text of anybody's exception as a line of a length that is read."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= REMARK_LENGTH else f"{text[: REMARK_LENGTH - 1]}…"


def race_heading(race: Race) -> str:
    """Say in one line what was raced, and where."""
    job, machine = race.job, race.machine
    return (
        f"{job['name']}: {job['items']} items, with serial {seconds(job['item_wall_s'])} each of "
        f"which {job['waits']:.0%} waiting; {machine['cpus']} CPUs, Python {machine['python']}"
        f"{'' if machine['gil'] else ' without the GIL'}"
    )


def race_cells(race: Race) -> list[list[str]]:
    """Write the cells of a race's table: the headings, and a row an entrant."""
    rows = [HEADINGS, *map(_row, race.entrants)]
    if any(entrant.published_s is not None for entrant in race.entrants):
        figures = (e.published_s for e in race.entrants)
        column = ["published", *("" if f is None else f"{f:.2f} s" for f in figures)]
        rows = [[*row, cell] for row, cell in zip(rows, column, strict=True)]
    return rows


def models_table(rows: Sequence[Listed]) -> str:
    """Write the list of models: what each is, and whether it can run here."""
    cells = [[row.name, row.summary, row.reason or "yes"] for row in rows]
    return _written([["model", "what it is", "here"], *cells], left=("model", "what it is", "here"))


def _row(entrant: Entrant) -> list[str]:
    """Write the figures of one entrant."""
    spread = entrant.makespan_s
    if spread is None:
        return [entrant.model, _at_once(entrant), "", entrant.status, *[""] * 5, ""]
    mark = "" if spread.trials else "about "
    range_ = _range(spread) if spread.trials > 1 else "1 trial"
    return [
        entrant.model,
        _at_once(entrant),
        seconds(entrant.startup_s),
        mark + seconds(spread.median),
        range_ if spread.trials else entrant.status,
        f"x{entrant.speedup:.3g}" if entrant.speedup else "",
        per_second(entrant.throughput),
        seconds(entrant.cpu_s),
        f"{(entrant.peak_rss_bytes or 0) / 1e6:.0f} MB",
        entrant.results,
    ]


def _range(spread: MedianRange) -> str:
    """Write the least and the greatest, with the unit once where it is the same."""
    low, high = seconds(spread.min), seconds(spread.max)
    number, unit = low.split(" ")
    return f"{number} - {high}" if high.endswith(f" {unit}") else f"{low} - {high}"


def _columns(rows: list[list[str]], width: int) -> str:
    """Write rows of which the first is the headings, leaving out columns that do not fit."""
    for name in ("", *FIRST_TO_GO):
        keep = [n for n, heading in enumerate(rows[0]) if heading != name]
        rows = [[row[n] for n in keep] for row in rows]
        if sum(max(map(len, column)) + len(GAP) for column in zip(*rows, strict=True)) <= width:
            break
    return _written(rows, LEFT_COLUMNS)


def _at_once(entrant: Entrant) -> str:
    """Write how many items at once, and in how many workers if several."""
    if entrant.in_flight is None:
        return ""
    if entrant.workers and entrant.workers > 1 and entrant.workers != entrant.in_flight:
        return f"{entrant.in_flight} in {entrant.workers}"
    return str(entrant.in_flight)


def _written(rows: list[list[str]], left: Sequence[str]) -> str:
    """Write rows in columns, under headings and a rule; `left` are the ones not right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [str.ljust if heading in left else str.rjust for heading in rows[0]]
    lines = [
        GAP.join(
            align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)
        )
        for row in rows
    ]
    lines.insert(1, GAP.join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)
