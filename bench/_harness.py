"""How a run is measured: start-up apart from steady state, and all contestants in turn."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from _peers import Peer

import outpace
from outpace.registry import Model, all_models

clock = time.perf_counter
Fn = Callable[[Any], Any]


@dataclass(frozen=True)
class Took:
    """Be one run: seconds until the workers were ready, seconds from then on, and its values."""

    startup: float
    seconds: float = 0.0
    values: list[Any] = field(default_factory=list)


def ours(
    model: str,
    fn: Fn,
    items: Iterable[Any],
    width: int | None = None,
    *,
    keep: bool = False,
    **options: Any,
) -> Took:
    """Run a model of ours, streaming in order."""
    if width:
        options["in_flight"] = width
    run = outpace.map(fn, items, model=model, **options)
    values = drained(run, keep=keep)
    return Took(run.summary.startup_s, run.summary.makespan_s, values)


class PeerError(Exception):
    """Say that a peer broke down: a row of its own, and not the end of the measurement."""


def theirs(peer: Peer, fn: Fn, items: list[Any], width: int, *, keep: bool = False) -> Took:
    """Run a peer, opened and warmed before."""
    began = clock()
    try:
        with peer.open(width) as go:
            ready = clock()
            values = drained(go(fn, items), keep=keep)
            return Took(ready - began, clock() - ready, values)
    except Exception as error:
        raise PeerError(f"{peer.name} failed: {type(error).__name__}: {error}") from error


def drained(values: Iterable[Any], *, keep: bool = False) -> list[Any]:
    """Take every value, as a `for` does."""
    if keep:
        return list(values)
    for _ in values:
        pass
    return []


def stream(count: int, value: Any = None) -> Iterator[Any]:
    """Be items without a length: numbers, or the same value again and again."""
    return (n if value is None else value for n in range(count))


def available() -> list[Model]:
    """Return the models that can run here."""
    return [model for model in all_models() if model.unavailable() is None]


def rounds(
    repeat: int, cases: Mapping[Hashable, Callable[[], Took]]
) -> tuple[dict[Any, list[float]], dict[Any, list[float]]]:
    """Run every case once, and again; return the start-ups and the steady states, in seconds.

    Never all repeats of one before the next: what disturbs the machine then disturbs all alike.
    """
    startups: dict[Any, list[float]] = defaultdict(list)
    seconds: dict[Any, list[float]] = defaultdict(list)
    for turn in range(repeat):
        for key, case in cases.items():
            say(f"round {turn + 1} of {repeat}: {key}")
            try:
                took = case()
            except PeerError as error:
                print(error, file=sys.stderr)
                continue
            startups[key].append(took.startup)
            seconds[key].append(took.seconds)
    say("")
    return startups, seconds


def say(text: str) -> None:
    """Tell on a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


@contextmanager
def patched(places: Iterable[tuple[Any, str]], value: Any) -> Iterator[None]:
    """Have a constant be another number, in every module that knows it, while the block lasts."""
    before = [(module, name, getattr(module, name)) for module, name in places]
    for module, name, _ in before:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, old in before:
            setattr(module, name, old)
