"""What a worker does with what it hears, whatever it lives in: three ways to read, one loop."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

import pytest

from outpace.drivers.asyncio import driver as asyncio_driver
from outpace.drivers.serial import driver as serial_driver
from outpace.drivers.threads import driver as threads_driver
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call
from outpace.hosts.channel.codec import decode, encode
from outpace.hosts.channel.framing import Channel
from outpace.hosts.channel.messages import Done, Over, Ping, Pong, Ready, Work
from outpace.hosts.worker.caller import SocketCaller
from outpace.hosts.worker.serve import serve


class QueueCaller:
    """Be a caller in the same process: two queues."""

    def __init__(self, *messages: Any) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.said: list[Any] = []
        for message in messages:
            self.inbox.put(message)

    def receive(self, *, wait: bool = True) -> Any:
        message = self.inbox.get(block=wait)
        if isinstance(message, Over):
            raise EOFError  # noqa: TRY004 - the end of what comes
        return message

    def unpack(self, parcel: Any) -> Any:
        return parcel

    def send(self, message: Any) -> None:
        self.said.append(message)
        if isinstance(message, Done) and message.report.indexes[-1] == 3:
            self.inbox.put(Over())


@pytest.mark.parametrize("driver", [serial_driver, threads_driver, asyncio_driver])
def test_it_says_that_it_is_ready_and_reports_until_it_is_over(driver: Any) -> None:
    caller = QueueCaller(Work(Chunk(0, [-1, -2])), Ping(), Work(Chunk(2, [-3, -4])))
    workers = driver.open(Call(abs), 1)
    try:
        serve(caller, workers, inline=driver.inline, weigh=lambda: 7)
    finally:
        workers.close()
    ready, *rest = caller.said
    assert isinstance(ready, Ready)
    assert ready.weight == 7
    assert Pong() in rest
    reports = [said.report for said in rest if isinstance(said, Done)]
    indexes = [index for report in reports for index in report.indexes]
    values = [value for report in reports for value in report.values]
    assert sorted(zip(indexes, values, strict=True)) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_a_driver_that_is_a_loop_reads_on_it_and_needs_no_thread() -> None:
    ours, theirs = map(Channel, socket.socketpair())
    threads: set[str] = set()

    def count(item: int) -> int:
        threads.update(thread.name for thread in threading.enumerate())
        if item == 5:
            ours.sock.shutdown(socket.SHUT_WR)
        return item

    for n in range(3):
        ours.send(*encode(Work(Chunk(2 * n, [2 * n, 2 * n + 1]))))
    workers = asyncio_driver.open(Call(count), 2)
    serve(SocketCaller(theirs), workers, inline=False)
    workers.close()
    theirs.close()
    assert "outpace-read" not in threads
    frame = ours.receive()
    assert frame is not None
    assert isinstance(decode(frame), Ready)
    ours.close()
