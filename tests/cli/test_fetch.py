"""`outpace fetch`, as a person types it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pycurl", reason="fetch needs pycurl")
pytest.importorskip("can_ada", reason="fetch needs can-ada: pip install can-ada builds it (C++)")

from outpace.cli import main
from outpace.cli.fetch import rate, size
from outpace.experiments import server

ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base():
    """Run the pages server; its pages answer at once, and everything else is a 404."""
    with server.running(0.0) as address:
        yield address


def fetch(capsys, *args: str) -> tuple[int, str, str]:
    try:
        code = main(["fetch", *args])
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    return code, out, err


def test_pages_are_counted_and_all_well_is_0(capsys, base):
    code, out, err = fetch(capsys, f"{base}/page/0", f"{base}/page/1")

    assert code == 0
    assert out.startswith("2 pages, 51.1 kB, in ")
    assert not err


def test_failures_are_grouped_by_cause_with_an_example_and_what_to_try(capsys, base, tmp_path):
    (tmp_path / "urls.txt").write_text(f"{base}/page/0\n{base}/x\n{base}/y\nno url\n")
    summary = tmp_path / "summary.json"

    code, out, _ = fetch(capsys, "-i", str(tmp_path / "urls.txt"), "--json", str(summary))

    assert code == 1
    assert "3 failed:" in out
    assert f"2  http: HTTP 404, as {base}/x" in out
    assert "1  invalid-url: " in out
    assert "write http:// or https://" in out
    found = json.loads(summary.read_text())
    assert (found["schema"], found["fetched"], found["failed"]) == ("outpace.fetch/1", 1, 3)
    assert [failure["kind"] for failure in found["failures"]] == ["http", "invalid-url"]


def test_what_a_list_holds_does_nothing_to_a_terminal(capsys, base):
    _, out, _ = fetch(capsys, "\x1b[31mred\x07", f"{base}/\x1b]0;title\x07")

    assert out.isprintable() or set(out) - set("\n") <= set(map(chr, range(32, 0x2FFF)))
    assert "\x1b" not in out
    assert "\x07" not in out


def test_a_directory_is_fetched_into_and_gone_on_with(capsys, base, tmp_path):
    into = str(tmp_path / "pages")
    urls = [f"{base}/page/{n}" for n in range(5)]

    assert fetch(capsys, *urls[:3], "-o", into)[0] == 0
    code, out, err = fetch(capsys, *urls, "-o", into)
    assert (code, out) == (2, "")
    assert "--resume" in err
    code, out, _ = fetch(capsys, *urls, "-o", into, "--resume")
    assert code == 0
    assert "2 pages" in out
    assert "3 finished before" in out
    assert len((tmp_path / "pages" / "manifest.jsonl").read_text().splitlines()) == 5


def test_failed_pages_are_tried_again_and_all_are_asked_about(capsys, base, tmp_path):
    into = str(tmp_path / "a.warc.gz")
    fetch(capsys, f"{base}/page/0", f"{base}/x", "-o", into)

    assert fetch(capsys, "-o", into, "--retry-failed")[0] == 1
    assert fetch(capsys, "-o", into, "--retry-failed", "dns,timeout")[0] == 0
    assert fetch(capsys, "-o", into, "--update")[0] == 0
    code, out, _ = fetch(capsys, "-i", "not-read.txt", "-o", into, "--retry-failed")
    assert code == 1
    assert "1 failed" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "say what to fetch"),
        (("-i", "no-such-file.txt"), "no file"),
        (("http://a/", "--header", "a\nb: c"), "one line"),
        (("http://a/", "--rate", "fast"), "a rate is needed"),
        (("http://a/", "--max-size", "-5"), "number of bytes"),
        (("http://a/", "--per-host", "0"), "at least 1"),
        (("http://a/", "--http", "9"), "invalid choice"),
        (("http://a/", "--json", "x.txt"), ".json"),
        (("http://a/", "--column", "x"), "--column"),
        (("http://a/", "--resume"), "needs the manifest"),
        (("http://a/", "--update", "-o", "x"), "no others"),
        (("http://a/", "-o", "x", "--in-flight", "999999999"), "open files"),
    ],
)
def test_a_mistake_is_one_line_and_2(capsys, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)

    code, out, err = fetch(capsys, *args)

    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said_with_what_to_install(capsys, monkeypatch, tmp_path):
    for module in ("can_ada", "protego", "pycurl", ZSTD):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            into = tmp_path / "pages.warc.zst"
            code, _, err = fetch(capsys, "http://a/", "--robots", "-o", str(into))

        assert code == 2
        built = module == "can_ada" and sys.version_info >= (3, 15)  # no wheel, so not of the extra
        assert "pip install " + ("can-ada" if built else "'outpace[fetch]'") in err
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "expected"), [("10", 10.0), ("10/s", 10.0), ("300/m", 5.0), ("7200/h", 2.0)]
)
def test_a_rate_is_read(text, expected):
    assert rate(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("2k", 2048), ("1.5M", 1_572_864), ("1G", 2**30), ("1kB", 1024)],
)
def test_a_size_is_read(text, expected):
    assert size(text) == expected


def test_standard_input_is_read_and_an_interrupt_is_130(tmp_path):
    with server.running(0.05) as slow:
        process = subprocess.Popen(
            [sys.executable, "-m", "outpace", "fetch", "-i", "-", "-o", str(tmp_path / "pages")],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdin.write("".join(f"{slow}/page/{n}\n" for n in range(5000)))
        process.stdin.close()
        manifest = tmp_path / "pages" / "manifest.jsonl"
        while not (manifest.exists() and manifest.stat().st_size):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        assert process.wait(20) == 130

    assert " pages, " in out
    assert "--resume" in err
    assert "Traceback" not in err
    lines = manifest.read_text().splitlines()
    assert lines
    assert all(json.loads(line)["error"] is None for line in lines)
    assert not (tmp_path / "pages" / ".partial").exists()
