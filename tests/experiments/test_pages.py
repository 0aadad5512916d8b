"""Both ways of reading pages read the same, keep their connections, and fail loudly."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from outpace.experiments import pages, server
from outpace.experiments.answers import SIZES, html
from outpace.experiments.pages import PageRead

if TYPE_CHECKING:
    from collections.abc import Iterator

requests = pytest.importorskip("requests")
aiohttp = pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """Run one server for all tests of this file."""
    with server.running(latency=0.0) as url:
        yield url


def read_all(urls: list[str]) -> list[PageRead]:
    """Read with the plain function, in one session."""
    with pages.session() as session:
        return [pages.read(url, session) for url in urls]


async def aread_all(urls: list[str]) -> list[PageRead]:
    """Read all at once with the coroutine function, in one session."""
    async with pages.asession() as session:
        return await asyncio.gather(*(pages.aread(url, session) for url in urls))


def test_both_functions_read_the_same_pages(base: str) -> None:
    urls = server.urls(base, 20)
    plain = read_all(urls)
    assert plain == asyncio.run(aread_all(urls))
    assert [page.url for page in plain] == urls
    assert [page.size for page in plain] == [*SIZES] * 10


def test_a_page_tells_what_was_read(base: str) -> None:
    url = f"{base}/page/1"
    digest = sha256(html(SIZES[1])).hexdigest()
    assert read_all([url]) == [PageRead(url=url, status=200, size=SIZES[1], sha256=digest)]


def test_a_page_that_is_not_there_is_an_error(base: str) -> None:
    with pytest.raises(requests.HTTPError, match="404"):
        read_all([f"{base}/nowhere"])
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        asyncio.run(aread_all([f"{base}/nowhere"]))


def test_a_session_of_requests_keeps_its_connections_to_every_site(base: str) -> None:
    with pages.session() as session:
        for url in server.urls(base, 40):
            pages.read(url, session)
        pools = session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
        opened = [pools[key].num_connections for key in pools.keys()]  # noqa: SIM118
    assert opened == [1] * len(server.sites())


def test_a_session_of_aiohttp_keeps_its_connections(base: str) -> None:
    async def opened() -> int:
        count = 0

        async def created(*_: object) -> None:
            nonlocal count
            count += 1

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(created)
        async with pages.asession() as session:
            session.trace_configs.append(trace)
            trace.freeze()
            for n in range(10):
                await pages.aread(f"{base}/page/{n}", session)
        return count

    assert asyncio.run(opened()) == 1


def test_a_session_of_aiohttp_bounds_neither_connections_nor_patience() -> None:
    async def bounds() -> tuple[int, float | None]:
        async with pages.asession() as session:
            assert session.connector is not None
            return session.connector.limit, session.timeout.total

    assert asyncio.run(bounds()) == (0, pages.TIMEOUT_S)


def test_loopback_is_read_past_a_proxy(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read_all([f"{base}/page/0"])[0].status == 200


def test_reading_aloud_writes_one_whole_line_a_page(
    base: str, capfd: pytest.CaptureFixture[str]
) -> None:
    urls = server.urls(base, 60)

    def lane(mine: list[str]) -> None:
        with pages.session() as session:
            for url in mine:
                pages.read_aloud(url, session)

    async def loop(mine: list[str]) -> None:
        async with pages.asession() as session:
            await asyncio.gather(*(pages.aread_aloud(url, session) for url in mine))

    lanes = [threading.Thread(target=lane, args=(urls[n:40:4],)) for n in range(4)]
    for thread in lanes:
        thread.start()
    asyncio.run(loop(urls[40:]))
    for thread in lanes:
        thread.join()
    said = capfd.readouterr()
    expected = [f"Read {SIZES[n % 2]} from {url}" for n, url in enumerate(urls)]
    assert sorted(said.err.splitlines()) == sorted(expected)
    assert said.out == ""


def test_reading_aloud_returns_the_same_page(base: str) -> None:
    url = f"{base}/page/0"
    with pages.session() as session:
        assert pages.read_aloud(url, session) == pages.read(url, session)


def test_the_same_page_has_the_same_bytes_and_the_same_visit_need_not() -> None:
    before = PageRead("http://a.example/", 200, 3, "abc")
    after = PageRead("http://a.example/", 200, 4, "abd")
    elsewhere = PageRead("http://b.example/", 200, 3, "abc")
    assert pages.same_page(before, PageRead(*before))
    assert not pages.same_page(before, after)
    assert pages.same_visit(before, after)
    assert not pages.same_visit(before, elsewhere)
    assert not pages.same_visit(before, before._replace(status=203))


def test_functions_setups_and_pages_travel_by_pickle() -> None:
    for thing in (
        *(pages.read, pages.aread, pages.read_aloud, pages.aread_aloud),
        *(pages.session, pages.asession, PageRead("u", 200, 1, "s")),
    ):
        assert pickle.loads(pickle.dumps(thing)) == thing


def test_importing_pages_needs_neither_library() -> None:
    code = (
        "import sys; sys.modules.update(requests=None, aiohttp=None)\n"
        "import outpace.experiments.pages"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_what_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pages.missing() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert pages.missing() == (
        "pages needs requests and aiohttp: pip install 'outpace[experiments]'"
    )
