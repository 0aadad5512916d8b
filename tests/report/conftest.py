"""What tests of pictures get: timelines with something of everything in them, and a browser.

The browser is a headless Chromium, driven over WebDriver by the small client below. What a page writes
to the console, throws, or asks the network for is read from the driver's logs. After a test no process
and no file of it is left.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from outpace.flow.trace import Blocked
from outpace.racing.result import Entrant, Race, Recommendation
from outpace.racing.stats import MedianRange
from outpace.record import states
from outpace.record.timeline import Lane, Timeline
from outpace.report.save import PICTURES

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'  # the name of an item

SHORT = tempfile.gettempdir()  # before tests get one of their own: a socket's path is short
PATIENCE = 20.0  # seconds for the driver to listen
QUIET = (  # no background requests: there is no network, and none of them are the page's
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as made:
        yield made


@pytest.fixture
def threads() -> Timeline:
    """Return two threads on the GIL for a second, as a sampler sees them."""
    timeline = Timeline("threads", 100.0, 101.0, 2, 2, [Lane("thread", 0, n) for n in range(2)])
    for n in range(20):
        for lane in (0, 1):
            runs = n % 2 == lane
            since, until = 100 + n / 20, 100 + (n + 1) / 20
            add = timeline.intervals.add
            add(lane, states.RUNNING if runs else states.GIL, since, until, 0.75, sampled=True)
            add(lane, states.READY, since, until, 0.25, sampled=True)
    for n in range(4):
        started = 100 + n // 2 / 2
        timeline.items.add(n, n % 2, started, started + 0.5, cpu_s=0.19, label=f"number {n}")
    timeline.how = "every millisecond, from outside"
    timeline.writer = PICTURES
    return timeline


@pytest.fixture
def asyncio() -> Timeline:
    """Return forty slots and their loop for 50 ms; item 7 has a name that no page may believe."""
    lanes = [*(Lane("slot", 0, n) for n in range(40)), Lane("loop")]
    timeline = Timeline("asyncio", 0.0, 0.05, 2, 40, lanes)
    add = timeline.intervals.add
    for n in range(40):
        begins, ends = n / 2000, n / 2000 + 0.0005
        for lane in (n, 40):
            add(lane, states.RUNNING, begins, ends)
        add(n, states.NETWORK, ends, 0.04)
        add(n, states.BLOCKED if n == 3 else states.SLEEP, 0.04, 0.05)
        label = EVIL if n == 7 else f"page {n}"
        kind = "failed" if n == 5 else "done"
        timeline.items.add(n, n, begins, 0.05, cpu_s=0.0005, label=label, kind=kind)
    add(40, states.BLOCKED, 0.04, 0.05)
    timeline.blocked.append(
        Blocked("app.py", 7, f"time.sleep({EVIL})", EVIL, 0.01, 1, "waiting", "await asyncio.sleep")
    )
    timeline.how = "each step of every coroutine, by the loop itself"
    timeline.writer = PICTURES
    return timeline


@pytest.fixture
def race(threads: Timeline, asyncio: Timeline) -> Race:
    """Return a race of the two, and of one that could not run."""
    entrants = [
        Entrant(
            "threads", "f", startup_s=0.1, makespan_s=MedianRange(1.0, 0.9, 1.1, 3), results="same"
        ),
        Entrant("asyncio", EVIL, startup_s=0.0, makespan_s=MedianRange(0.05, 0.04, 0.06, 3)),
        Entrant("dask", "f", "not-eligible", f"it is not installed {EVIL}"),
    ]
    entrants[0].timeline, entrants[1].timeline = threads, asyncio
    return Race(
        {"cpus": 2, "python": "3.11", "gil": True, "platform": EVIL},
        {"name": EVIL, "items": 40, "item_wall_s": 0.02, "item_cpu_s": 0.01, "waits": 0.5},
        entrants,
        Recommendation("asyncio", ("it is fast", EVIL)),
        ["a note", EVIL],
        writer=PICTURES,
    )


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Any], Path]:
    """Return what saves something as a page."""

    def saved(what: Any) -> Path:
        what.save(tmp_path / "page.html")
        return tmp_path / "page.html"

    return saved


class Browser:
    """Be one window."""

    def __init__(self, width: int = 1200, height: int = 900) -> None:
        self.folder = tempfile.mkdtemp(prefix="outpace-", dir=SHORT)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={self.port}", "--allowed-ips="],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"TMPDIR": self.folder, "HOME": self.folder},
        )
        self.session = ""
        try:
            self._wait()
            self.session = self._start(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                if self._ask("GET", "/status")["ready"]:
                    return
            assert self.driver.poll() is None, "chromedriver ended"
            assert time.monotonic() < until, "chromedriver does not listen"
            time.sleep(0.02)

    def _start(self, width: int, height: int) -> str:
        program = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
        )
        options = {
            "binary": program,
            "args": [
                *QUIET,
                f"--window-size={width},{height}",
                f"--user-data-dir={self.folder}/data",
            ],
        }
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        return f"/session/{made['sessionId']}"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{path}: {answer['error']}: {answer['message']}")
        return answer

    def open(self, path: Path) -> None:
        """Open a page and wait until its script has run."""
        self.requests()  # what was there before is not this page's
        self.go(path.absolute().as_uri())
        self.wait_for("return document.documentElement.dataset.ready", "the page")

    def go(self, url: str) -> None:
        """Open any page."""
        self._ask("POST", f"{self.session}/url", {"url": url})

    def wait_on(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript that calls its last argument with what it has found."""
        body = {"script": script, "args": arguments}
        return self._ask("POST", f"{self.session}/execute/async", body)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page; return what it returns."""
        body = {"script": script, "args": arguments}
        return self._ask("POST", f"{self.session}/execute/sync", body)

    def wait_for(self, script: str, what: str) -> Any:
        """Wait until JavaScript returns something true; return it."""
        until = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < until, f"{what} did not come"
            time.sleep(0.02)
        return value

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._ask("POST", f"{self.session}/goog/cdp/execute", body)

    def prefer(self, scheme: str) -> None:
        """Be a reader who likes it light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move, press, release or turn the wheel, as a hand does."""
        self.devtools("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, key: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.devtools("Input.dispatchKeyEvent", type=kind, key=key)

    def complaints(self) -> list[str]:
        """Return what the page has said on its console."""
        entries = self._ask("POST", f"{self.session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def requests(self) -> list[str]:
        """Return the addresses that pages have asked for."""
        entries = self._ask("POST", f"{self.session}/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        sent = (e for e in events if e["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page."""
        more: dict[str, Any] = {"captureBeyondViewport": whole}
        if whole:
            size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
            more["clip"] = {
                "x": 0,
                "y": 0,
                "width": size["width"],
                "height": size["height"],
                "scale": 1,
            }
        path.write_bytes(base64.b64decode(self.devtools("Page.captureScreenshot", **more)["data"]))

    def close(self) -> None:
        """End it and everything of it."""
        with contextlib.suppress(OSError, ValueError, AssertionError, http.client.HTTPException):
            if self.session:
                self._ask("DELETE", self.session)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
