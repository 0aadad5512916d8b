"""What a race says beside its timelines, as markup: what to use, the table, the machine."""

from __future__ import annotations

from html import escape

from outpace.flow.show import seconds
from outpace.racing.result import Entrant, Race
from outpace.report.table import LEFT_COLUMNS, race_cells, race_heading

MACHINE_FACTS = (  # of the machine: the field, what it is, and how to write it
    ("cpus", "CPUs that this process could use", "{}"),
    ("cpu_quota", "CPU quota of the container", "{} CPUs"),
    ("python", "Python", "{}"),
    ("implementation", "implementation", "{}"),
    ("platform", "system", "{}"),
    ("machine", "processor", "{}"),
)
BARS_HEADING = '<th class="left">start-up, then makespan</th>'


def above_timelines(race: Race) -> str:
    """Write what stands above the timelines."""
    return "\n".join(
        [
            f"<h1>{escape(str(race.job.get('name', 'race')))}</h1>",
            f'<p class="muted">{escape(race_heading(race).partition(": ")[2])}</p>',
            _recommendation(race),
            "<h2>The race</h2>",
            f'<div class="wide">{table(race, bars=True)}</div>',
            _notes(race),
        ]
    )


def below_timelines(race: Race) -> str:
    """Write what stands below the timelines."""
    machine = race.machine
    rows = [
        f"<dt>{words}</dt><dd>{escape(form.format(machine[name]))}</dd>"
        for name, words, form in MACHINE_FACTS
        if machine.get(name) is not None
    ]
    rows.append(f"<dt>GIL</dt><dd>{'on' if machine.get('gil', True) else 'off'}</dd>")
    if machine.get("memory_limit_bytes"):
        limit = machine["memory_limit_bytes"] / 1e9
        rows.append(f"<dt>memory limit of the container</dt><dd>{limit:.3g} GB</dd>")
    return f'<section id="machine"><h2>The machine</h2><dl>{"".join(rows)}</dl></section>'


def _recommendation(race: Race) -> str:
    """Write what to use and why."""
    chosen = race.recommendation
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in chosen.reasons)
    return f'<div class="use">Use <strong>{escape(chosen.model)}</strong><ul>{reasons}</ul></div>'


def _notes(race: Race) -> str:
    """Write what there is to say of single rows and of the whole."""
    notes = [f"{e.model}: {e.reason}" for e in race.entrants if e.reason] + list(race.notes)
    rows = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{rows}</ul>' if rows else ""


def table(race: Race, *, bars: bool = False) -> str:
    """Write the table of a race; with bars, what each took beside its row, start-up first."""
    headings, *rows = race_cells(race)
    longest = max((e.total_s or 0.0 for e in race.entrants), default=0.0)
    top = "".join(
        f'<th{_aligned(heading)} scope="col">{escape(heading)}</th>' for heading in headings
    )
    lines = [f"<table><thead><tr>{top}{BARS_HEADING if bars else ''}</tr></thead><tbody>"]
    for entrant, cells in zip(race.entrants, rows, strict=True):
        best = ' class="best"' if entrant.model == race.recommendation.model else ""
        written = "".join(
            f"<td{_aligned(heading)}>{escape(cell)}</td>"
            for heading, cell in zip(headings, cells, strict=True)
        )
        lines.append(f"<tr{best}>{written}{_bar(entrant, longest) if bars else ''}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _aligned(heading: str) -> str:
    """Say how a column is aligned."""
    return ' class="left"' if heading in LEFT_COLUMNS else ""


def _bar(entrant: Entrant, longest: float) -> str:
    """Draw how long an entrant took, start-up first."""
    if entrant.makespan_s is None or longest <= 0:
        return '<td class="bar"></td>'
    start = 100 * (entrant.startup_s or 0.0) / longest
    work = 100 * entrant.makespan_s.median / longest
    words = f"{seconds(entrant.startup_s)} start-up, {seconds(entrant.makespan_s.median)} work"
    return (
        '<td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none">'
        f"<title>{escape(words)}</title>"
        f'<rect class="start" width="{start:.4g}" height="10"/>'
        f'<rect class="work" x="{start:.4g}" width="{max(work, 0.3):.4g}" height="10"/></svg></td>'
    )
