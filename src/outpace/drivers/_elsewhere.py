"""Workers that live in a thread of their own.

For a caller whose thread is not free: one in which an event loop runs already (a notebook, an
asynchronous framework), where no second loop can run. Every method is carried out in that one thread,
in turn, so the workers inside still see a single user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from outpace.flow.data import Chunk, Report, Returned
from outpace.flow.protocol import Usage, Workers

if TYPE_CHECKING:
    import asyncio


class Elsewhere:
    """Be workers, opened and used in a thread of their own."""

    def __init__(self, open_workers: Callable[[], Workers]) -> None:
        """Start the thread and open the workers there."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outpace-loop")
        self._open_workers = open_workers
        self._inner: Workers | None = None
        self._closed = False

    def open(self) -> Elsewhere:
        """Open the workers, waiting for it."""
        try:
            self._inner = self._thread.submit(self._open_workers).result()
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def aopen(self) -> Elsewhere:
        """Open the workers, awaiting it."""
        try:
            self._inner = await self._loop().run_in_executor(self._thread, self._open_workers)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    @property
    def inner(self) -> Workers:
        """Return the workers inside."""
        assert self._inner is not None
        return self._inner

    @property
    def slots(self) -> int:
        """Say how many items can run at once."""
        return self.inner.slots

    @property
    def usage(self) -> Usage:
        """Say what workers outside this process used."""
        return self.inner.usage

    def start(self, chunk: Chunk) -> None:
        """Hand over items; the thread is idle now, for only `reports` works there."""
        self.inner.start(chunk)

    def reports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Wait for reports."""
        return self._thread.submit(self.inner.reports, timeout).result()

    async def areports(self, timeout: float | None) -> Sequence[Report | Returned]:
        """Await reports; a cancelled wait is ended in the thread too, so that it is free again."""
        waiting = self._loop().run_in_executor(self._thread, self.inner.reports, timeout)
        try:
            return await waiting
        except BaseException:
            self.inner.wake()
            raise

    def wake(self) -> None:
        """Make `reports` return early."""
        self.inner.wake()

    def close(self) -> None:
        """Close the workers and end the thread."""
        if not self._closed:
            self._closed = True
            try:
                self._thread.submit(self.inner.close).result()
            finally:
                self._thread.shutdown()

    async def aclose(self) -> None:
        """Do the same without blocking the loop."""
        if not self._closed:
            self._closed = True
            try:
                await self._loop().run_in_executor(self._thread, self.inner.close)
            finally:
                self._thread.shutdown()

    @staticmethod
    def _loop() -> asyncio.AbstractEventLoop:
        """Return the running loop."""
        import asyncio  # noqa: PLC0415 - a plain program should not pay for it

        return asyncio.get_running_loop()
