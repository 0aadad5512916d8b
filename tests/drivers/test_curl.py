"""The curl driver by the contract of drivers: what goes in is reported once, and nothing is left."""

import os
import signal
import threading
import time

import pytest

pytest.importorskip("pycurl", reason="the curl driver needs pycurl")

import outpace
from outpace.drivers import _poller
from outpace.drivers.curl import driver
from outpace.errors import UnknownModelError, UsageTypeError
from outpace.experiments import server
from outpace.fetching.settings import Getter
from outpace.fetching.transfer import Transfer
from outpace.flow.data import Chunk
from outpace.flow.protocol import Call
from outpace.flow.signals import claimed
from outpace.registry import find, names, request_names


@pytest.fixture(params=["epoll", "selector"])
def waiting(request, monkeypatch):
    """Have the driver wait with each of its two ways."""
    if request.param == "selector":
        monkeypatch.setattr(_poller, "poller", _poller.Selector)
        monkeypatch.setattr("outpace.drivers.curl.poller", _poller.Selector)


def opened(lanes=100, **settings):
    return driver.open(Call(Getter(user_agent="test", **settings)), lanes)


def all_reports(workers, count):
    reports, seen = [], 0
    while seen < count:
        for report in workers.reports(10.0):
            reports.append(report)
            seen += len(report)
    return reports


def test_every_item_is_reported_once(waiting):
    with server.running(0.0) as base:
        urls = server.urls(base, 500)
        workers = opened(in_flight=20)
        try:
            workers.start(Chunk(7, urls[:300]))
            workers.start(Chunk(307, urls[300:]))
            reports = all_reports(workers, 500)
            assert workers.reports(0.0) == ()
        finally:
            workers.close()

    indexes = [index for report in reports for index in report.indexes]
    assert sorted(indexes) == list(range(7, 507))
    for report in reports:
        assert all(page.status == 200 for page in report.values)
        assert all(a <= b for a, b in zip(report.started, report.ended, strict=True))


def test_connections_are_used_again():
    with server.running(0.0) as base:
        workers = opened(in_flight=3, per_host=3)
        try:
            workers.start(Chunk(0, [f"{base}/page/{n}" for n in range(100)]))
            all_reports(workers, 100)
            transfers = workers._free
            made = sum(t.curl.getinfo(_num_connects()) for t in transfers)
        finally:
            workers.close()

    assert len(transfers) <= 3
    assert made <= 3  # of the last three pages


def _num_connects():
    import pycurl

    return pycurl.NUM_CONNECTS


def test_reports_ends_when_its_time_is_up_and_when_it_is_woken(waiting, stopwatch):
    with server.running(30.0) as base:
        workers = opened()
        try:
            workers.start(Chunk(0, [f"{base}/page/0"]))
            began, seconds = time.monotonic(), stopwatch()
            assert workers.reports(0.05) == ()
            assert time.monotonic() - began >= 0.04
            assert seconds() < 5
            thread = threading.Timer(0.05, workers.wake)
            thread.start()
            assert workers.reports(None) == ()
            thread.join()
            assert [index for _, index, _ in workers.running()] == [0]
        finally:
            workers.close()
            workers.close()


class Unsettled:
    """Be the place of a transfer, where a signal arrives while a request is on its way out."""

    def take(self, _index, _since):
        signal.raise_signal(SENT[0])

    def leave(self):
        pass


class InterruptedGetter(Getter):
    __slots__ = ()

    def transfer(self, timeout=None):
        made = Transfer(self, timeout)
        made.place = Unsettled()
        return made


SENT = [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_leave_the_loop_half_way(capfd, number):
    class Stopped(BaseException):
        pass

    def stop(*_):
        raise Stopped

    SENT[0] = number
    before = signal.signal(number, stop)
    try:
        with server.running(0.0) as base:
            workers = driver.open(Call(InterruptedGetter()), 10)
            try:
                workers.start(Chunk(0, [f"{base}/page/{n}" for n in range(10)]))
                with claimed(), pytest.raises(Stopped):
                    all_reports(workers, 10)
                assert signal.getsignal(number) is stop
            finally:
                workers.close()  # else: "curl object not on this multi-stack"
    finally:
        signal.signal(number, before)
    assert not capfd.readouterr().err


def test_a_signal_ends_the_wait_at_once(stopwatch):
    with server.running(30.0) as base:
        workers = opened()
        try:
            workers.start(Chunk(0, [f"{base}/page/0"]))
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            seconds = stopwatch()
            with claimed(), pytest.raises(KeyboardInterrupt):
                workers.reports(20.0)
            assert seconds() < 5
            timer.join()
        finally:
            workers.close()


def test_a_calls_timeout_is_kept():
    with server.running(30.0) as base:
        workers = driver.open(Call(Getter(), timeout=0.1), 10)
        try:
            workers.start(Chunk(0, [f"{base}/page/0"]))
            (report,) = workers.reports(10.0)
        finally:
            workers.close()

    assert report.failures[0].kind == "timed-out"
    assert report.failures[0].error.kind == "timeout"


class Odd(Transfer):
    """Fail at what nobody has thought of, for every second page."""

    def end(self, code, words):
        page = super().end(code, words)
        if int(page.url[-1]) % 2:
            raise LookupError("nobody has thought of this")
        return page


class OddGetter(Getter):
    __slots__ = ()

    def transfer(self, timeout=None):
        return Odd(self, timeout)


def test_whatever_happens_to_one_page_is_its_outcome_alone():
    with server.running(0.0) as base:
        workers = driver.open(Call(OddGetter(in_flight=4, per_host=4)), 100)
        try:
            workers.start(Chunk(0, [f"{base}/page/{n}" for n in range(50)]))
            reports = all_reports(workers, 50)
        finally:
            workers.close()

    failures = [failure for report in reports for failure in report.failures.values()]
    assert len(failures) == 25
    assert {str(failure.error) for failure in failures} == {
        "LookupError: nobody has thought of this"
    }


def test_a_getter_is_a_function_too():
    with server.running(0.0) as base:
        urls = [f"{base}/page/{n}" for n in range(6)]
        pages = list(outpace.map(Getter(), urls, model="threads", in_flight=3))

    assert [(page.url, page.status) for page in pages] == [(url, 200) for url in urls]


def test_a_pycurl_that_is_too_old_is_said_so(monkeypatch):
    import pycurl

    monkeypatch.delattr(pycurl, "RETRY_AFTER")

    assert "too old" in driver.unavailable()


def test_it_is_a_model_of_no_function():
    assert request_names() == ["fetch", "processes+fetch"]
    assert not set(names()) & {"curl", "fetch", *request_names()}
    for name in request_names():
        with pytest.raises(UnknownModelError):
            outpace.map(abs, [1], model=name)
        assert find(name, for_requests=True).driver is driver
    with pytest.raises(UsageTypeError, match=r"outpace\.fetch"):
        driver.open(Call(abs), 1)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_page():
    """Its pages are fetched again by the one that takes its place."""
    pytest.importorskip(
        "can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)"
    )
    with server.running(0.02) as base:
        urls = server.urls(base, 400)
        seen = []
        with outpace.fetch(urls, workers=2, per_host=2, in_flight=16, timeout=20) as run:
            for outcome in run:
                seen.append(outcome)
                if len(seen) == 20:
                    crew = run._engine.workers
                    _kill_one(crew)

    assert sorted(outcome.item for outcome in seen) == sorted(urls)
    assert all(outcome.ok for outcome in seen)


def _kill_one(crew):
    os.kill(crew.processes()[0], signal.SIGKILL)
