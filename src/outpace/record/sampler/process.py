"""The helper process that looks at threads from outside, without the GIL of any of them.

It is told processes to look at, a number a line; every few milliseconds it reads what their threads have
spent on a CPU and ready for one, and what they wait for (`proc`). Told to end, it writes the bins as
columns; when the caller is gone, it ends too. The period adapts, so that looking costs
no more than `CORE_SHARE` of a core. It imports next to nothing: it starts in some 20 ms beside the work.

How the GIL is told from other locks stands in `gil`.
"""

from __future__ import annotations

import os
import select
import sys
import time
from array import array

from outpace.record.sampler.gil import gil_of
from outpace.record.sampler.proc import WAIT_NAMES, Wait, by_place, by_syscall

PERIOD_S = 0.002  # seconds between two looks
CORE_SHARE = 0.04  # of a core that looking may cost
NEW_THREADS_S = 0.01  # seconds between two looks for new threads
ALIKE_SHARES = 0.05  # by how much the shares of two bins may differ that become one
READY_SHARE = (
    0.05  # share of a bin that a thread must have been ready for, if it is to have run but for that
)
BINS_A_PERIOD = 300_000  # bins after which the period is doubled

END = b"end"  # what we are told at last: a fork of the caller may keep our input open

clock = time.perf_counter


class SampledThread:
    """One thread that is looked at, and the bin that is growing."""

    def __init__(self, process: int, number: int, gil: tuple[int, int]) -> None:
        """Open what is read; raise OSError when it is gone."""
        self.process, self.number, self.gil = process, number, gil
        folder = f"/proc/{process}/task/{number}"
        self._spent = os.open(f"{folder}/schedstat", os.O_RDONLY)
        self._call = -1
        self._place = -1
        try:
            self._call = os.open(f"{folder}/syscall", os.O_RDONLY)
            os.pread(self._call, 1, 0)
        except OSError:  # not ours to trace: then less is known
            if self._call >= 0:
                os.close(self._call)
                self._call = -1
            try:
                self._place = os.open(f"{folder}/wchan", os.O_RDONLY)
            except OSError:
                self._place = -1
        self.began = clock()
        self.cpu, self.ready, self.turns = self._read()
        self.wait: Wait = "unknown"

    def _read(self) -> tuple[int, ...]:
        """Return the nanoseconds spent on a CPU and ready for one, and how often it was given one."""
        return tuple(map(int, os.pread(self._spent, 96, 0).split()))

    def look(self) -> tuple[float, float, float, float, Wait]:
        """Return the bin since the last look: from, to, seconds on a CPU, seconds ready, the wait.

        The wait is what the rest of the time went to. Of a thread that runs at both ends and has never
        left the CPU, or only for want of one, that is time for which the machine itself did not run.
        """
        wait = self._waits_for()
        (cpu, ready, turns), now = self._read(), clock()
        found = self.began, now, (cpu - self.cpu) / 1e9, (ready - self.ready) / 1e9
        kind: Wait = wait if wait != "running" else self.wait
        if kind == "running" and turns > self.turns and found[3] < READY_SHARE * (now - self.began):
            kind = "unknown"
        self.began, self.wait = now, wait
        self.cpu, self.ready, self.turns = cpu, ready, turns
        return *found, kind

    def _waits_for(self) -> Wait:
        """Say what it waits for now."""
        if self._call >= 0:
            return by_syscall(os.pread(self._call, 256, 0), self.process, self.gil)
        return by_place(os.pread(self._place, 64, 0)) if self._place >= 0 else "unknown"

    def close(self) -> None:
        """Close what was opened."""
        for fd in (self._spent, self._call, self._place):
            if fd >= 0:
                os.close(fd)


class ThreadBins:
    """The bins of all threads, as columns."""

    def __init__(self) -> None:
        """Have none."""
        self.who, self.wait = array("q"), array("b")
        self.began, self.ended = array("d"), array("d")
        self.cpu, self.ready = array("f"), array("f")
        self._last: dict[int, int] = {}
        self._before = array("q")  # each one's predecessor of the same thread

    def add(self, thread: SampledThread, bin_: tuple[float, float, float, float, Wait]) -> None:
        """Take in a bin; join it to the thread's last one where that is alike."""
        began, ended, cpu, ready, wait = bin_
        took = ended - began
        n = self._last.get(thread.number)
        if n is not None and self.ended[n] == began and self.wait[n] == WAIT_NAMES.index(wait):
            before = self.ended[n] - self.began[n]
            if (
                abs(self.cpu[n] / before - cpu / took) < ALIKE_SHARES
                and abs(self.ready[n] / before - ready / took) < ALIKE_SHARES
            ):
                self.ended[n] = ended
                self.cpu[n] += cpu
                self.ready[n] += ready
                return
        self._before.append(-1 if n is None else n)
        self.who.extend((thread.process, thread.number))
        self.began.append(began)
        self.ended.append(ended)
        self.cpu.append(cpu)
        self.ready.append(ready)
        self.wait.append(WAIT_NAMES.index(wait))
        self._last[thread.number] = self._settled(len(self.began) - 1)

    def _settled(self, n: int) -> int:
        """Join a bin to those before it for as long as it has more than fits; return which it is then.

        The system counts a thread's time when it leaves the CPU, or gets one, or at its next tick: what
        is counted now may have been some milliseconds ago.
        """
        while (
            (before := self._before[n]) >= 0
            and self.ended[before] == self.began[n]
            and self.cpu[n] + self.ready[n] > self.ended[n] - self.began[n]
        ):
            self.ended[before] = self.ended[n]
            self.cpu[before] += self.cpu[n]
            self.ready[before] += self.ready[n]
            self.began[n] = self.ended[n]
            self.cpu[n] = self.ready[n] = 0.0
            n = before
        return n

    def write(self, fd: int) -> None:
        """Write their number and the columns."""
        data = len(self.began).to_bytes(8, "little") + b"".join(
            column.tobytes()
            for column in (self.who, self.began, self.ended, self.cpu, self.ready, self.wait)
        )
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]


def main(file: str, offset: int) -> None:
    """Look until the input ends; `file` and `offset` say where the interpreter's variable is."""
    threads: dict[tuple[int, int], SampledThread] = {}
    processes: dict[int, tuple[int, int]] = {}
    bins, period, doubled, fresh_at, pause = ThreadBins(), PERIOD_S, 1, 0.0, 0.0
    os.write(1, b"ready\n")
    while (told := told_within(pause)) is not None:
        for number in told:
            processes[number] = gil_of(number, file, offset)
        began = clock()
        if began >= fresh_at or told:
            find_threads(processes, threads)
            fresh_at = began + NEW_THREADS_S
        look(threads, bins)
        if len(bins.began) > BINS_A_PERIOD * doubled:
            period, doubled = period * 2, doubled * 2
        took = clock() - began
        pause = max(period - took, took / CORE_SHARE - took, 0.0)
    look(threads, bins)
    bins.write(1)


def told_within(seconds: float) -> list[int] | None:
    """Wait so long; return the processes that we were told to look at, None when it is over."""
    if not select.select([0], [], [], seconds)[0]:
        return []
    data = os.read(0, 65536)  # what fits into a pipe is written as a whole
    return None if END in data or not data else list(map(int, data.split()))


def look(threads: dict[tuple[int, int], SampledThread], bins: ThreadBins) -> None:
    """Look at every thread."""
    for key, thread in list(threads.items()):
        try:
            bins.add(thread, thread.look())
        except (OSError, ValueError):  # it has ended
            threads.pop(key).close()


def find_threads(
    processes: dict[int, tuple[int, int]], threads: dict[tuple[int, int], SampledThread]
) -> None:
    """Begin to look at threads that are new."""
    for process, gil in list(processes.items()):
        try:
            numbers = os.listdir(f"/proc/{process}/task")  # noqa: PTH208 - no pathlib here
        except OSError:
            del processes[process]
            continue
        for number in map(int, numbers):
            if (process, number) not in threads:
                try:
                    threads[process, number] = SampledThread(process, number, gil)
                except (OSError, ValueError):
                    continue


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
