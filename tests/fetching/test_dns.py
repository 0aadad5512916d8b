"""A resolver that never answers: in a network of the test's own, where its address is a dead end."""

import json
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

ALONE = ["unshare", "--user", "--map-root-user", "--net", "--mount"]

INSIDE = """
import fcntl, json, socket, struct, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The loopback of this network is down, and its resolver is the machine's: put both right.
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))  # SIOCSIFFLAGS: up
open(sys.argv[1], "w").write("nameserver 127.0.0.1\\noptions timeout:20 attempts:5\\n")
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))

class Good(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: in two, each page waits 40 ms for an ACK
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"good")
    def log_message(self, *_): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Good)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()

import outpace

dead = [f"http://host-{n}.example/" for n in range(20)]
good = [f"http://127.0.0.1:{server.server_port}/{n}" for n in range(200)]

def stalled():  # as in tests/conftest.py, which is not to be had here
    try:
        return int(open("/proc/pressure/cpu").readline().partition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return 0.0

began, stood_still = time.monotonic(), stalled()
ends = {"done": [], "failed": [], "timed-out": []}
kinds = set()
for outcome in outpace.fetch(dead + good, connect_timeout=1.5, retries=0):
    ends[outcome.kind].append((time.monotonic() - began, stalled() - stood_still))
    kinds.add(outcome.error.kind if outcome.error else None)
print(json.dumps({
    "good": len(ends["done"]), "good_by": max(ends["done"]),
    "dead": len(ends["failed"]) + len(ends["timed-out"]),
    "dead_by": max(ends["failed"] + ends["timed-out"]),
    "closed_by": (time.monotonic() - began, stalled() - stood_still),
    "kinds": sorted(map(str, kinds)),
}), flush=True)
"""


@pytest.mark.slow
def test_a_resolver_that_never_answers_is_a_matter_of_dns_and_holds_up_nobody(tmp_path):
    alone = (
        shutil.which("unshare") and subprocess.run([*ALONE, "true"], check=False).returncode == 0
    )
    if not alone:
        pytest.skip("this machine gives no network of one's own (unshare)")
    (tmp_path / "inside.py").write_text(INSIDE)

    done = subprocess.run(
        [*ALONE, sys.executable, str(tmp_path / "inside.py"), str(tmp_path / "resolv.conf")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["good"], found["dead"]) == (200, 20)
    assert found["kinds"] == ["None", "dns"]
    assert watch(*found["good_by"]) < 1.5 <= found["dead_by"][0]
    assert watch(*found["dead_by"]) < 10
    assert watch(*found["closed_by"]) < 10


def watch(seconds: float, stalled: float) -> float:
    """Return the seconds without those in which somebody waited for a core."""
    return seconds - stalled
