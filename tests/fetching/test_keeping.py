"""What is kept: files, archives, manifests; and what the next run makes of them."""

import base64
import gzip
import hashlib
import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator

import outpace
from outpace.errors import OutpaceError, UsageError
from outpace.fetching import manifest, transfer
from outpace.fetching.manifest import Manifest

pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

QUIET = {"retries": 0, "timeout": 10.0}
NAMES = ["pages.warc", "pages.warc.gz", "pages.warc.zst"]


def fetched(urls, **settings):
    return list(outpace.fetch(urls, **QUIET | settings))


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def manifest_of(into: Path) -> Path:
    return into / "manifest.jsonl" if into.is_dir() else Path(f"{into}.manifest.jsonl")


def everything(site):
    paths = ["one", "two?x=1", "gzipped", "chunked", "moved", "missing", "large", "short"]
    return [site.url(path) for path in paths]


FIELDS = {
    "url", "final_url", "status", "bytes", "sha256", "content_type", "attempts", "started",
    "seconds", "http", "error",
}  # fmt: skip


def test_a_directory_has_a_whole_file_for_each_page_and_a_line_for_each_url(site, tmp_path):
    urls = everything(site)

    fetched(urls, into=tmp_path / "pages")

    by_url = {line["url"]: line for line in lines(tmp_path / "pages" / "manifest.jsonl")}
    assert set(by_url) == set(urls)
    for line in by_url.values():
        assert set(line) >= FIELDS
        if line["error"] is None:
            body = (tmp_path / "pages" / line["path"]).read_bytes()
            assert len(body) == line["bytes"]
            assert hashlib.sha256(body).hexdigest() == line["sha256"]
    assert by_url[site.url("missing")]["error"] == {"kind": "http", "message": "HTTP 404"}
    assert by_url[site.url("short")]["error"]["kind"] == "incomplete"
    assert by_url[site.url("moved")]["final_url"] == site.url("new")
    found = {str(p.relative_to(tmp_path / "pages")) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {"manifest.jsonl"} | {
        line["path"] for line in by_url.values() if "path" in line
    }


def test_nothing_is_written_outside_whatever_the_url(site, tmp_path):
    paths = ["../../../x", "%2e%2e/%2e%2e/x", "..%2f..%2fx", "a/../../..", "c:\\x", "x\0", "/etc/x"]

    fetched([site.url(path) for path in paths], into=tmp_path / "deep" / "pages")

    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["pages"]
    assert len(lines(tmp_path / "deep" / "pages" / "manifest.jsonl")) == len(paths)


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_is_read_back_by_other_readers(site, tmp_path, name):
    urls = everything(site)

    fetched(urls, into=tmp_path / name, max_size=10**7)

    expected = {site.url("new" if "moved" in url else url.split("/", 3)[3]) for url in urls}
    expected -= {site.url("short")}
    by_url = {}
    with (tmp_path / name).open("rb") as file:
        for record in FastIterator(file, record_types=WarcRecordType.response):
            assert record.verify_payload_digest()
            by_url[record.headers["WARC-Target-URI"]] = record.reader.read()
    assert set(by_url) == expected
    assert by_url[site.url("gzipped")] == b"<p>it was small</p>" * 100
    assert by_url[site.url("large")] == b"0123456789" * 500_000
    if not name.endswith(".zst"):  # warcio reads no zstd
        with (tmp_path / name).open("rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                if record.rec_type == "response":
                    url = record.rec_headers["WARC-Target-URI"]
                    assert record.content_stream().read() == by_url[url]
                    assert record.http_headers.get_statuscode() in ("200", "404")


def test_a_head_is_kept_without_what_came_before_and_after_it(site, tmp_path):
    urls = [site.url(path) for path in ("trailers", "hints", "bare-lines", "moved")]

    fetched(urls, into=tmp_path / "a.warc")

    found = {}
    with (tmp_path / "a.warc").open("rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            if record.rec_type == "response":
                url = record.rec_headers["WARC-Target-URI"].rpartition("/")[2]
                found[url] = record.http_headers, record.content_stream().read()
    assert {url: body for url, (_, body) in found.items()} == {
        "trailers": b"hello",
        "hints": b"hello",
        "bare-lines": b"hello",
        "new": b"<p>new</p>",
    }
    assert found["bare-lines"][0]["X-Y"] == "z"
    assert {headers.get_statuscode() for headers, _ in found.values()} == {"200"}


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_line_says_where_its_record_is(site, tmp_path, name):
    fetched(everything(site), into=tmp_path / name)

    data = (tmp_path / name).read_bytes()
    for line in lines(f"{tmp_path / name}.manifest.jsonl"):
        if "offset" in line:
            record = data[line["offset"] : line["offset"] + line["length"]]
            record = gzip.decompress(record) if name.endswith(".gz") else record
            assert f"WARC-Target-URI: {line['final_url']}\r\n".encode() in record
            assert record.endswith(b"\r\n\r\n")
            digest = base64.b32encode(bytes.fromhex(line["sha256"]))
            assert b"WARC-Payload-Digest: sha256:" + digest in record


def test_two_spellings_are_one_page_and_have_a_line_each(site, tmp_path):
    urls = [site.url("a/../b"), site.url("b"), site.url("b#x"), site.url("c"), "nonsense"]

    outcomes = fetched(urls, into=tmp_path / "pages")

    found = lines(tmp_path / "pages" / "manifest.jsonl")
    assert sorted(site.paths()) == ["b", "c"]
    assert Counter(line["url"] for line in found) == Counter(urls)
    assert [line["url"] for line in found if "duplicate_of" in line] == urls[1:3]
    assert len(outcomes) == 3


def test_a_password_is_used_and_never_written(site, tmp_path):
    url = site.url("x").replace("http://", "http://me:secret@")

    (outcome,) = fetched([url], into=tmp_path / "a.warc", headers={"X-Key": "hidden"})

    assert outcome.ok
    asked = site.asked[0][1]
    assert asked["Authorization"].startswith("Basic ")
    assert asked["X-Key"] == "hidden"
    for path in tmp_path.iterdir():
        text = path.read_bytes()
        assert b"secret" not in text
        assert b"hidden" not in text


def test_the_agent_names_the_tool(site):
    fetched([site.url("x")])

    assert site.asked[0][1]["User-Agent"].startswith("outpace/")


@pytest.mark.parametrize("name", ["pages", *NAMES])
def test_bytes_that_are_no_text_are_written_safely(site, tmp_path, name):
    urls = [site.url(path) for path in ("to-bytes", "to-scheme", "byte-type", "good")]

    outcomes = fetched(urls, into=tmp_path / name)

    assert len(outcomes) == 4
    text = manifest_of(tmp_path / name).read_bytes()
    assert text.isascii()
    assert not set(text) & (set(range(32)) - {10})
    found = {line["url"]: line for line in lines(manifest_of(tmp_path / name))}
    assert set(found) == set(urls)
    assert found[urls[2]]["bytes"] == 2
    if name != "pages":
        with (tmp_path / name).open("rb") as file:
            records = FastIterator(file, record_types=WarcRecordType.response)
            assert sum(record.verify_payload_digest() for record in records) >= 2


def test_a_proxy_is_asked_in_the_sites_place_and_its_password_is_not_written(
    site, tmp_path, monkeypatch
):
    through = site.url("").replace("http://", "http://me:secret@")
    nowhere = "socks5h://me:secret@127.0.0.1:1"

    (asked,) = fetched(["http://nowhere.invalid/x"], proxy=through)
    fetched(["http://nowhere.invalid/y"], proxy=nowhere, into=tmp_path / "pages")
    monkeypatch.setenv("http_proxy", through)
    (by_environment,) = fetched(["http://nowhere.invalid/z"])

    assert asked.ok
    assert by_environment.ok
    assert site.paths() == ["http://nowhere.invalid/x", "http://nowhere.invalid/z"]
    assert site.asked[0][1]["Proxy-Authorization"].startswith("Basic ")
    (line,) = lines(tmp_path / "pages" / "manifest.jsonl")
    assert line["error"]["kind"] in ("proxy", "connect")
    assert "secret" not in json.dumps(line)


# The next run.


@pytest.mark.parametrize("name", ["pages", *NAMES])
def test_a_resumed_run_leaves_out_what_is_done(site, tmp_path, name):
    urls = [site.url(f"p/{n}") for n in range(30)]
    fetched([*urls[:10], urls[3], site.url("missing")], into=tmp_path / name)
    site.asked.clear()

    fetched(
        [*urls[:10], urls[3], site.url("missing"), *urls[10:], urls[0]],
        into=tmp_path / name,
        resume=True,
    )

    assert sorted(site.paths()) == sorted(f"p/{n}" for n in range(10, 30))
    found = lines(manifest_of(tmp_path / name))
    assert Counter(line["url"] for line in found) == Counter(
        [*urls, urls[3], urls[0], site.url("missing")]
    )


@pytest.mark.parametrize("name", ["pages", "pages.warc"])
def test_what_a_kill_left_half_written_is_fetched_again(site, tmp_path, name):
    into = tmp_path / name
    urls = [site.url(f"p/{n}") for n in range(5)]
    fetched(urls, into=into)
    path = manifest_of(into)
    if into.is_dir():
        (into / lines(path)[1]["path"]).write_bytes(b"hal")
        (into / ".partial").mkdir()
        (into / ".partial" / "7").write_bytes(b"half")
    else:
        with into.open("rb+") as file:
            file.truncate(lines(path)[4]["offset"] + 20)
    with path.open("ab") as file:
        file.write(b'{"url": "http://half/a-li')
    site.asked.clear()

    fetched(urls, into=into, resume=True)

    assert len(site.asked) == 1
    found = lines(path)
    assert sorted(line["url"] for line in found) == sorted(urls)
    assert not list(tmp_path.rglob("*artial*"))
    if not into.is_dir():
        with into.open("rb") as file:
            records = list(ArchiveIterator(file, check_digests="raise"))
            assert len(records) == 6


@pytest.mark.slow
def test_what_failed_is_tried_again_by_kind(site, tmp_path):
    into, site.storm = tmp_path / "pages", 2
    urls = [site.url(path) for path in ("ok", "missing", "storm/1", "storm/2", "short")]
    fetched(urls, into=into, per_host=1)
    assert sum(line["error"] is not None for line in lines(into / "manifest.jsonl")) == 4
    site.asked.clear()

    fetched([], into=into, retry_failed=["http"])

    assert sorted(site.paths()) == ["missing", "storm/1", "storm/2"]
    found = {line["url"]: line["error"] for line in lines(into / "manifest.jsonl")}
    assert len(lines(into / "manifest.jsonl")) == len(found) == 5
    assert [url for url, error in found.items() if error] == [
        site.url("short"),
        site.url("missing"),
    ]


def test_a_retry_that_was_killed_is_taken_in_by_the_next_run(site, tmp_path):
    into = tmp_path / "pages"
    fetched([site.url("missing"), site.url("ok")], into=into)
    path = into / "manifest.jsonl"
    new = {"url": site.url("missing"), "bytes": 1, "path": "x", "error": None}
    manifest.redo_path(path).write_text(json.dumps(new) + '\n{"url": "http://half')
    (into / "x").write_bytes(b"1")

    fetched([site.url("ok"), site.url("missing")], into=into, resume=True)

    assert [line["url"] for line in lines(path)] == [site.url("ok"), site.url("missing")]
    assert lines(path)[1] == new
    assert not manifest.redo_path(path).exists()


@pytest.mark.parametrize("name", ["pages", "pages.warc"])
def test_an_update_fetches_what_has_changed(site, tmp_path, name):
    into = tmp_path / name
    fetched([site.url("tagged/1"), site.url("tagged/2"), site.url("plain")], into=into)
    site.asked.clear()

    same = outpace.fetch([], into=into, update=True)
    outcomes = [outcome.value.status for outcome in same]
    assert sorted(outcomes) == [200, 304, 304]
    assert same.tally.unchanged == 2

    site.etag = '"two"'
    fetched([], into=into, update=True)
    found = {line["url"]: line for line in lines(manifest_of(into))}
    assert len(found) == len(lines(manifest_of(into))) == 3
    assert found[site.url("tagged/1")]["etag"] == '"two"'
    if into.is_dir():
        assert (into / found[site.url("tagged/1")]["path"]).read_bytes() == b'"two"'


def test_an_update_fetches_what_is_not_there_any_more(site, tmp_path):
    into = tmp_path / "pages"
    fetched([site.url("tagged/1"), site.url("tagged/2")], into=into)
    gone, _ = sorted(lines(into / "manifest.jsonl"), key=lambda line: line["url"])
    (into / gone["path"]).unlink()

    outcomes = fetched([], into=into, update=True)

    assert sorted(outcome.value.status for outcome in outcomes) == [200, 304]
    assert (into / gone["path"]).read_bytes() == b'"one"'


# Retries come from the engine.


def test_a_429_is_tried_again_as_long_after_as_the_site_asks(site, tmp_path):
    site.storm = 1

    (outcome,) = outpace.fetch(site.url("storm"), retries=2, into=tmp_path / "pages")

    assert (outcome.ok, outcome.attempts) == (True, 2)
    assert outcome.started - outcome.queued >= 1.0
    assert lines(tmp_path / "pages" / "manifest.jsonl")[0]["attempts"] == 2


def test_a_host_that_wants_to_be_left_alone_for_a_day_is_not_waited_for(site):
    urls = [site.url("far-storm/1"), *(site.url(f"p/{n}") for n in range(5))]

    outcomes = fetched(urls, per_host=1, retries=5)

    assert [outcome.error.kind for outcome in outcomes] == ["http"] * 6
    assert len(site.asked) == 1


@pytest.mark.slow
def test_a_retry_after_may_be_a_date(site):
    site.storm, site.storm_date = 1, True

    (outcome,) = outpace.fetch(site.url("storm"), retries=1)

    assert outcome.ok
    assert 0.5 < outcome.started - outcome.queued < 5


def test_large_and_small_files_have_the_same_permissions(site, tmp_path):
    fetched([site.url("large"), site.url("small")], into=tmp_path / "pages")

    files = {path.stat().st_mode for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 1


def test_a_404_is_not_tried_again(site):
    (outcome,) = outpace.fetch(site.url("missing"), retries=5)

    assert outcome.attempts == len(site.asked) == 1


# Politeness, over real connections.


def test_no_more_than_the_limit_are_at_one_host(site):
    fetched([site.url(f"p/{n}") for n in range(200)], per_host=3)

    assert site.most_at_once <= 3


def test_robots_txt_is_asked_for_first_and_obeyed(site):
    urls = [site.url("private/x"), site.url("public/x")]

    outcomes = {o.item: o for o in fetched(urls, robots=True)}

    assert site.paths()[0] == "robots.txt"
    assert sorted(site.paths()) == ["public/x", "robots.txt"]
    assert outcomes[urls[0]].error.kind == "robots"
    assert outcomes[urls[1]].ok


def test_of_an_endless_robots_txt_the_beginning_counts(site):
    site.robots = "endless"

    outcomes = {o.item: o for o in fetched([site.url("private/x"), site.url("x")], robots=True)}

    assert outcomes[site.url("private/x")].error.kind == "robots"
    assert outcomes[site.url("x")].ok


def test_a_disk_that_is_full_when_a_large_body_is_whole_costs_that_page_alone(
    site, tmp_path, monkeypatch
):
    class Late(io.BytesIO):
        def __init__(self, path):
            super().__init__()
            self.name = str(path)
            Path(path).write_bytes(b"")

        def close(self):
            if not self.closed:
                super().close()
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer, "spool_file", lambda folder: Late(Path(folder) / "late"))

    outcomes = fetched([site.url("large"), site.url("small")], into=tmp_path / "pages")

    assert sorted(o.error.kind if o.error else "fine" for o in outcomes) == ["disk", "fine"]
    assert len(list((tmp_path / "pages").rglob("*.*"))) == 3


def test_workers_share_the_limit_and_one_archive(site, tmp_path):
    urls = [site.url(f"p/{n}") for n in range(300)]

    run = outpace.fetch(urls, workers=2, per_host=4, into=tmp_path / "a.warc", **QUIET)
    outcomes = list(run)

    assert run.model == "processes+fetch"
    assert all(outcome.ok for outcome in outcomes)
    assert site.most_at_once <= 4
    assert len(lines(tmp_path / "a.warc.manifest.jsonl")) == 300


# What is refused before any work.


def test_an_earlier_run_is_not_overwritten(site, tmp_path):
    fetched([site.url("x")], into=tmp_path / "pages")
    (tmp_path / "other.warc").write_bytes(b"precious")
    (tmp_path / "file").write_bytes(b"")

    for settings, words in (
        ({"into": tmp_path / "pages"}, "earlier run"),
        ({"into": tmp_path / "other.warc"}, "without a manifest"),
        ({"into": tmp_path / "other.warc", "resume": True}, "without a manifest"),
        ({"into": tmp_path / "file"}, "no directory"),
        ({"into": tmp_path / "new", "retry_failed": True}, "no manifest"),
        ({"into": tmp_path / "new", "update": True}, "no manifest"),
        ({"into": tmp_path / "pages", "update": True, "resume": True}, "one at a time"),
        ({"into": tmp_path / "pages", "retry_failed": ["nonsense"]}, "no kind"),
        ({"resume": True}, "needs the manifest"),
        ({"retries": -1}, "retries"),
        ({"nonsense": 1}, "nonsense"),
    ):
        with pytest.raises(OutpaceError, match=words) as caught:
            outpace.fetch([site.url("x")], **settings)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "other.warc").read_bytes() == b"precious"


def test_two_runs_do_not_write_to_one_manifest(site, tmp_path):
    first = Manifest(tmp_path / "manifest.jsonl")
    try:
        with pytest.raises(UsageError, match="another run"):
            outpace.fetch([site.url("x")], into=tmp_path, resume=True)
    finally:
        first.close()
    assert fetched([site.url("x")], into=tmp_path)[0].ok


def test_a_manifest_that_is_none_is_one_clear_line(site, tmp_path):
    (tmp_path / "manifest.jsonl").write_text("[]\n")

    with pytest.raises(UsageError, match="line 1 is no line"):
        outpace.fetch([site.url("x")], into=tmp_path, resume=True)


def test_a_disk_that_is_full_ends_the_run_with_what_was_kept(site, tmp_path, monkeypatch):
    def full(self, body):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("outpace.fetching.sinks.DirectorySink._written", full)

    with pytest.raises(OutpaceError, match="No space left"):
        fetched([site.url("x")], into=tmp_path / "pages")


def test_a_large_body_that_finds_no_room_is_a_failure_of_its_own(site, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        name = os.devnull

        def write(self, _data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer, "spool_file", lambda _folder: Full())

    large, small = sorted(
        fetched([site.url("large"), site.url("small")], into=tmp_path / "pages"),
        key=lambda outcome: outcome.ok,
    )

    assert large.error.kind == "disk"
    assert small.ok
