"""Killed at any moment and started again: every URL once, every file right, nothing half-written."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from outpace.experiments import server

pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

ROOT = Path(__file__).parents[2]
LATENCY = 0.02  # seconds of each page, so that a run lasts long enough to be killed in
START_UP = 0.25  # seconds that a program takes to begin


def start(temporary: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start it, with a folder for what Python itself leaves there when it is killed (`tempfile`)."""
    return subprocess.Popen(
        [sys.executable, "-m", "outpace", "fetch", *args, "--retries", "0", "--quiet"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_after(seconds: float, temporary: Path, *args: str) -> bool:
    """Run it, kill it after so long; say whether it had ended by itself before."""
    process = start(temporary, *args)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pages", "pages.warc", "pages.warc.gz"])
@pytest.mark.parametrize(
    ("count", "kills", "at_once"),
    [
        (1500, 4, 16),
        pytest.param(20_000, 30, 128, marks=[pytest.mark.timeout(1200), pytest.mark.thorough]),
    ],
)
def test_a_run_killed_again_and_again_is_as_if_it_never_was(
    tmp_path, tmp_path_factory, *, name, count, kills, at_once
):
    temporary = tmp_path_factory.mktemp("killed")
    into, dice = tmp_path / name, random.Random(0)
    killed = 0
    with server.running(LATENCY) as base:
        urls = server.urls(base, count)
        (tmp_path / "urls.txt").write_text("\n".join(urls) + "\n")
        args = ("-i", str(tmp_path / "urls.txt"), "-o", str(into), "--resume")
        args += ("--in-flight", str(at_once), "--per-host", str(at_once))
        began = time.monotonic()
        share = count / (at_once / LATENCY) / kills  # seconds of work between two kills
        while killed < kills:
            if kill_after(START_UP + dice.random() * 1.4 * share, temporary, *args):
                break
            killed += 1
        done = start(temporary, *args)
        output, _ = done.communicate(timeout=600)
        assert done.returncode == 0, output

    found = [json.loads(line) for line in _manifest(into).read_text().splitlines()]
    assert killed == kills, f"it was done after {time.monotonic() - began:.1f} s"
    assert Counter(line["url"] for line in found) == Counter(urls)
    assert not [line for line in found if line["error"]]
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    left -= {"urls.txt", str(_manifest(into).relative_to(tmp_path))}
    if into.is_dir():
        for line in found:
            assert hashlib.sha256((into / line["path"]).read_bytes()).hexdigest() == line["sha256"]
        assert left == {f"pages/{line['path']}" for line in found}
        assert not (into / ".partial").exists()
    else:
        assert left == {name}
        assert not Path(f"{into}.partial").exists()
        with into.open("rb") as file:
            records = ArchiveIterator(file, check_digests="raise")
            kept = [r.rec_headers["WARC-Target-URI"] for r in records if r.rec_type == "response"]
        assert Counter(kept) == Counter(urls)


def _manifest(into: Path) -> Path:
    return into / "manifest.jsonl" if into.is_dir() else Path(f"{into}.manifest.jsonl")
