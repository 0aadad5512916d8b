"""The engine by itself: no thread, no process, no clock but the one it is given."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import pytest

from outpace.flow.data import Chunk, Failure, Report, Returned, Settled
from outpace.flow.dispatch import Open, Pull, Settle, Start
from outpace.flow.engine import Engine, Listen, Rest
from outpace.flow.job import make_job
from outpace.flow.protocol import InThisProcess, Observer
from outpace.flow.retry import Retry
from outpace.flow.source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Opening:
    """A model that takes what it is given, and says what it is told to say."""

    model = "toy"
    workers = 1
    slots = 2
    shared = False
    reasons = ()
    startup_s = 0.0

    def open(self, call: Any) -> Any:
        raise NotImplementedError

    async def aopen(self, call: Any) -> Any:
        raise NotImplementedError


class Workers(InThisProcess):
    slots = 2

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.woken = 0

    def start(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        raise NotImplementedError

    def wake(self) -> None:
        self.woken += 1

    def close(self) -> None:
        pass


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def engine_of(items: Any, observers: Any = (), **settings: Any) -> Engine:
    time = Time()
    engine = Engine(make_job(str, items, **settings), Opening(), None, observers, clock=time)
    engine.time = time  # type: ignore[attr-defined]
    return engine


def done(chunk: Chunk, **failures: Failure) -> Report:
    times = array("d", [1.0] * len(chunk))
    failed = {int(n[1:]): failure for n, failure in failures.items()}
    return Report(chunk.indexes, list(chunk.items), times, times[:], failed)


def driven(
    engine: Engine, hear: Callable[[Engine, Workers], None] | None = None
) -> Iterator[tuple[str, Any]]:
    """Drive the engine as a run does, and tell what it wanted done."""
    source, workers = open_source(engine), Workers()

    def hear_all(engine: Engine, workers: Workers) -> None:
        chunks, workers.chunks = workers.chunks, []
        engine.told([done(chunk) for chunk in chunks])

    for step in engine.steps():
        match step:
            case Pull(room):
                source.pull(room)
                yield "pull", room
            case Open():
                engine.opened(workers, engine.begin())
                yield "open", None
            case Start(chunk):
                workers.start(chunk)
                yield "start", chunk.indexes
            case Settle(settled, positions):
                yield "settle", [settled.report.indexes[p] for p in positions]
            case Listen(patience):
                yield "listen", patience
                (hear or hear_all)(engine, workers)
            case Rest(pause):
                yield "rest", pause


def test_the_workers_are_opened_for_the_first_item_and_then_never_again() -> None:
    steps = [name for name, _ in driven(engine_of(["a", "b", "c"]))]
    assert steps[:3] == ["pull", "open", "start"]
    assert steps.count("open") == 1


def test_without_items_nothing_is_opened() -> None:
    assert [name for name, _ in driven(engine_of([]))] == ["pull"]


def test_every_item_is_settled_once_and_in_order() -> None:
    steps = list(driven(engine_of(range(100))))
    settled = [index for name, indexes in steps if name == "settle" for index in indexes]
    assert settled == list(range(100))


def test_nothing_is_waited_for_when_the_run_is_abandoned() -> None:
    engine = engine_of(range(100))
    names = []
    for name, _ in driven(engine):
        names.append(name)
        if name == "start":
            engine.abandon()
    assert "listen" not in names


def test_what_is_in_flight_ends_after_stop_and_nothing_else_starts() -> None:
    engine = engine_of(iter(range(100)), chunk=1)
    started, settled = [], []
    for name, what in driven(engine):
        if name == "start":
            started += list(what)
        if name == "listen":
            engine.stop()
        if name == "settle":
            settled += what
    assert settled == started
    assert len(started) == 2


def test_an_error_of_the_source_comes_after_everything_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no more")

    steps: list[tuple[str, Any]] = []
    with pytest.raises(LookupError, match="no more"):
        steps.extend(driven(engine_of(items())))
    assert [index for name, what in steps if name == "settle" for index in what] == [0, 1, 2]


def test_with_an_item_to_be_tried_again_it_rests_until_that_is_due_and_no_longer() -> None:
    engine = engine_of([1], retries=Retry(2, wait=lambda _attempt, _error: 5.0))
    failed = Failure(LookupError("not yet"))
    answers = [lambda chunk: done(chunk, _0=failed), done]

    def hear(engine: Engine, workers: Workers) -> None:
        (chunk,), workers.chunks = workers.chunks, []
        engine.told([answers.pop(0)(chunk)])

    steps = []
    for name, what in driven(engine, hear):
        steps.append((name, what))
        if name == "rest":
            engine.time.now += what  # type: ignore[attr-defined]
    assert ("rest", 5.0) in steps
    assert [name for name, _ in steps][-1] == "settle"
    assert engine.summary().retries == 1


def test_while_a_source_has_nothing_to_give_it_rests_until_somebody_says_so() -> None:
    engine = engine_of([])
    steps = engine.steps()
    assert isinstance(next(steps), Pull)
    engine.lacking = True  # what a source says that reads on by itself
    assert next(steps) == Rest(None)
    assert isinstance(next(steps), Pull)
    engine.dispatcher.exhaust()
    assert next(steps, None) is None


def test_what_is_there_starts_though_its_source_has_no_more_for_now() -> None:
    engine = engine_of([])
    steps = engine.steps()
    assert isinstance(next(steps), Pull)
    engine.admit([1], 0.0)
    engine.lacking = True
    assert isinstance(next(steps), Open)
    engine.opened(Workers(), engine.begin())
    assert isinstance(next(steps), Start)


class Diary(Observer):
    def __init__(self, wants: float | None = None) -> None:
        self.entries: list[str] = []
        self.wants = wants

    def opening(self) -> None:
        self.entries.append("opening")

    def opened(self, run: Engine) -> None:
        assert run.workers is not None
        self.entries.append("opened")

    def settled(self, settled: Settled, now: float) -> None:
        self.entries.append(f"settled {list(settled.report.indexes)}")

    def turned(self, now: float) -> None:
        self.entries.append("turned")

    def patience(self, now: float) -> float | None:
        return self.wants

    def closed(self) -> None:
        self.entries.append("closed")


def test_observers_are_told_everything_in_its_order() -> None:
    diary = Diary()
    engine = engine_of([7], [diary])
    list(driven(engine))
    engine.closed()
    assert diary.entries == ["opening", "opened", "settled [0]", "turned", "closed"]


def test_nobody_waits_longer_than_an_observer_wants() -> None:
    engine = engine_of([7], [Diary(3.0), Diary(), Diary(2.0)])
    assert ("listen", 2.0) in list(driven(engine))


def test_an_observer_sees_attempts_that_are_not_the_last_too() -> None:
    diary = Diary()
    engine = engine_of([1], [diary], retries=Retry(2, wait=lambda _attempt, _error: 0.0))
    answers = [lambda chunk: done(chunk, _0=Failure(LookupError())), done]

    def hear(engine: Engine, workers: Workers) -> None:
        (chunk,), workers.chunks = workers.chunks, []
        engine.told([answers.pop(0)(chunk)])

    list(driven(engine, hear))
    assert diary.entries.count("settled [0]") == 2


def test_what_is_given_back_is_started_again() -> None:
    engine, started = engine_of([1, 2, 3, 4], chunk=4), []
    answers: list[Any] = [lambda chunk: Returned(chunk.indexes), done]

    def hear(engine: Engine, workers: Workers) -> None:
        (chunk,), workers.chunks = workers.chunks, []
        engine.told([answers.pop(0)(chunk)])

    for name, what in driven(engine, hear):
        if name == "start":
            started.append(what)
    assert started == [range(4), range(4)]
