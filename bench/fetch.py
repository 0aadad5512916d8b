"""What fetching a page costs: ours beside libraries and programs, one nginx on loopback for all.

    python3 dev.py bench fetch [--pages 20000] [--at-once 64] [--repeat 2] [--only NAME,...]
    python3 dev.py bench fetch --real
    python3 dev.py bench fetch --missing 1000000

nginx serves one HTML page of 18.5 kB under as many names as are wanted, over HTTP/1.1 with kept
connections, and over HTTP/2 with TLS. Each row runs in a process of its own, and all rows in turn, so
that drift of the machine disturbs all alike. CPU is that of the client alone (user and system, from when
it is ready to its last page); of programs, from their start. Peak memory is the client's. Files go to
memory (/dev/shm) where it is large enough, else, and with `--disk`, to the disk, whose own work is then
in the figures.

It needs nginx and openssl, and of the peers what is to be compared:

    apt-get install nginx-light openssl curl aria2 wget2 python3-doc

`--real` fetches the HTML pages of Debian's python3-doc through nginx instead, into a directory and an
archive, and compares every one with its file, byte for byte; the archive is read back with warcio.
`--missing` has the program fetch so many pages that are not there: its memory stays what it was, it
never stops for long, and its manifest has every one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import _fetch_checks
import _fetchers
from _show import against, head, number, save, show, spread

SIZE = 18_547  # bytes of the page: that of `outpace race pages`
DOCS = "/usr/share/doc/python3*/html", "/usr/share/doc/python3*-doc/html"
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; keepalive_timeout 300s; sendfile on; tcp_nodelay on;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  types {{ text/html html; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    listen 127.0.0.1:{tls} ssl http2 backlog=1024;
    http2_max_concurrent_streams 512;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    root {root};
    location /page/ {{ rewrite ^ /page.html break; }}
  }}
}}
"""


Took = dict[str, float]  # seconds of CPU and of wall a page, and bytes at the peak


@dataclass(frozen=True)
class Case:
    """Be a row: how it is run, the share of the pages it gets, and its budget in µs of CPU a page."""

    name: str
    run: Callable[..., Any]
    share: float = 1.0
    budget: float | None = None
    needs: str = ""  # a module, or a program
    http2: bool = False

    @property
    def missing(self) -> bool:
        """Say whether what it needs is not here."""
        return bool(self.needs) and not (
            shutil.which(self.needs) or importlib.util.find_spec(self.needs)
        )


CASES = [
    Case("bare pycurl multi", _fetchers.bare),
    Case("outpace, nothing kept", _fetchers.ours, budget=45),
    Case("outpace, nothing kept, 2 workers", _fetchers.ours_in_two),
    Case("outpace, bodies to a loop", _fetchers.ours_to_a_loop),
    Case("outpace, one WARC", _fetchers.ours_warc, budget=80),
    Case("outpace, a directory", _fetchers.ours_directory),
    Case("outpace fetch -o dir (the program)", _fetchers.our_program),
    Case("aiohttp", _fetchers.aiohttp_, 0.5, needs="aiohttp"),
    Case("aiomultiprocess, aiohttp", _fetchers.aiomultiprocess_, 0.25, needs="aiomultiprocess"),
    Case("requests in 32 threads", _fetchers.requests_, 0.1, needs="requests"),
    Case("httpx", _fetchers.httpx_, 0.1, needs="httpx"),
    Case("curl --parallel, a directory", _fetchers.curl_program, 0.5, needs="curl"),
    Case("aria2c, a directory", _fetchers.aria2_program, 0.1, needs="aria2c"),
    Case("wget2, a directory", _fetchers.wget2_program, 0.25, needs="wget2"),
    Case("bare pycurl multi", _fetchers.bare, http2=True),
    Case("outpace, nothing kept", _fetchers.ours, http2=True),
    Case("outpace, one WARC", _fetchers.ours_warc, http2=True),
    Case("httpx", _fetchers.httpx_, 0.1, needs="httpx", http2=True),
    Case("curl --parallel, a directory", _fetchers.curl_program, 0.5, needs="curl", http2=True),
]


@contextlib.contextmanager
def nginx(root: Path | None = None) -> Iterator[tuple[str, str]]:
    """Run nginx on loopback; yield its two addresses, plain and secure."""
    missing = [name for name in ("nginx", "openssl") if shutil.which(name, path=_path()) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} not found: apt-get install nginx-light openssl")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # its workers may be another user's
        if root is None:
            root = folder / "html"
            root.mkdir()
            (root / "page.html").write_bytes((b"<p>some words of a page</p>\n" * 700)[:SIZE])
        _certificate(folder)
        port, tls = _free_ports()
        conf = folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder, root=root, port=port, tls=tls))
        process = stack.enter_context(
            subprocess.Popen(["nginx", "-p", name, "-c", str(conf)], env={"PATH": _path()})
        )
        stack.callback(process.terminate)
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls}"


def _path() -> str:
    """Return where programs are looked for: nginx lies where only root looks."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _certificate(folder: Path) -> None:
    """Make a certificate that nobody signs for."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )


def _free_ports() -> tuple[int, int]:
    """Find two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens."""
    for _ in range(500):
        if process.poll() is not None:
            sys.exit("nginx did not start; what it printed says why")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    sys.exit("nginx does not answer")


def measured(place: int, base: str, pages: int, options: argparse.Namespace) -> Took | None:
    """Run a case in a process of its own; return what it took, None when it failed."""
    command = [sys.executable, __file__, "--case", str(place), base, str(pages)]
    command += [str(options.at_once), "disk" if options.disk else "memory"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        name, why = CASES[place].name, (done.stderr.strip().splitlines() or ["?"])[-1]
        print(f"{name} failed: {why}", file=sys.stderr)
        return None
    took: Took = json.loads(done.stdout.splitlines()[-1])
    return took


def one_case(place: int, base: str, pages: int, at_once: int, where: str) -> None:
    """Be that process: run the case and print what it took."""
    memory = _memory(pages) if where == "memory" else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        job = _fetchers.Job(base, pages, at_once, Path(folder), http2=CASES[place].http2)
        start = CASES[place].run(job)  # what it imports and prepares is not measured
        began, cpu = time.perf_counter(), _cpu()
        count = start()
        took, cpu = time.perf_counter() - began, _cpu() - cpu
        if count != pages:
            sys.exit(f"it fetched {count} of {pages} pages")
        peak = max(
            resource.getrusage(who).ru_maxrss * 1024
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        print(json.dumps({"cpu": cpu / pages, "wall": took / pages, "peak": peak}))


def _memory(pages: int) -> str | None:
    """Return a folder in memory that all pages fit in, so that no row waits for the disk; if any."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shutil.disk_usage(shared).free < 2 * pages * SIZE + 10**8:
        return None
    return str(shared)


def _cpu() -> float:
    """Return the CPU seconds of this process and those that it has seen to their end."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run all cases in turn and print the table."""
    wanted = options.only.split(",") if options.only else [""]
    chosen = [n for n, case in enumerate(CASES) if any(part in case.name for part in wanted)]
    took: dict[int, list[Took]] = defaultdict(list)
    with nginx() as (plain, secure):
        for turn in range(options.repeat):
            for place in chosen if turn % 2 == 0 else reversed(chosen):
                case = CASES[place]
                if case.missing:
                    continue
                base = secure if case.http2 else plain
                pages = max(500, int(options.pages * case.share))
                if (one := measured(place, base, pages, options)) is not None:
                    took[place].append(one)
    for http2 in (False, True):
        places = [place for place in chosen if CASES[place].http2 == http2]
        if places:
            what = "HTTP/2 over TLS" if http2 else "HTTP/1.1"
            show(
                f"A page of {SIZE / 1000:.1f} kB over {what}, {options.at_once} at once",
                [
                    "",
                    "CPU, µs a page",
                    "x bare",
                    "wall, µs a page",
                    "peak, MB",
                    "pages",
                    "budget, µs",
                ],
                _rows(places, took, options.pages),
            )
    return {
        f"{CASES[place].name}{' (h2)' if CASES[place].http2 else ''}": rows
        for place, rows in took.items()
    }


def _rows(places: list[int], took: dict[int, list[Took]], pages: int) -> list[list[str]]:
    """Write the rows of one table."""
    bare = median([one["cpu"] for one in took.get(places[0], [])] or [0])
    rows = []
    for place in places:
        case, runs = CASES[place], took.get(place, [])
        if not runs:
            rows.append([case.name, "not installed" if case.missing else "failed", *[""] * 5])
            continue
        cpu = median(one["cpu"] for one in runs)
        rows.append(
            [
                case.name,
                spread([one["cpu"] for one in runs], 1e-6),
                number(cpu / bare) if bare else "",
                spread([one["wall"] for one in runs], 1e-6),
                number(max(one["peak"] for one in runs) / 1e6),
                str(max(500, int(pages * case.share))),
                against(cpu * 1e6, case.budget),
            ]
        )
    return rows


def real() -> None:
    """Fetch real pages and compare each with its file, and with its record in an archive."""
    found = [path for pattern in DOCS for path in sorted(Path("/").glob(pattern[1:]))]
    roots = [path for path in found if (path / "index.html").is_file()]
    if not roots:
        sys.exit("there are no real pages: apt-get install python3-doc")
    root = roots[0].resolve()
    with nginx(root) as (plain, _), tempfile.TemporaryDirectory() as folder:
        pages, wrong = _fetch_checks.compare_real(root, plain, Path(folder))
    print(f"{pages} real pages fetched twice, {wrong} differ from their files")
    sys.exit(1 if wrong or not pages else 0)


def missing(count: int) -> None:
    """Fetch what is not there."""
    with nginx() as (plain, _), tempfile.TemporaryDirectory(dir=_memory(count)) as folder:
        sys.exit(not _fetch_checks.missing(plain, count, Path(folder)))


def main() -> None:
    """Do what was asked."""
    if sys.argv[1:2] == ["--case"]:
        place, base, pages, at_once, where = sys.argv[2:]
        one_case(int(place), base, int(pages), int(at_once), where)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--only", help="rows with one of these in their name")
    parser.add_argument(
        "--disk", action="store_true", help="write files to the disk, not to memory"
    )
    parser.add_argument("--real", action="store_true", help="real pages, byte for byte, instead")
    parser.add_argument("--missing", type=int, metavar="N", help="pages that are not there instead")
    parser.add_argument("--json", help="write the numbers to this file")
    options = parser.parse_args()
    if options.real:
        real()
    if options.missing:
        missing(options.missing)
    head()
    save(options.json, {"fetch": compare(options)})


if __name__ == "__main__":
    main()
