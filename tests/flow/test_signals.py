"""Ctrl-C and SIGTERM while a run is on: whose they are, where they raise, and where they wait."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.flow import signals
from outpace.flow.engine import Engine
from outpace.flow.signals import Terminated, claimed, interruptible, send_again, undisturbed
from outpace.hosts.channel.framing import Channel
from outpace.racing.time_limit import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Gate

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")

RAISES = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
both = pytest.mark.parametrize("number", RAISES, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[Callable[[], Any]]:
    """Have SIGTERM end the process, as it does in a program; give a function that says whose it is."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield lambda: signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


# Whose the signal is.


def test_sigterm_unwinds_while_a_run_is_on_and_exits_with_143(sigterm: Any) -> None:
    with pytest.raises(SystemExit) as raised, claimed():
        os.kill(os.getpid(), signal.SIGTERM)
    assert isinstance(raised.value, Terminated)
    assert raised.value.code == 143
    assert sigterm() is signal.SIG_DFL


def test_a_signal_that_comes_while_it_is_given_back_is_not_lost(
    sigterm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would print that it was "ignored due to race condition", where there is no handler."""
    given, real = [], signal.signal

    def give(number: int, handler: Any) -> Any:
        given.append((number, number in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        return real(number, handler)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with claimed():
        monkeypatch.setattr(signal, "signal", give)
    assert given == [(signal.SIGINT, True), (signal.SIGTERM, True)]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_of_two_runs_the_last_one_lets_go(sigterm: Any) -> None:
    one, two = claimed(), claimed()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert sigterm() not in (signal.SIG_DFL, signal.SIG_IGN)
    two.__exit__(None, None, None)
    assert sigterm() is signal.SIG_DFL


def test_a_handler_of_the_users_is_called_as_ever(sigterm: Any) -> None:
    called: list[Any] = []

    def theirs(number: int, frame: Any) -> None:
        called.append((number, frame.f_code.co_name))

    signal.signal(signal.SIGTERM, theirs)
    with claimed():
        os.kill(os.getpid(), signal.SIGTERM)
        assert called == [(signal.SIGTERM, "test_a_handler_of_the_users_is_called_as_ever")]
    assert sigterm() is theirs
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with claimed():
        assert sigterm() is signal.SIG_IGN


def test_a_handler_that_an_item_sets_meanwhile_stays(sigterm: Any) -> None:
    with claimed():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert sigterm() is signal.SIG_IGN


def test_our_handler_put_back_after_the_run_does_what_was_done_before(sigterm: Any) -> None:
    with claimed():
        ours = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ours)
    with pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
    with claimed(), pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_in_another_thread_leaves_signals_alone(sigterm: Any) -> None:
    seen: list[Any] = []

    def work() -> None:
        with claimed():
            seen.append(sigterm())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


# Where it waits.

done: list[str] = []


def send(number: int) -> None:
    """Get a signal, here and now."""
    os.kill(os.getpid(), number)
    done.append("sent")


@undisturbed
def change_state(number: int) -> None:
    """Be where nothing may be raised."""
    send(number)
    done.append("changed")


@interruptible
def wait(number: int) -> None:
    """Be where something may be, whoever waits."""
    send(number)
    done.append("waited")


@undisturbed
def change_and_wait(number: int, *, first: bool) -> None:
    if first:
        send(number)
    wait(number)


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


@both
def test_in_the_middle_of_a_change_it_waits_for_the_end_of_that(number: int) -> None:
    with claimed(), pytest.raises(RAISES[number]):
        change_state(number)
    assert done == ["sent", "changed"]


@both
def test_in_a_change_within_another_it_waits_for_the_end_of_both(number: int) -> None:
    @undisturbed
    def outer() -> None:
        change_state(number)
        done.append("outer")

    with claimed(), pytest.raises(RAISES[number]):
        outer()
    assert done == ["sent", "changed", "outer"]


@both
@pytest.mark.parametrize("first", [True, False])
def test_where_a_change_waits_it_raises_at_once_also_what_was_noted_before(
    number: int, *, first: bool
) -> None:
    with claimed(), pytest.raises(RAISES[number]):
        change_and_wait(number, first=first)
    assert done == (["sent"] if first else [])


@both
def test_where_nobody_has_claimed_it_nothing_waits(number: int) -> None:
    if number == signal.SIGTERM:
        signal.signal(number, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        change_state(number)
    assert done == []


def test_both_signals_at_once_are_raised_one_after_the_other() -> None:
    @undisturbed
    def both_of_them() -> None:
        send(signal.SIGINT)
        send(signal.SIGTERM)

    def in_a_run() -> None:
        with claimed(), pytest.raises(KeyboardInterrupt):
            both_of_them()

    with pytest.raises(Terminated):
        in_a_run()
    assert done == ["sent", "sent"]


def test_another_thread_does_not_run_what_the_main_one_has_noted() -> None:
    @undisturbed
    def change() -> None:
        send(signal.SIGINT)
        thread = threading.Thread(target=undisturbed(lambda: done.append("thread")))
        thread.start()
        thread.join()

    with claimed(), pytest.raises(KeyboardInterrupt):
        change()
    assert done == ["sent", "thread"]


def test_a_users_handler_that_raises_nothing_disturbs_nobody() -> None:
    before = signal.signal(signal.SIGINT, lambda *_: done.append("theirs"))
    try:
        with claimed():
            change_state(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["sent", "changed", "theirs"]


# In a run.


class Interrupted(socket.socket):
    """A socket on which a signal arrives right after the bytes, when nothing is noted of them yet."""

    on = ""
    number = signal.SIGINT
    bytes_before = 0  # that are let through

    @classmethod
    def maybe(cls, call: str, count: int) -> None:
        if call == cls.on:
            cls.bytes_before -= count
            if cls.bytes_before < 0:
                cls.on = ""
                os.kill(os.getpid(), cls.number)

    def recv_into(self, *args: Any) -> int:
        got = super().recv_into(*args)
        self.maybe("recv_into", got)
        return got

    def send(self, *args: Any) -> int:
        sent = super().send(*args)
        self.maybe("send", sent)
        return sent


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> type[Interrupted]:
    """Have every worker's socket be one on which a signal arrives, once `on` says so."""
    begin = Channel.__init__

    def begin_there(self: Channel, sock: socket.socket) -> None:
        begin(self, Interrupted(fileno=sock.detach()))
        self.sock.setblocking(False)  # noqa: FBT003 - its only form

    monkeypatch.setattr(Channel, "__init__", begin_there)
    monkeypatch.setattr(Interrupted, "on", "")
    return Interrupted


def big(item: int) -> bytes:
    return bytes(100_000 + item)


@pytest.mark.slow
@both
@pytest.mark.parametrize("call", ["recv_into", "send"])
@pytest.mark.parametrize("before", [0, 30, 3_000, 200_000])
def test_a_signal_in_the_middle_of_a_frame_ends_a_run_and_no_frame(
    call: str,
    number: int,
    before: int,
    interrupted: type[Interrupted],
    capfd: pytest.CaptureFixture[str],
) -> None:
    items = (bytes(50_000) for _ in range(10**6))
    with outpace.map(len, items, model="processes", workers=2) as run:
        next(run)
        interrupted.number, interrupted.bytes_before, interrupted.on = number, before, call
        with pytest.raises(RAISES[number]):
            for _ in run:
                pass
    said = capfd.readouterr().err.splitlines()
    word = {"SIGINT": "interrupted", "SIGTERM": "terminated"}[signal.Signals(number).name]
    assert len(said) == 1, said
    assert said[0].startswith(f"outpace: {word}: ")


@both
@pytest.mark.parametrize("model", ["serial", "threads", "asyncio", "processes"])
def test_the_code_around_a_loop_is_interrupted_at_once_and_the_run_says_so(
    model: str, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def in_a_for() -> None:
        for _ in outpace.map(abs, iter(range(10**6)), model=model):
            send(number)

    def in_a_with() -> None:
        with outpace.map(abs, iter(range(10**6)), model=model) as run:
            next(run)
            send(number)

    for way in in_a_for, in_a_with:
        with pytest.raises(RAISES[number]):
            way()
        assert done == []
        said = capfd.readouterr().err.splitlines()
        assert len(said) == 1, said
        assert said[0].startswith("outpace: ")


@both
def test_one_that_is_caught_around_the_loop_disturbs_nobody(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    got = []
    run = outpace.map(abs, range(1000), model="threads", chunk=1)
    for value in run:
        if value == 3:
            with contextlib.suppress(RAISES[number]):
                send(number)
        got.append(value)
    assert got == list(range(1000))
    for _ in outpace.map(abs, range(1000), model="threads", chunk=1):
        break
    assert capfd.readouterr().err == ""


@both
@pytest.mark.parametrize("what", ["item", "source", "setup"])
def test_code_of_the_users_that_runs_inline_is_interrupted_at_once(number: int, what: str) -> None:
    def strike(here: str) -> None:
        if here == what:
            send(number)

    def work(item: int, _: object) -> int:
        strike("item")
        return item

    def source() -> Iterator[int]:
        strike("source")
        yield from range(10)

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        strike("setup")
        yield

    with pytest.raises(RAISES[number]):
        list(outpace.map(work, source(), model="serial", setup=setup))
    assert done == []


@both
def test_a_setup_that_hangs_in_a_worker_is_interrupted(number: int, gate: Gate) -> None:
    stop = gate.plain()

    @contextlib.contextmanager
    def setup() -> Iterator[None]:
        stop("setup")
        yield

    def strike() -> None:
        gate.arrivals(1)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises(RAISES[number]):
        list(outpace.map(lambda item, _: item, range(3), model="processes", setup=setup))
    thread.join()
    gate.wait_until_gone()


@both
def test_a_second_signal_before_the_first_was_heeded_waits_for_nobody_either(
    number: int, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry, called = Engine.hurry, []

    def interrupted_the_first_time(engine: Engine) -> None:
        called.append(number)
        if len(called) == 1:
            raise RAISES[signal.Signals(number)]
        hurry(engine)

    monkeypatch.setattr(Engine, "hurry", interrupted_the_first_time)
    run = outpace.map(gate.plain(), range(9), model="threads", in_flight=2)

    def interrupt() -> None:
        gate.arrivals(2)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(RAISES[signal.Signals(number)]):
        list(run)
    thread.join()
    gate.let_through()  # they were waited for by nobody until now


LEFT = """
import os, signal, sys, time
import outpace
model, number, how, caller = sys.argv[1], int(sys.argv[2]), sys.argv[3], os.getpid()

class Setup:
    def __enter__(self):
        return 1
    def __exit__(self, *_):
        os.kill(caller, number)
        time.sleep(0.2)

def work(item, _):
    return item

def leave():
    options = dict(model=model, setup=Setup, workers=1, in_flight=1)
    if how == "with":
        with outpace.map(work, range(1000), **options) as run:
            for _ in run:
                break
    elif how == "for":
        for _ in outpace.map(work, range(1000), **options):
            break
    else:
        next(outpace.map(work, range(1000), **options))

leave()
time.sleep(60)
print("the program goes on")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["with", "for", "next"])
@pytest.mark.parametrize("model", ["serial", "threads", "processes"])
def test_a_signal_while_a_loop_that_was_left_is_closed_ends_the_program(
    model: str, how: str, number: int, run_python: Callable[..., Any]
) -> None:
    done = run_python(LEFT, model, str(int(number)), how)
    assert done.returncode in (-number, 128 + number)
    assert done.stdout == ""
    assert "ignored" not in done.stderr


def test_the_end_of_a_races_time_while_a_run_in_an_item_is_closed_is_no_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()
    monkeypatch.setattr(signals, "_send", lambda number, _: sent.put(number))
    send_again(OutOfTime())
    send_again(Terminated(143))
    assert sent.get(timeout=20) == signal.SIGTERM
    assert sent.empty()
