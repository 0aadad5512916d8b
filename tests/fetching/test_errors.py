"""What went wrong, by libcurl's code and words; and the pages of the docs that say so."""

import re
from pathlib import Path

import pytest

from outpace.errors import FetchError, TemporaryFetchError
from outpace.fetching.errors import (
    _KIND_OF_CODE,
    ADVICE,
    TransferFacts,
    explain_failure,
    is_temporary,
)
from outpace.fetching.tally import Tally
from outpace.report.fetch_summary import fetch_progress, fetch_summary

DOCS = Path(__file__).parents[2] / "docs" / "fetch.md"


@pytest.mark.parametrize(
    ("code", "words", "facts", "kind"),
    [
        (28, "", TransferFacts(resolved=False), "dns"),
        (28, "Operation timed out", TransferFacts(), "timeout"),
        (7, "", TransferFacts(blocked="10.0.0.1"), "blocked"),
        (23, "", TransferFacts(too_large=True), "too-large"),
        (56, "Malformed encoding found in chunked-encoding", TransferFacts(), "protocol"),
        (56, "Too large response headers", TransferFacts(), "too-large"),
        (56, "Recv failure: Connection reset by peer", TransferFacts(), "reset"),
        (1, "Received HTTP/0.9 when not allowed", TransferFacts(), "protocol"),
        (1, 'Protocol "file" disabled', TransferFacts(), "redirect"),
        (999, "", TransferFacts(), "other"),
    ],
)
def test_a_failure_is_named(code, words, facts, kind):
    found, message = explain_failure(code, words, facts)

    assert found == kind
    assert message


def test_every_kind_has_advice_and_stands_in_the_docs():
    listed = re.findall(r"(?m)^\| `([a-z-]+)` \|", DOCS.read_text(encoding="utf-8"))
    kinds = [kind for kind in listed if kind in ADVICE]

    assert kinds == list(ADVICE)
    assert set(_KIND_OF_CODE.values()) <= set(ADVICE)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [("timeout", 0, True), ("tls", 0, False), ("http", 404, False), ("http", 503, True)],
)
def test_what_is_worth_another_try_is_known(kind, status, expected):
    assert is_temporary(kind, status) is expected


def test_errors_travel_with_their_facts():
    import pickle

    for cls in (FetchError, TemporaryFetchError):
        error = pickle.loads(pickle.dumps(cls("HTTP 429", "http", 7.0, None)))
        assert type(error) is cls
        assert (str(error), error.kind, error.retry_after) == ("HTTP 429", "http", 7.0)


def test_causes_are_grouped_by_kind_and_status():
    tally = Tally(fetched=3, size=5_000)
    for status, times in ((404, 3), (500, 1)):
        for n in range(times):
            tally.fail("http", status, f"http://a/{status}/{n}", f"HTTP {status}")
    tally.fail("dns", None, "http://b/", "not resolved")

    text = fetch_summary(tally, 2.0, "pages/")

    assert text.splitlines()[0] == "3 pages, 5 kB, in 2 s: 4 pages/s, into pages/"
    assert "     3  http: HTTP 404, as http://a/404/0" in text
    assert text.count(ADVICE["http"]) == 1
    assert tally.by_kind() == {"http": 4, "dns": 1}


def test_progress_says_how_far_how_fast_and_what_fails():
    tally = Tally(fetched=90, size=9_000_000)
    for _ in range(10):
        tally.fail("timeout", None, "http://a/", "slow")

    text = fetch_progress(tally, 10.0, in_flight=64, total=200)

    assert text == "100 of 200 pages, 10 pages/s, 0.9 MB/s, 64 waiting, 10 timeout, 10 s left"
