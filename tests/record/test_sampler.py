"""A helper process looks at threads from outside, and goes away."""

import os
import subprocess
import sys
import threading
import time
from array import array

import pytest

from outpace.record.sampler import client
from outpace.record.sampler.client import Sampler, read
from outpace.record.sampler.proc import WAIT_NAMES, by_place, by_syscall, spent
from outpace.record.sampler.process import SampledThread, ThreadBins

linux = pytest.mark.skipif(not client.possible(), reason="threads are seen from outside on Linux")


def seconds_of(samples: client.Samples) -> dict[str, float]:
    found = dict.fromkeys((*WAIT_NAMES, "cpu", "ready"), 0.0)
    columns = (samples.began, samples.ended, samples.cpu_s, samples.ready_s, samples.wait)
    for began, ended, cpu, ready, wait in zip(*columns, strict=True):
        found["cpu"] += cpu
        found["ready"] += ready
        found[WAIT_NAMES[wait]] += max(0.0, ended - began - cpu - ready)
    return found


def seen(work, *args) -> dict[str, float]:
    """Return what a thread was seen to do that does some work."""
    number = []

    def target() -> None:
        number.append(threading.get_native_id())
        work(*args)

    looking = Sampler()
    looking.look_at([os.getpid()])
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return seconds_of(looking.end()[os.getpid(), number[0]])


def mostly(found: dict[str, float]) -> str:
    return max(WAIT_NAMES, key=found.__getitem__)


@linux
def test_a_sleep_is_a_sleep():
    assert mostly(seen(time.sleep, 0.3)) == "sleep"


@linux
def test_a_lock_is_no_gil():
    lock = threading.Lock()
    lock.acquire()

    found = seen(lambda: lock.acquire(timeout=0.3))

    assert mostly(found) == "lock"
    assert found["gil"] < 0.05


@linux
def test_a_child_is_waited_for():
    found = seen(subprocess.run, [sys.executable, "-S", "-c", "import time; time.sleep(0.3)"])

    assert mostly(found) == "child"


@linux
def test_the_cpu_time_is_the_systems_own():
    def spin() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass

    assert seen(spin)["cpu"] == pytest.approx(0.2, abs=0.05)


@linux
def test_a_helper_that_has_died_leaves_no_samples_and_no_error():
    looking = Sampler()
    assert looking._process is not None
    looking._process.kill()

    looking.look_at([os.getpid()])

    assert looking.end() == {}
    assert looking.end() == {}


@linux
def test_a_fork_that_keeps_the_pipe_keeps_nobody():
    looking = Sampler()
    looking.look_at([os.getpid()])
    r, w = os.pipe()
    child = subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"],
                             stdin=r, close_fds=False)  # fmt: skip

    time.sleep(0.2)  # to be looked at
    found = looking.end()

    os.close(r)
    os.close(w)
    child.kill()
    child.wait()
    assert (os.getpid(), os.getpid()) in found


def test_where_nothing_can_be_seen_nothing_is(monkeypatch):
    monkeypatch.setattr(client, "possible", lambda: False)
    looking = Sampler()
    looking.look_at([os.getpid()])

    assert looking.end() == {}


@pytest.mark.parametrize("data", [b"", b"\x01", (5).to_bytes(8, "little") + b"short"])
def test_an_account_that_is_cut_short_is_none(data):
    assert read(data) == {}


@linux
def test_bins_that_are_alike_are_one():
    thread = SampledThread(os.getpid(), threading.get_native_id(), (0, 0))
    bins = ThreadBins()
    bins.add(thread, (0.0, 1.0, 0.5, 0.0, "gil"))
    bins.add(thread, (1.0, 2.0, 0.5, 0.0, "gil"))
    bins.add(thread, (2.0, 3.0, 0.1, 0.0, "gil"))
    bins.add(thread, (3.0, 4.0, 0.1, 0.0, "lock"))
    thread.close()

    assert bins.ended == array("d", [2.0, 3.0, 4.0])
    assert list(bins.cpu) == pytest.approx([1.0, 0.1, 0.1])


@linux
@pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the numbers of calls are this machine's"
)
@pytest.mark.parametrize(
    ("line", "wait"),
    [
        (b"running", "running"),
        (b"-1 0x7ffe 0x7f00", "disk"),
        (b"230 0x0 0x0 0x7ffe 0x7ffe 0x0 0x0 0x7ffe 0x7f73", "sleep"),
        (b"202 0x1500 0x89 0x0 0x0 0x0 0xffffffff 0x7ffe 0x7f73", "gil"),
        (b"202 0x2500 0x89 0x0 0x0 0x0 0xffffffff 0x7ffe 0x7f73", "lock"),
        (b"45 0x5 0x7ffe 0x10 0x0 0x0 0x0 0x7ffe 0x7f73", "network"),
        (b"61 0xff 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f73", "child"),
        (b"7 0x0 0x0 0x10 0x0 0x0 0x0 0x7ffe 0x7f73", "sleep"),
        (b"999 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f73", "unknown"),
    ],
)
def test_a_call_says_what_is_waited_for(line, wait):
    assert by_syscall(line, os.getpid(), (0x1000, 0x2000)) == wait


@linux
def test_time_that_is_counted_late_belongs_to_the_bins_before():
    thread = SampledThread(os.getpid(), threading.get_native_id(), (0, 0))
    bins = ThreadBins()
    bins.add(thread, (0.0, 1.0, 1.0, 0.0, "running"))
    bins.add(thread, (1.0, 2.0, 0.0, 0.0, "gil"))
    bins.add(thread, (2.0, 3.0, 0.0, 0.0, "running"))
    bins.add(thread, (3.0, 4.0, 0.5, 2.0, "running"))
    bins.add(thread, (4.0, 5.0, 0.0, 0.0, "sleep"))
    thread.close()

    known = [n for n in range(len(bins.began)) if bins.ended[n] > bins.began[n]]
    assert [(bins.began[n], bins.ended[n], bins.cpu[n], bins.ready[n]) for n in known] == [
        (0.0, 1.0, 1.0, 0.0),
        (1.0, 4.0, 0.5, 2.0),
        (4.0, 5.0, 0.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("place", "wait"),
    [
        (b"0", "running"),
        (b"futex_do_wait", "lock"),
        (b"hrtimer_nanosleep", "sleep"),
        (b"do_wait", "child"),
        (b"wait_woken", "network"),
        (b"something_else", "unknown"),
    ],
)
def test_a_place_in_the_kernel_says_less(place, wait):
    assert by_place(place) == wait


@linux
def test_what_a_thread_has_spent_is_read():
    cpu, ready = spent("self", threading.get_native_id())

    assert cpu > 0
    assert ready >= 0
