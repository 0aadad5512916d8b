"""Worker processes as the pool sees them, and what becomes of them when what starts them dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from outpace.drivers.serial import driver
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call
from outpace.hosts.channel.messages import Bye, Died, Done, Lost, Over, Ready, Work
from outpace.hosts.launch.transport import ProcessTransport
from outpace.hosts.pool.transport import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends Unix signals; needs POSIX")


@pytest.fixture(params=["template", "spawn"])
def transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ProcessTransport]:
    monkeypatch.setenv("OUTPACE_START", request.param)
    with contextlib.closing(ProcessTransport(Call(abs), driver, weigh=False)) as made:
        yield made


def heard(transport: ProcessTransport, until: type) -> list[Any]:
    """Listen until something of this kind comes; return all that has come."""
    events: list[Any] = []
    while not any(isinstance(event, until) for event in events):
        events += [event for _, event in transport.wait(None)]
    return events


def test_a_worker_says_that_it_is_ready_and_what_has_ended_and_goodbye(
    transport: ProcessTransport,
) -> None:
    (link,) = transport.launch([Place(0, 1)])
    link.send(Work(Chunk(3, [-1, -2])))  # nobody is there yet
    assert [type(event) for event in heard(transport, Done)] == [Ready, Done]
    link.send(Over())
    assert [type(event) for event in heard(transport, Died)] == [Bye, Lost, Died]
    link.close()


def test_one_that_is_killed_has_died_and_how(transport: ProcessTransport) -> None:
    (link,) = transport.launch([Place(0, 1)])
    heard(transport, Ready)
    link.kill("for the test")
    *_, died = heard(transport, Died)
    assert died.exitcode == -signal.SIGKILL
    link.close()


def test_one_that_is_killed_before_it_is_there_dies_all_the_same(
    transport: ProcessTransport,
) -> None:
    (link,) = transport.launch([Place(0, 1)])
    link.kill("for the test")
    *_, died = heard(transport, Died)
    assert died.exitcode == -signal.SIGKILL
    link.close()


def test_when_what_has_started_it_is_gone_nobody_can_say_how_a_worker_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OUTPACE_START", "template")
    with contextlib.closing(ProcessTransport(Call(abs), driver, weigh=False)) as transport:
        (link,) = transport.launch([Place(0, 1)])
        heard(transport, Ready)
        template: Any = transport._launcher
        template._process.kill()
        link.kill("for the test")
        *_, died = heard(transport, Died)
        assert died.exitcode in (None, -signal.SIGKILL)
        assert transport._patience(None) is None  # nothing is looked for again and again
        link.close()


def test_wake_ends_a_wait(transport: ProcessTransport) -> None:
    transport.wake()
    before = time.perf_counter()
    assert transport.wait(60.0) == []
    assert time.perf_counter() - before < 60.0
