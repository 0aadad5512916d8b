"""How each contestant of fetch.py fetches pages: as its own documentation shows, keeping connections.

Each function gets the job and returns what starts it: imports and preparations are done by then. What
is started returns how many pages came whole.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZE = 18_547
Start = Callable[[], int]


@dataclass(frozen=True)
class Job:
    """Be what is to be fetched, and where to put it."""

    base: str
    pages: int
    at_once: int
    folder: Path
    http2: bool = False

    def urls(self) -> list[str]:
        """Return the URLs."""
        return [f"{self.base}/page/{n}.html" for n in range(self.pages)]


# libcurl, and ours.


def bare(job: Job) -> Start:
    """Fetch with pycurl's multi interface and nothing else, as its examples do."""
    import pycurl  # noqa: PLC0415

    sizes = [0]

    def write(data: bytes) -> None:
        sizes[0] += len(data)

    handles = [pycurl.Curl() for _ in range(job.at_once)]
    for curl in handles:
        curl.setopt(pycurl.WRITEFUNCTION, write)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 1)
        curl.setopt(pycurl.PIPEWAIT, int(job.http2))
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    multi = pycurl.CurlMulti()

    def start() -> int:
        free, done, urls = list(handles), 0, job.urls()
        while done < job.pages:
            while free and urls:
                free[-1].setopt(pycurl.URL, urls.pop())
                multi.add_handle(free.pop())
            multi.perform()
            _, ended, failed = multi.info_read(1000)
            for curl in ended:
                multi.remove_handle(curl)
            free += ended
            done += len(ended)
            if failed:
                raise SystemExit(failed[0][2])
            if not ended:
                multi.select(1.0)
        return sizes[0] // SIZE

    return start


def _ours(job: Job, *, into: str | None = None, outcomes: bool = False, workers: int = 1) -> Start:
    from outpace.fetching.api import open_fetch  # noqa: PLC0415

    run = open_fetch(
        job.urls(),
        into=job.folder / into if into else None,
        in_flight=job.at_once,
        per_host=job.at_once,
        insecure=job.http2,
        workers=workers,
        outcomes=outcomes,
    )

    def start() -> int:
        for _ in run:
            pass
        return run.tally.size // SIZE

    return start


def ours(job: Job) -> Start:
    """Keep nothing."""
    return _ours(job)


def ours_in_two(job: Job) -> Start:
    """Keep nothing, in two processes."""
    return _ours(job, workers=2)


def ours_to_a_loop(job: Job) -> Start:
    """Have the caller look at every outcome, with the page's body and its sha256 in it."""
    return _ours(job, outcomes=True)


def ours_warc(job: Job) -> Start:
    """Write one archive, not compressed, with sha256 and manifest."""
    return _ours(job, into="pages.warc")


def ours_directory(job: Job) -> Start:
    """Write a file a page, with sha256 and manifest."""
    return _ours(job, into="pages")


# Libraries. Each reads the whole body and counts it.


def aiohttp_(job: Job) -> Start:
    """Have one session, as many tasks as may be in flight."""
    import aiohttp  # noqa: PLC0415

    async def main() -> int:
        urls, count = iter(job.urls()), 0
        connector = aiohttp.TCPConnector(limit=job.at_once)

        async def lane(session: aiohttp.ClientSession) -> None:
            nonlocal count
            for url in urls:
                async with session.get(url) as response:
                    body = await response.read()
                count += len(body) == SIZE

        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(lane(session) for _ in range(job.at_once)))
        return count

    return lambda: asyncio.run(main())


async def read_with_aiohttp(urls: list[str]) -> int:
    """Read some pages with a session of their own: a task of aiomultiprocess is a coroutine call."""
    import aiohttp  # noqa: PLC0415

    async with aiohttp.ClientSession() as session:
        count = 0
        for url in urls:
            async with session.get(url) as response:
                body = await response.read()
            count += len(body) == SIZE
        return count


def aiomultiprocess_(job: Job) -> Start:
    """Have two processes; each task reads 50 pages with one session, so that connections are kept."""
    import aiomultiprocess  # noqa: PLC0415

    async def main() -> int:
        urls = job.urls()
        parts = [urls[n : n + 50] for n in range(0, len(urls), 50)]
        async with aiomultiprocess.Pool(processes=2, childconcurrency=job.at_once // 2) as pool:
            return sum(await pool.map(read_with_aiohttp, parts))

    return lambda: asyncio.run(main())


def requests_(job: Job) -> Start:
    """Have a session a thread."""
    import threading  # noqa: PLC0415
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    import requests  # noqa: PLC0415

    local = threading.local()

    def read(url: str) -> bool:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        return len(local.session.get(url).content) == SIZE

    def start() -> int:
        with ThreadPoolExecutor(32) as pool:
            return sum(pool.map(read, job.urls()))

    return start


def httpx_(job: Job) -> Start:
    """Have one client, as many tasks as may be in flight."""
    import httpx  # noqa: PLC0415

    context: Any = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def main() -> int:
        urls, count = iter(job.urls()), 0
        limits = httpx.Limits(max_connections=job.at_once, max_keepalive_connections=job.at_once)

        async def lane(client: httpx.AsyncClient) -> None:
            nonlocal count
            for url in urls:
                response = await client.get(url)
                count += len(response.content) == SIZE

        async with httpx.AsyncClient(
            limits=limits, http2=job.http2, verify=context, timeout=60
        ) as client:
            await asyncio.gather(*(lane(client) for _ in range(job.at_once)))
        return count

    return lambda: asyncio.run(main())


# Programs, writing files.


def _program(job: Job, *command: str) -> Start:
    def start() -> int:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=job.folder)
        return sum(path.stat().st_size == SIZE for path in job.folder.rglob("*.html"))

    return start


def our_program(job: Job) -> Start:
    """`outpace fetch`, whose start is measured too, as that of the other programs."""
    (job.folder / "urls.txt").write_text("\n".join(job.urls()))
    at_once = str(job.at_once)
    options = ("--in-flight", at_once, "--per-host", at_once, "-i", "urls.txt", "-o", "pages")
    return _program(job, sys.executable, "-m", "outpace", "fetch", *options)


def curl_program(job: Job) -> Start:
    """`curl --parallel`, with a config file, as one cannot give 20,000 URLs as arguments."""
    lines = [f'url = "{url}"\noutput = "{n}.html"' for n, url in enumerate(job.urls())]
    (job.folder / "curl.conf").write_text("\n".join(lines))
    options = ("--parallel", "--parallel-immediate", "--parallel-max", str(min(job.at_once, 300)))
    return _program(job, "curl", "--silent", "--insecure", *options, "--config", "curl.conf")


def aria2_program(job: Job) -> Start:
    """`aria2c`, one connection a page and as many pages as may be in flight."""
    (job.folder / "urls.txt").write_text("\n".join(job.urls()))
    options = (f"--max-concurrent-downloads={job.at_once}", "--max-connection-per-server=1")
    return _program(job, "aria2c", "--quiet", "--split=1", *options, "--input-file=urls.txt")


def wget2_program(job: Job) -> Start:
    """`wget2`, as many threads as may be in flight."""
    (job.folder / "urls.txt").write_text("\n".join(job.urls()))
    options = (f"--max-threads={job.at_once}", "--input-file=urls.txt", "--no-check-certificate")
    return _program(job, "wget2", "--quiet", "--tries=3", *options)
