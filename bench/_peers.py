"""The standard library and other people's pools, each opened the way its own documentation shows.

A peer is opened before its work and warmed with an item per worker, so that its start-up is apart
from its steady state, as ours is. What is not installed is a row that says so.
"""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from _work import anoop, noop

Go = Callable[[Callable[[Any], Any], "list[Any]"], Iterable[Any]]


@dataclass(frozen=True)
class Peer:
    """Be a pool: `like` is the model of ours it compares with, `share` the part of items it gets."""

    name: str
    like: str
    open: Callable[[int], AbstractContextManager[Go]]
    share: float = 1.0
    coroutine: bool = False
    module: str = ""

    @property
    def missing(self) -> bool:
        """Say whether it is not installed."""
        return bool(self.module) and importlib.util.find_spec(self.module) is None


@contextmanager
def thread_pool_executor(width: int) -> Iterator[Go]:
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(noop, range(width)))
        yield pool.map


@contextmanager
def process_pool_executor(width: int, chunk: int = 1) -> Iterator[Go]:
    with ProcessPoolExecutor(width) as pool:
        list(pool.map(noop, range(width)))
        yield partial(pool.map, chunksize=chunk)


@contextmanager
def pool_imap(width: int, chunk: int = 1) -> Iterator[Go]:
    with multiprocessing.Pool(width) as pool:
        pool.map(noop, range(width), chunksize=1)
        yield partial(pool.imap, chunksize=chunk)


@contextmanager
def pool_map(width: int) -> Iterator[Go]:
    with multiprocessing.Pool(width) as pool:
        pool.map(noop, range(width), chunksize=1)
        yield pool.map


@contextmanager
def gather(width: int) -> Iterator[Go]:
    async def limited(fn: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        limit = asyncio.Semaphore(width)

        async def one(item: Any) -> Any:
            async with limit:
                return await fn(item)

        return await asyncio.gather(*map(one, items))

    async def all_at_once(fn: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        return await asyncio.gather(*map(fn, items))

    with asyncio.Runner() as runner:
        runner.get_loop()
        main = limited if width else all_at_once
        yield lambda fn, items: runner.run(main(fn, items))


@contextmanager
def joblib_pool(width: int, backend: str) -> Iterator[Go]:
    import joblib  # noqa: PLC0415

    with joblib.Parallel(n_jobs=width, backend=backend) as parallel:
        parallel(joblib.delayed(noop)(n) for n in range(width))
        yield lambda fn, items: parallel(joblib.delayed(fn)(item) for item in items)


@contextmanager
def loky_pool(width: int, chunk: int = 1) -> Iterator[Go]:
    import loky  # noqa: PLC0415

    with loky.ProcessPoolExecutor(width) as pool:
        list(pool.map(noop, range(width)))
        yield partial(pool.map, chunksize=chunk)


@contextmanager
def mpire_pool(width: int) -> Iterator[Go]:
    import mpire  # noqa: PLC0415

    with mpire.WorkerPool(width, keep_alive=True) as pool:
        list(pool.imap(noop, range(width)))
        yield lambda fn, items: pool.imap(fn, items, iterable_len=len(items))


@contextmanager
def aiomultiprocess_pool(width: int) -> Iterator[Go]:
    import aiomultiprocess  # noqa: PLC0415

    async def opened() -> Any:
        pool = await aiomultiprocess.Pool(processes=width).__aenter__()
        await pool.map(anoop, range(width))
        return pool

    async def mapped(pool: Any, fn: Callable[[Any], Any], items: list[Any]) -> Any:
        return await pool.map(fn, items)

    with asyncio.Runner() as runner:
        pool = runner.run(opened())
        try:
            yield lambda fn, items: runner.run(mapped(pool, fn, items))
        finally:
            runner.run(pool.__aexit__(None, None, None))


PPE, POOL = "ProcessPoolExecutor.map", "multiprocessing.Pool"
joblib_loky = partial(joblib_pool, backend="loky")
joblib_threading = partial(joblib_pool, backend="threading")

PEERS = [
    Peer("ThreadPoolExecutor.map", "threads", thread_pool_executor, 0.05),
    Peer("joblib, threading", "threads", joblib_threading, 0.05, module="joblib"),
    Peer("asyncio.gather", "asyncio", lambda _: gather(0), 0.1, coroutine=True),
    Peer(PPE, "processes", process_pool_executor, 0.01),
    Peer(f"{PPE}, chunksize=1000", "processes", partial(process_pool_executor, chunk=1000)),
    Peer(f"{PPE}, chunksize=10000", "processes", partial(process_pool_executor, chunk=10_000)),
    Peer(f"{POOL}.imap", "processes", pool_imap, 0.02),
    Peer(f"{POOL}.imap, chunksize=1000", "processes", partial(pool_imap, chunk=1000)),
    Peer(f"{POOL}.imap, chunksize=10000", "processes", partial(pool_imap, chunk=10_000)),
    Peer(f"{POOL}.map", "processes", pool_map),
    Peer("joblib, loky", "processes", joblib_loky, 0.1, module="joblib"),
    Peer("loky", "processes", loky_pool, 0.01, module="loky"),
    Peer("loky, chunksize=10000", "processes", partial(loky_pool, chunk=10_000), module="loky"),
    Peer("mpire imap", "processes", mpire_pool, 0.1, module="mpire"),
    Peer(
        "aiomultiprocess",
        "processes+asyncio",
        aiomultiprocess_pool,
        0.01,
        coroutine=True,
        module="aiomultiprocess",
    ),
]

# The same for work that waits or is uneven: pools with a limit, one item at a time.
UNEVEN = [
    Peer("ThreadPoolExecutor.map", "threads", thread_pool_executor),
    Peer("asyncio.gather, Semaphore", "asyncio", gather, coroutine=True),
    Peer(PPE, "processes", process_pool_executor),
    Peer(f"{POOL}.imap", "processes", pool_imap),
    Peer(f"{POOL}.map", "processes", pool_map),
    Peer("joblib, loky", "processes", joblib_loky, module="joblib"),
    Peer("mpire imap", "processes", mpire_pool, module="mpire"),
]


def quiet() -> None:
    """Keep the peers' own warnings out of the tables."""
    warnings.simplefilter("ignore")
