"""Sum squares: work that computes and never waits, so that only more processors make it faster."""

from __future__ import annotations


def sum_of_squares(n: int) -> int:
    """Add up the squares of the whole numbers below `n`.

    In plain Python on purpose, though a formula would answer at once: it stands for any computing
    that holds the interpreter from start to end. About a fifth of a second for 5,000,000.
    """
    return sum(i * i for i in range(n))


def numbers(count: int = 20, start: int = 5_000_000) -> list[int]:
    """List `count` numbers from `start` up: no two alike, so no result can stand in for another."""
    return list(range(start, start + count))
