"""n transfers in flight on libcurl's multi interface: for pages by URL, and nothing else.

No task and no thread per page: libcurl says which sockets it waits for, and a loop of a few lines waits
for all of them at once. What the job calls its function is here an object (`fetching.request.Getter`)
that is asked for two things: the policy that says which request may go out now, and transfers.

The driver takes in many more items than it has transfers: a policy that knows one host only has
nothing to choose from. So `slots`, the number of items that it holds, is not what is in flight.

Guarantees: every item is reported exactly once; the loop runs only inside `reports`; a connection is
used again for the next page. Tested by tests/drivers/test_curl.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from outpace.drivers._columns import Columns
from outpace.drivers._poller import Waker, poller
from outpace.drivers._requests import Requests, Transfer
from outpace.errors import FetchError, UsageTypeError
from outpace.flow.board import Place
from outpace.flow.data import Chunk, Failure, Report
from outpace.flow.protocol import Call, Driver, InThisProcess, Running
from outpace.flow.signals import undisturbed

BATCH = 64  # pages in a report: with 16 they cost 1 µs more each, with 256 nothing less
RESOLVER_GRACE = 1.0  # seconds that closing waits for names that are being resolved
LINGER = 0.005  # seconds that a page may wait for company while others are in flight

clock = time.perf_counter


class Curl(Driver):
    """Keep n transfers in flight on libcurl's multi interface."""

    name = "curl"
    summary = "transfers on libcurl"
    native_async = False
    overlaps = True
    scattered = True
    inline = False
    takes_functions = False  # it carries out requests; the registry lists it for no function

    def unavailable(self) -> str | None:
        """Say that pycurl is missing or too old, if so."""
        try:
            import pycurl  # noqa: PLC0415 - an extra
        except ImportError:
            return "it needs pycurl: pip install 'outpace[fetch]'"
        if not hasattr(pycurl, "RETRY_AFTER"):
            version = pycurl.version.partition(" ")[0]
            return f"{version} is too old: pip install --upgrade 'outpace[fetch]'"
        return None

    def open(self, call: Call, lanes: int) -> CurlWorkers:
        """Make ready to hold that many items; raise `UsageTypeError` for an ordinary function."""
        if not hasattr(call.fn, "transfer"):
            msg = "the curl driver carries out requests, not functions: use outpace.fetch"
            raise UsageTypeError(msg)
        requests: Any = call.fn
        return CurlWorkers(requests, lanes, call)


class CurlWorkers(InThisProcess):
    """Be the transfers, the loop that waits for them, and the columns they fill."""

    def __init__(self, requests: Requests, lanes: int, call: Call) -> None:
        """Have no transfers yet: they are made when there is something for them to do."""
        import pycurl  # noqa: PLC0415 - an extra

        self.slots = lanes
        self._requests = requests
        self._timeout = call.timeout
        # In a worker process its caller can see what is in flight, should the process die.
        self._board = call.board
        self._places: list[Place] = []  # of transfers that were given up
        self._multi = pycurl.CurlMulti()
        self._poller = poller()
        self._waker = Waker()
        self._poller.watch(1, self._waker.fd)
        self._timer_fired, self._error = pycurl.SOCKET_TIMEOUT, pycurl.error
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, requests.in_flight)
        # The mutable state of the work: who waits, what is out, and what has ended.
        self._policy = requests.policy()
        self._free: list[Transfer] = []
        self._to_make = requests.in_flight
        self._running: dict[Any, Transfer] = {}
        self._ended = Columns()
        self._timer: float | None = None  # when libcurl wants to be called, whatever happens
        self._woken = False
        self._closed = False
        self._unresolved = False  # whether a thread of libcurl's may still wait for a resolver
        self._cpu = time.thread_time()

    def start(self, chunk: Chunk) -> None:
        """Put items in line."""
        push = self._policy.push
        for index, item in enumerate(chunk.items, chunk.first):
            push(index, item)

    @undisturbed
    def reports(self, timeout: float | None) -> Sequence[Report]:
        """Run the loop until enough has ended, or nothing more can, or time is up."""
        self._loop(timeout)
        self._woken = False
        if not self._ended:
            return ()
        ended, self._ended = self._ended, Columns()
        before, self._cpu = self._cpu, time.thread_time()
        return ended.reports(self._cpu - before)

    def wake(self) -> None:
        """End the current `reports` from whichever thread."""
        self._waker.wake()

    def running(self) -> Iterator[Running]:
        """Yield, for every transfer in flight, its worker, its item's index, and since when."""
        for transfer in self._running.values():
            if transfer.ticket[0] >= 0:
                yield 0, transfer.ticket[0], transfer.started

    def close(self) -> None:
        """Drop what is in flight, and every connection."""
        if self._closed:
            return
        self._closed = True
        for curl, transfer in self._running.items():
            self._multi.remove_handle(curl)
            transfer.close()
        for transfer in self._free:
            transfer.close()
        may_wait = self._unresolved or bool(self._running)
        self._running.clear()
        self._free.clear()
        if may_wait:
            self._close_apart()
        else:
            self._multi.close()
        self._poller.close()
        self._waker.close()

    def _close_apart(self) -> None:
        """Close libcurl's part without waiting long for a resolver that does not answer.

        libcurl waits for its resolver threads, and nothing ends a `getaddrinfo` but its own timeout, of
        ten seconds or more. Then it goes on in a thread that keeps nobody from leaving.
        """
        closing = threading.Thread(
            target=self._multi.close, name="outpace waits for a resolver", daemon=True
        )
        closing.start()
        closing.join(RESOLVER_GRACE)

    # The loop.

    def _loop(self, timeout: float | None) -> None:
        """Fill, wait, take in; again and again."""
        now = clock()
        until = None if timeout is None else now + timeout
        self._fill(now)
        while not self._is_enough(now, until):
            self._turn(self._patience(now, until))
            now = clock()
            self._fill(now)

    def _is_enough(self, now: float, until: float | None) -> bool:
        """Say whether it is time to report."""
        ended = self._ended.ended
        if not ended:
            return self._woken or (until is not None and now >= until)
        return (
            len(ended) >= BATCH
            or not self._running
            or self._woken
            or now - ended[0] >= LINGER
            or (until is not None and now >= until)
        )

    def _patience(self, now: float, until: float | None) -> float | None:
        """Say how long the loop may wait for sockets."""
        times = [time for time in (self._timer, until) if time is not None]
        if (self._free or self._to_make) and (due := self._policy.due()) is not None:
            times.append(due)
        if self._ended:
            times.append(self._ended.ended[0] + LINGER)
        return max(0.0, min(times) - now) if times else None

    def _turn(self, timeout: float | None) -> None:
        """Wait once, let libcurl do what there is to do, and take in what has ended."""
        multi = self._multi
        for fd, event in self._poller.wait(timeout):
            if fd == self._waker.fd:
                self._waker.clear()
                self._woken = True
            else:
                multi.socket_action(fd, event)
        if self._timer is not None and clock() >= self._timer:
            self._timer = None
            multi.socket_action(self._timer_fired, 0)
        left = 1
        while left:
            left, done, failed = multi.info_read(BATCH)
            for curl in done:
                self._end(curl, 0, "")
            for curl, code, words in failed:
                self._end(curl, code, words)

    def _fill(self, now: float) -> None:
        """Let go out what may."""
        take, ended = self._policy.take, self._ended
        while self._free or self._to_make:
            ticket = take(now)
            if ticket is None:
                return
            index, item, _, refusal = ticket
            if refusal is not None:
                ended.one(index, None, Failure(refusal), now, now)
                continue
            transfer = self._free.pop() if self._free else self._made()
            transfer.ticket = ticket
            try:
                transfer.begin(item)
            except (self._error, ValueError, UnicodeError) as error:
                self._free.append(transfer)
                why = FetchError(f"it cannot be asked for: {error}", "invalid-url")
                self._settle(ticket, None, why, now, now)
            else:
                self._running[transfer.curl] = transfer
                if transfer.place is not None:
                    transfer.place.take(index, transfer.started)
                self._multi.add_handle(transfer.curl)

    def _made(self) -> Transfer:
        """Make one more transfer."""
        transfer = self._requests.transfer(self._timeout)
        number = self._requests.in_flight - self._to_make
        self._to_make -= 1
        if self._places:
            transfer.place = self._places.pop()
        elif self._board is not None and number < self._board.shape.places - 1:
            transfer.place = self._board.places[number]
        return transfer

    def _unmake(self, transfer: Transfer) -> None:
        """Give up a transfer of which nobody knows what state it is in."""
        transfer.close()
        self._to_make += 1
        if transfer.place is not None:
            self._places.append(transfer.place)

    def _end(self, curl: Any, code: int, words: str) -> None:
        """Take in how a transfer has ended."""
        self._multi.remove_handle(curl)
        transfer = self._running.pop(curl)
        if transfer.place is not None:
            transfer.place.leave()
        now = clock()
        try:
            value = transfer.end(code, words)
        except FetchError as error:
            self._unresolved |= error.kind == "dns"
            self._settle(transfer.ticket, None, error, transfer.started, now)
        except Exception as error:  # noqa: BLE001 - whatever happens to one page is its outcome alone
            why = FetchError(f"{type(error).__name__}: {error}")
            why.__cause__ = error
            self._settle(transfer.ticket, None, why, transfer.started, now)
            self._unmake(transfer)
            return
        else:
            self._settle(transfer.ticket, value, None, transfer.started, now)
        self._free.append(transfer)

    def _settle(
        self, ticket: Any, value: Any, error: FetchError | None, started: float, now: float
    ) -> None:
        """Tell the policy and, unless it was a request of its own, the caller."""
        self._policy.ended(ticket, now, value, error)
        index = ticket[0]
        if index >= 0:
            failure = None
            if error is not None:
                failure = Failure(error, "timed-out" if error.kind == "timeout" else "failed")
            self._ended.one(index, value, failure, started, now)

    # What libcurl calls.

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        """Note which sockets libcurl waits for."""
        if not self._closed:
            self._poller.watch(what, fd)

    def _set_timer(self, milliseconds: int) -> None:
        """Note when libcurl wants to be called."""
        self._timer = None if milliseconds < 0 else clock() + milliseconds / 1000


driver = Curl()
