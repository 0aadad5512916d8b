"""What is vendored is what was published, and its licence comes along, on disk and in every page."""

import hashlib
import re
from pathlib import Path

import outpace.report
from outpace.report.html import page

FOLDER = Path(outpace.report.__file__).parent / "vendor"
ROW = re.compile(r"(?m)^\| `([^`]+)` \|.*`([0-9a-f]{64})` \|$")


def test_every_vendored_file_is_the_published_one():
    listed = dict(ROW.findall((FOLDER / "README.md").read_text(encoding="utf-8")))

    assert set(listed) == {path.name for path in FOLDER.iterdir()} - {"README.md"}
    for name, expected in listed.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == expected


def test_the_licence_comes_along_in_every_page(threads):
    words = (FOLDER / "uPlot.LICENSE").read_text(encoding="utf-8")

    assert "MIT" in words
    assert words.split("\n\n")[1] in page([threads])  # whose it is
