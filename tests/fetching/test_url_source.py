"""Where URLs come from: every kind of file, whole and broken."""

import gzip
import io
import sys

import pytest

import outpace
from outpace.errors import FetchError, UsageError
from outpace.fetching import url_source
from outpace.fetching.page import Page
from outpace.fetching.seen_urls import CountedTexts, SeenTexts

SITEMAP = """<?xml version="1.0"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <url><loc> http://a/1 </loc><lastmod>2026-01-01</lastmod></url>
  <url><loc>http://a/2?x=1&amp;y=2</loc><image><loc>http://a/image</loc></image></url>
</urlset>"""
INDEX = """<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <sitemap><loc>http://a/one.xml</loc></sitemap><sitemap><loc>http://a/two.xml.gz</loc></sitemap>
</sitemapindex>"""
ONE = "<urlset><url><loc>http://a/one</loc></url></urlset>"
TWO = "<urlset><url><loc>http://a/two</loc></url></urlset>"


def web(**pages: bytes):
    """Make what stands in for fetching."""

    def fetch(url: str) -> Page:
        name = url.rpartition("/")[2].replace(".", "_")
        if name not in pages:
            raise FetchError("HTTP 404", "http")
        body = pages[name]
        return Page(url, url, 200, len(body), None, None, "1.1", 0.0, body=body)

    return fetch


def read(path, column=None, fetch=None):
    return list(url_source.read(str(path), column, fetch))


FILES = {
    "urls.txt": ("# pages\nhttp://a/1\n\n  http://a/2  \r\n", ["http://a/1", "http://a/2"]),
    "bom.txt": ("\ufeffhttp://a/1\nhttp://a/2", ["http://a/1", "http://a/2"]),
    "urls.jsonl": ('"http://a/1"\n{"n": 1, "url": "http://a/2"}\n', ["http://a/1", "http://a/2"]),
    "urls.csv": ("name,url\nx,http://a/1\ny,http://a/2\n", ["http://a/1", "http://a/2"]),
    "one.csv": ("page\nhttp://a/1\nhttp://a/2\n", ["http://a/1", "http://a/2"]),
    "map.xml": (SITEMAP, ["http://a/1", "http://a/2?x=1&y=2"]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_by_its_suffix(tmp_path, name, packed):
    text, expected = FILES[name]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    assert read(path) == expected


def test_a_column_is_chosen_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("url,other\nhttp://a/1,http://a/2\n")
    (tmp_path / "a.jsonl").write_text('{"url": 1, "other": "http://a/2"}\n')

    for name in ("a.csv", "a.jsonl"):
        assert read(tmp_path / name, "other") == ["http://a/2"]


def test_standard_input_is_text(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"http://a/1\n\xff\n")))

    assert read("-") == ["http://a/1", "\udcff"]


def test_an_index_of_sitemaps_is_followed_also_when_they_are_packed():
    fetch = web(
        index_xml=INDEX.encode(), one_xml=ONE.encode(), two_xml_gz=gzip.compress(TWO.encode())
    )

    assert read("http://a/index.xml", None, fetch) == ["http://a/one", "http://a/two"]


def test_a_list_on_the_web_is_text():
    assert read("http://a/list.txt", None, web(list_txt=b"http://a/1\n")) == ["http://a/1"]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
WRONG = {
    "empty.txt": ("\n# nothing\n", "no URLs"),
    "a.jsonl": ('{"x": 1}\n', "no field 'url'"),
    "b.jsonl": ("{\n", "line 1"),
    "c.jsonl": ("3\n", "a URL is text"),
    "a.csv": ("x,y\n1,2\n", "no column 'url'"),
    "b.csv": ("x,url\nhttp://a\n", "line 2"),
    "a.xml": ("<html></html>", "not of <urlset>"),
    "b.xml": ("<urlset><url><loc>http://a", "not a sitemap"),
    "c.xml": (BOMB, "entities"),
    "d.xml": ("", "not a sitemap"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_not_what_it_says_is_one_clear_line(tmp_path, name):
    text, expected = WRONG[name]
    (tmp_path / name).write_text(text)

    with pytest.raises(UsageError, match=expected) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_packed_file_that_was_cut_is_one_clear_line(tmp_path):
    whole = gzip.compress("".join(f"http://a/{n}\n" for n in range(10_000)).encode())
    (tmp_path / "a.txt.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UsageError, match="not whole"):
        read(tmp_path / "a.txt.gz")


def test_a_file_that_is_missing_and_a_column_of_a_text_are_said_so(tmp_path):
    (tmp_path / "a.txt").write_text("http://a/\n")
    for path, column, words in (
        (tmp_path / "none.txt", None, "no file"),
        (tmp_path, None, "cannot be read"),
        (tmp_path / "a.txt", "x", "--column is for"),
        ("http://a/missing.xml", None, "could not be fetched"),
    ):
        with pytest.raises(UsageError, match=words):
            read(path, column, web())


def test_a_line_without_an_end_takes_no_memory_and_is_no_url(tmp_path, monkeypatch):
    monkeypatch.setattr(url_source, "LONGEST_LINE", 1000)
    (tmp_path / "a.txt").write_text("x" * 5500 + "\nhttp://a/1\n")

    found = read(tmp_path / "a.txt")

    assert [len(line) for line in found] == [1000, 10]


def test_a_url_that_is_no_text_is_refused():
    pytest.importorskip(
        "can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)"
    )
    with pytest.raises(UsageError, match="a URL is text, not int"):
        list(outpace.fetch([3]))


# What came before.


def test_texts_are_known_again_over_many_tables():
    seen = SeenTexts(first=8)
    texts = [f"http://a/{n}" for n in range(5000)]
    try:
        assert all(seen.add(text) for text in texts)
        assert not any(seen.add(text) for text in texts)
        assert all(text in seen for text in texts)
        assert "http://b/" not in seen
    finally:
        seen.close()


def test_how_often_a_text_came_is_counted():
    counted = CountedTexts(SeenTexts(first=8))
    try:
        assert [counted.add("a") for _ in range(4)] == [0, 1, 2, 3]
        assert [counted.holds("a", n) for n in range(6)] == [True] * 4 + [False] * 2
    finally:
        counted.close()
