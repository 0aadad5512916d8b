"""What fetch.py proves beside its table: real pages come whole, a million failures take no memory."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import psutil

MB = 1e6


def compare_real(root: Path, base: str, folder: Path) -> tuple[int, int]:
    """Fetch a site into a directory and an archive; return its pages, and how many are not right."""
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415

    import outpace  # noqa: PLC0415

    files = {
        f"{base}/{path.relative_to(root)}": path for path in root.rglob("*.html") if path.is_file()
    }
    for into in (folder / "pages", folder / "pages.warc.gz"):
        for _ in outpace.fetch(files, into=into, per_host=32):
            pass
    wrong = 0
    lines = map(json.loads, (folder / "pages" / "manifest.jsonl").read_text().splitlines())
    for line in lines:
        expected = files[line["url"]].read_bytes()
        same = line["error"] is None and (folder / "pages" / line["path"]).read_bytes() == expected
        wrong += not (same and hashlib.sha256(expected).hexdigest() == line["sha256"])
    archived = {}
    with (folder / "pages.warc.gz").open("rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            if record.rec_type == "response":
                url = record.rec_headers["WARC-Target-URI"]
                archived[url] = record.content_stream().read()
    wrong += sum(archived.get(url) != path.read_bytes() for url, path in files.items())
    return len(files), wrong


def missing(base: str, count: int, folder: Path) -> bool:
    """Have the program fetch that many pages that are not there; watch it, and read what it wrote."""
    (folder / "urls.txt").write_text("".join(f"{base}/nothing/{n}\n" for n in range(count)))
    manifest = folder / "manifest.jsonl"
    options = ("--manifest", str(manifest), "--in-flight", "64", "--per-host", "64")
    command = [sys.executable, "-m", "outpace", "fetch", "-i", str(folder / "urls.txt"), *options]
    held: list[float] = []
    silent, written, changed = 0.0, 0, time.monotonic()
    with psutil.Popen(command) as program:
        while program.poll() is None:
            time.sleep(0.25)
            size = manifest.stat().st_size if manifest.exists() else 0
            now = time.monotonic()
            if size != written:
                written, changed = size, now
            silent = max(silent, now - changed)
            try:
                held.append(program.memory_info().rss / MB)
            except psutil.Error:
                break
    early = max(held[: max(1, len(held) // 4)])
    kinds: dict[str, int] = {}
    urls = set()
    with manifest.open(encoding="ascii") as lines:
        for line in map(json.loads, lines):
            kinds[line["error"]["message"]] = kinds.get(line["error"]["message"], 0) + 1
            urls.add(line["url"])
    print(
        f"{count:,} missing pages: {early:.0f} MB at most in the first quarter, {max(held):.0f} MB "
        f"later; never {silent + 0.25:.1f} s without a new line; the manifest has {len(urls):,} "
        f"URLs, {kinds}"
    )
    return len(urls) == count and kinds == {"HTTP 404": count} and max(held) < early + 60
