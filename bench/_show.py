"""How every measurement here is printed, so that all tables read alike."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print a table: the first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [columns, ["-" * width for width in widths], *rows]
    print(f"\n{title}\n")
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    if note:
        print(f"\n{note}")
    sys.stdout.flush()


def spread(values: Sequence[float], unit: float = 1.0) -> str:
    """Write the median, and from where to where the values went."""
    if not values:
        return "-"
    low, middle, high = min(values) / unit, statistics.median(values) / unit, max(values) / unit
    return f"{number(middle)} ({number(low)}-{number(high)})"


def number(value: float) -> str:
    """Write a number with three digits that say something."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def against(value: float, budget: float | None) -> str:
    """Write a budget, and whether a value holds it."""
    if budget is None:
        return ""
    over = "ok" if value <= budget else f"OVER x{value / budget:.2f}"
    return f"<= {budget:g} {over}"


def head() -> None:
    """Say what is measured on, and how busy it is already."""
    facts = machine()
    show("Measured on", list(facts), [[str(value) for value in facts.values()]])


def machine() -> dict[str, Any]:
    """Return what is measured on."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpus": cpus,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "unknown",
    }


def save(path: str | None, results: dict[str, Any]) -> None:
    """Write the numbers behind the tables, if somebody wants them."""
    if path:
        text = json.dumps({"machine": machine(), **results}, indent=1)
        Path(path).write_text(f"{text}\n", encoding="utf-8")
