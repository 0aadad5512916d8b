"""A timeline brought down to what a picture can show: for each row and column, how much of each state.

A column is a slice of time, as wide as a pixel or a character. What many intervals say of one column is
added up, never dropped: a thousand items of 10 µs are as much colour as one of 10 ms. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from outpace.record import states
from outpace.record.lanes import PictureRow
from outpace.record.metrics import add_to_bins
from outpace.record.timeline import Timeline


@dataclass(slots=True, frozen=True)
class Stretch:
    """A stretch of columns `[first, last)` that look alike: states and heights, from below."""

    first: int
    last: int
    layers: tuple[tuple[int, int], ...]


def rasterise(
    timeline: Timeline, rows: list[PictureRow], columns: int, began: float, ended: float
) -> list[dict[int, list[float]]]:
    """Return, for each row, by state, the share of each column between two times; idle left out."""
    of_lane = {lane: n for n, row in enumerate(rows) for lane in row.lanes}
    grid: list[dict[int, list[float]]] = [{} for _ in rows]
    if ended <= began:
        return grid
    scale = columns / (ended - began)
    source = timeline.intervals
    for lane, state, since, until, share in zip(
        source.lane, source.state, source.began, source.ended, source.share, strict=True
    ):
        n = of_lane.get(lane)
        if n is None or state == states.IDLE:
            continue
        line = grid[n].get(state)
        if line is None:
            line = grid[n][state] = [0.0] * columns
        height = share / len(rows[n].lanes)
        add_to_bins(line, (since - began) * scale, (until - began) * scale, height)
    return grid


def stretches(by_state: dict[int, list[float]], levels: int) -> list[Stretch]:
    """Round the shares of a row to heights of `levels`, and join the columns that look alike."""
    order = in_order(by_state)
    found: list[Stretch] = []
    for n in range(max(map(len, by_state.values()), default=0)):
        layers = _layers([(state, by_state[state][n]) for state in order], levels)
        if not layers:
            continue
        if found and found[-1].last == n and found[-1].layers == layers:
            found[-1] = Stretch(found[-1].first, n + 1, layers)
        else:
            found.append(Stretch(n, n + 1, layers))
    return found


def _layers(shares: list[tuple[int, float]], levels: int) -> tuple[tuple[int, int], ...]:
    """Round heights so that their sum is rounded too: no stripe is lost or won between layers."""
    layers: list[tuple[int, int]] = []
    upto, before = 0.0, 0
    for state, share in shares:
        upto += share * levels
        top = min(levels, round(upto))
        if top > before:
            layers.append((state, top - before))
            before = top
    return tuple(layers)


def in_order(some: Iterable[int]) -> list[int]:
    """Return states as they lie in a column, from below: on the CPU at the bottom."""
    return sorted(some, key=_from_below)


def below(state: int, other: int) -> bool:
    """Say whether a state lies below another in a column."""
    return _from_below(state) < _from_below(other)


def _from_below(state: int) -> tuple[bool, int]:
    """Say how low a state lies."""
    return not states.STATES[state].on_cpu, state
