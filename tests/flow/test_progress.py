"""A run tells how far it is, whichever the model, and says so when nothing settles, too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import outpace
from outpace.registry import all_models

if TYPE_CHECKING:
    from outpace.report.progress import Snapshot
    from tests.conftest import Gate

MODELS = [model.name for model in all_models() if model.unavailable() is None]


@pytest.mark.parametrize("model", ["auto", *MODELS])
def test_the_last_thing_that_is_shown_is_that_all_is_done(model: str) -> None:
    seen: list[Snapshot] = []
    assert list(outpace.map(str, range(20), model=model, progress=seen.append))
    last = seen[-1]
    assert (last.settled, last.total, last.failed, last.finished) == (20, 20, 0, True)
    assert [shown.finished for shown in seen[:-1]] == [False] * (len(seen) - 1)


@pytest.mark.parametrize("model", ["threads", "asyncio", "processes", "processes+asyncio"])
def test_what_each_worker_is_on_is_shown_while_nothing_settles(model: str, gate: Gate) -> None:
    on: set[int] = set()

    def look(shown: Snapshot) -> None:
        on.update(index for _, index, _ in shown.on)
        if on == {0, 1}:
            gate.let_through()

    run = outpace.map(
        gate.coroutine(), range(2), model=model, workers=2, in_flight=2, progress=look, chunk=1
    )
    import threading

    arrived = threading.Thread(target=gate.arrivals, args=(2,))
    arrived.start()
    assert list(run) == [0, 1]
    arrived.join()
    assert on == {0, 1}


def test_who_awaits_sees_it_too() -> None:
    seen: list[Snapshot] = []

    async def main() -> list[str]:
        return [value async for value in outpace.amap(str, range(5), progress=seen.append)]

    assert len(asyncio.run(main())) == 5
    assert seen[-1].finished
    assert seen[-1].settled == 5


def test_what_is_no_progress_is_said_before_any_work() -> None:
    with pytest.raises(TypeError, match="progress is True, None or a function"):
        outpace.map(str, range(3), progress="yes")


def test_a_run_that_is_left_half_way_says_how_far_it_came() -> None:
    seen: list[Snapshot] = []
    for value in outpace.map(str, range(100), model="serial", progress=seen.append, chunk=1):
        if value == "3":
            break
    assert seen[-1].finished
    assert 4 <= seen[-1].settled < 100
