"""Who is late, and when to look next: in virtual time."""

from __future__ import annotations

from outpace.flow.deadlines import AGAIN, Deadlines


def test_one_looks_when_the_oldest_would_be_late() -> None:
    deadlines = Deadlines(1.0, now=0.0)
    assert deadlines.look_at == 1.0
    assert deadlines.late([("a", 0.2), ("b", 0.4)], now=1.0) == []
    assert deadlines.look_at == 1.2


def test_what_is_late_is_so_again_soon_while_it_goes_on() -> None:
    deadlines = Deadlines(1.0, now=0.0)
    assert deadlines.late([("a", 0.2), ("b", 0.4)], now=1.2) == ["a"]
    assert deadlines.look_at == 1.2 + AGAIN
    assert deadlines.late([("a", 0.2), ("b", 0.4)], now=1.25) == ["a"]
    assert deadlines.late([("b", 0.4)], now=1.3) == []
    assert deadlines.look_at == 1.4


def test_with_nobody_running_one_looks_a_timeout_later() -> None:
    deadlines = Deadlines(1.0, now=0.0)
    assert deadlines.late([], now=7.0) == []
    assert deadlines.look_at == 8.0
