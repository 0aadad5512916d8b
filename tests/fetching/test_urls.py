"""URLs as a browser would ask for them, and names of files that hold on every file system."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outpace.errors import FetchError, UsageError, UsageTypeError
from outpace.fetching.file_names import file_name, folder
from outpace.fetching.settings import check_header, make_getter
from outpace.fetching.urls import normaliser, redacted

pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

normalised = normaliser()


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("http://Example.COM", "http://example.com/"),
        ("HTTP://example.com:80/a/../b/./c", "http://example.com/b/c"),
        ("https://example.com:443/?q=a b#there", "https://example.com/?q=a%20b"),
        ("http://münchen.example/ü?q=ü", "http://xn--mnchen-3ya.example/%C3%BC?q=%C3%BC"),
        ("http://example.com/%7euser/%zz", "http://example.com/%7euser/%zz"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http:\\\\example.com\\x", "http://example.com/x"),
        ("http://exa\tmple.com/\nx", "http://example.com/x"),
        ("http://u:p@example.com/", "http://u:p@example.com/"),
    ],
)
def test_a_url_is_written_as_a_browser_would(given_, expected):
    assert normalised(given_) == expected
    assert normalised(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "//example.com/", "http://", "http://exa mple.com/", "http://a:99999/",
        "file:///etc/passwd", "ftp://a/", "javascript:alert(1)", "data:,x", "http://\udcff/",
        "http://a/" + "x" * 70_000, "http://[::1/", "http://a%00b/",
    ],
)  # fmt: skip
def test_what_is_no_web_page_is_an_invalid_url(text):
    with pytest.raises(FetchError) as caught:
        normalised(text)
    assert caught.value.kind == "invalid-url"


def test_names_and_passwords_are_taken_out_of_what_is_written():
    text = "from http://me:secret@a/x to HTTPS://me@b/?u=a@b, not a@b"

    assert redacted(text) == "from http://a/x to HTTPS://b/?u=a@b, not a@b"


# File names.


def test_a_name_is_readable():
    name = file_name("https://docs.example/a/Tutorial%20One.html?x=1", "text/html; charset=utf-8")

    assert re.fullmatch(r"tutorial-20one-[0-9a-f]{20}\.html", name)
    assert folder("https://docs.example:8443/a") == "docs.example_8443"


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", "A"), ("a", "a/"), ("a?x", "a?y"), ("a/b", "a%2fb"), ("x" * 300, "x" * 301)],
)
def test_names_differ_also_where_case_does_not(one, other):
    names = [file_name(f"http://a/{path}", "text/html").lower() for path in (one, other)]

    assert names[0] != names[1]


RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@given(st.text(min_size=1, max_size=200))
def test_a_name_holds_on_every_file_system_whatever_the_url(text):
    for url in (f"http://example.com/{text}", f"http://{text.replace('/', '')}/x"):
        for name in (file_name(url, text), folder(url) if url.split("/", 3)[2] else "x"):
            assert re.fullmatch(r"[a-z0-9._-]+", name)
            assert not name.startswith((".", "-"))
            assert not name.endswith(".")
            assert not RESERVED.fullmatch(name)
            assert len(name) <= 120


@pytest.mark.parametrize("host", ["con", "..", ".", "-x", "nul.", "[::1]", "LPT1", "a" * 300])
def test_a_host_never_names_what_a_folder_must_not(host):
    name = folder(f"http://{host}/x")

    assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]*", name)
    assert not RESERVED.fullmatch(name)
    assert not name.endswith(".")
    assert len(name) <= 101


# Settings.


@pytest.mark.parametrize(
    "line", ["X: a\r\nY: b", "X: a\nY: b", "no colon", ": empty", "X y: z", "X: \0", "X: a\rb", ""]
)
def test_a_header_that_would_be_two_is_refused_without_repeating_its_value(line):
    with pytest.raises(UsageError) as caught:
        check_header(line)
    assert "\n" not in str(caught.value)
    assert "Y" not in str(caught.value)


def test_an_empty_header_is_sent_empty():
    assert check_header("X-Empty:") == "X-Empty;"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"in_flight": 0}, UsageError),
        ({"per_host": 1.5}, UsageTypeError),
        ({"timeout": -1}, UsageError),
        ({"timeout": "5"}, UsageTypeError),
        ({"rate": 0}, UsageError),
        ({"delay": -1}, UsageError),
        ({"max_size": 0}, UsageError),
        ({"http": "4"}, UsageError),
        ({"user_agent": "a\r\nb"}, UsageError),
        ({"headers": {"X": "a\nb"}}, UsageError),
        ({"headers": [1]}, UsageTypeError),
        ({"proxy": "http://a b"}, UsageError),
        ({"max_redirects": -1}, UsageError),
        ({"public_only": True, "proxy": "http://p"}, UsageError),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings, error):
    with pytest.raises(error) as caught:
        make_getter(**settings)
    assert "\n" not in str(caught.value)


def test_a_proxy_of_the_environment_does_not_go_with_public_only(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy:3128")

    with pytest.raises(UsageError, match="https_proxy"):
        make_getter(public_only=True)


def test_workers_together_keep_to_what_was_asked_for():
    getter = make_getter(in_flight=100, per_host=6, delay=0.5, rate=10)

    share = getter.shared(2)

    assert (share.in_flight, share.per_host, share.delay, share.rate) == (50, 3, 1.0, 5.0)
    assert getter.most_workers() == 6
