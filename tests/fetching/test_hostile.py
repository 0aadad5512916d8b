"""Against a server that does everything wrong: each fault is of its own kind, and hurts nobody else."""

import contextlib
import socket
import struct
import threading
from pathlib import Path

import pytest

import outpace
from outpace.errors import FetchError
from outpace.fetching import public_addresses, transfer
from outpace.fetching.errors import ADVICE

pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

QUICK = {"timeout": 1.0, "connect_timeout": 0.5, "max_size": 1_000_000, "retries": 0}

FAULTS = {
    "short": "incomplete",
    "negative": "protocol",
    "bad-chunk": "protocol",
    "cut-chunk": "incomplete",
    "silent": "timeout",
    "stall": "timeout",
    "drip": "timeout",
    "hang-up": "reset",
    "reset-request": "reset",
    "reset-head": "reset",
    "reset-body": "reset",
    "endless-head": "too-large",
    "endless-body": "too-large",
    "huge": "too-large",
    "bomb": "too-large",
    "bad-gzip": "encoding",
    "loop": "too-many-redirects",
    "to-file": "redirect",
    "to-ftp": "redirect",
    "not-http": "protocol",
    "http9": "protocol",
    "missing": "http",
    "broken": "http",
}


def only(outcomes):
    (outcome,) = outcomes
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize(("path", "kind"), FAULTS.items(), ids=FAULTS)
def test_a_fault_ends_as_its_own_kind_within_its_timeout(site, path, kind, stopwatch):
    seconds = stopwatch()

    outcome = only(outpace.fetch(site.url(path), **QUICK))

    assert not outcome.ok
    assert isinstance(outcome.error, FetchError)
    assert (outcome.error.kind, kind in ADVICE) == (kind, True), outcome.error
    assert seconds() < 2.5
    assert outcome.kind == ("timed-out" if kind == "timeout" else "failed")


def test_a_zstd_bomb_is_stopped_or_not_understood(site):
    outcome = only(outpace.fetch(site.url("zstd-bomb"), **QUICK))

    assert outcome.error.kind in ("too-large", "encoding")  # by whether this libcurl knows zstd


def test_all_faults_at_once_hurt_no_page_of_another_host(site):
    bad = [site.url(f"{path}/{n}") for path in FAULTS for n in range(3)]
    good = [site.url(f"good/{n}", "127.0.0.2") for n in range(300)]

    outcomes = list(outpace.fetch(bad + good, in_flight=200, per_host=100, **QUICK))

    fine = [outcome for outcome in outcomes if outcome.ok]
    assert not [outcome.error for outcome in outcomes if outcome.item in good and not outcome.ok]
    assert {outcome.item for outcome in fine} == set(good)
    assert len(outcomes) == len(bad) + len(good)
    slow = [outcome.ended for outcome in outcomes if outcome.kind == "timed-out"]
    assert max(outcome.ended for outcome in fine) < min(slow)


def test_a_slow_host_holds_up_only_its_own_pages(site):
    slow = [site.url(f"held/{n}") for n in range(500)]
    other = [site.url(f"good/{n}", "127.0.0.2") for n in range(50)]
    seen = []

    with outpace.fetch(slow + other, in_flight=20, per_host=4, timeout=30) as run:
        for outcome in run:
            seen.append(outcome.item)
            if len(seen) == len(other):
                site.held.set()

    assert set(seen[: len(other)]) == set(other)
    assert len(seen) == len(slow) + len(other)


# Names and addresses.


def test_a_name_that_does_not_exist_is_a_matter_of_dns():
    outcome = only(outpace.fetch("http://no-such-host.invalid/", retries=0, connect_timeout=5))

    assert outcome.error.kind == "dns"


def test_a_closed_port_is_a_matter_of_the_connection(site):
    site.stop()

    outcome = only(outpace.fetch(site.url("x"), retries=0))

    assert outcome.error.kind == "connect"


def test_a_private_address_is_refused_before_anything_is_sent(site):
    outcome = only(outpace.fetch(site.url("x"), public_only=True, retries=0))

    assert outcome.error.kind == "blocked"
    assert not site.asked


def test_a_redirect_to_a_private_address_is_refused_at_the_connection(site, monkeypatch):
    monkeypatch.setattr(public_addresses, "is_public", lambda host: host == "127.0.0.1")

    first, second = outpace.fetch(
        [site.url("good"), site.url("to-second")], public_only=True, retries=0
    )

    assert sorted([first.kind, second.kind]) == ["done", "failed"]
    error = first.error or second.error
    assert error.kind == "blocked"
    assert "127.0.0.2" in str(error)
    assert "secret" not in site.paths()


def test_a_name_for_a_private_address_is_refused_by_the_address(site):
    outcome = only(outpace.fetch(f"http://localhost:{site.port}/x", public_only=True, retries=0))

    assert outcome.error.kind == "blocked"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_no_address_of_a_private_kind_is_public(address):
    assert not public_addresses.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_an_address_of_the_internet_is_public(address):
    assert public_addresses.is_public(address)


# Secure connections.


def test_a_certificate_for_another_name_is_refused_unless_insecure(site):
    url = f"https://127.0.0.1:{site.tls_port}/x"

    refused = only(outpace.fetch(url, retries=0))
    taken = only(outpace.fetch(url, retries=0, insecure=True))

    assert refused.error.kind == "tls"
    assert taken.value.body == b"<p>x</p>"


def test_a_server_that_speaks_no_tls_is_a_matter_of_tls(site):
    outcome = only(outpace.fetch(f"https://127.0.0.1:{site.port}/x", retries=0, timeout=5))

    assert outcome.error.kind == "tls"


def test_a_server_that_resets_every_connection_is_a_matter_of_that():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def reset_each() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    connection.close()

        thread = threading.Thread(target=reset_each)
        thread.start()
        urls = [f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{port}/"]
        outcomes = {o.item: o for o in outpace.fetch(urls, retries=0, timeout=5)}
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    # By which of the two comes first: that there is a connection, or that there is none any more.
    assert outcomes[urls[0]].error.kind in ("connect", "reset")
    assert outcomes[urls[1]].error.kind in ("connect", "reset", "tls")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_never_accepts_is_given_up_in_time(scheme, stopwatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
        seconds = stopwatch()

        outcome = only(outpace.fetch(url, retries=0, timeout=1, connect_timeout=0.5))

    assert outcome.error.kind == "timeout"
    assert seconds() < 3


# What is not wrong.


def test_a_body_arrives_as_the_site_meant_it(site):
    urls = [site.url("gzipped"), site.url("chunked"), site.url("moved")]

    pages = {o.item: o.value for o in outpace.fetch(urls, retries=0)}

    assert pages[urls[0]].body == b"<p>it was small</p>" * 100
    assert pages[urls[1]].body == b"hello there"
    assert pages[urls[2]].body == b"<p>new</p>"
    assert pages[urls[2]].final_url == site.url("new")
    assert pages[urls[2]].head.startswith(b"HTTP/1.1 200")


def test_a_redirect_is_kept_where_none_are_followed(site):
    page = only(outpace.fetch(site.url("moved"), max_redirects=0)).value

    assert page.status == 301
    assert page.header("location") == "/new"


def test_the_page_of_a_404_comes_with_its_error(site):
    outcome = only(outpace.fetch(site.url("missing")))

    assert (outcome.error.page.status, outcome.error.page.body) == (404, b"<p>not here</p>")


def test_a_large_body_does_not_pass_through_memory(site, tmp_path, monkeypatch):
    held = []
    write = transfer.Transfer._spool
    monkeypatch.setattr(
        transfer.Transfer,
        "_spool",
        lambda self, data: (held.append(len(data)), write(self, data))[1],
    )

    page = only(outpace.fetch(site.url("large"), into=tmp_path / "pages")).value

    assert page.size == 5_000_000
    assert sum(held) == 5_000_000
    assert max(held) <= transfer.SPOOL_ABOVE + transfer.RECEIVE_BUFFER
    assert Path(page.path).read_bytes() == b"0123456789" * 500_000
