"""What the file of a page is called: readable, safe on every file system, and no other page's.

A folder for each host, and in it the last part of the path, the page's own hash, and a suffix that
programs know: `docs.python.org/tutorial-1f0e6c5ab20c7a9d3e44.html`. The hash is of the whole URL (80
bits, where upper and lower case make no difference), so names are the same in every run and two
URLs never share one, however alike they look.

Pure. It uses nothing that any file system forbids or takes for something else: no `..`, no reserved
name of Windows, no trailing dot, no name above 120 bytes, only lower-case ASCII.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

LONGEST_SLUG = 60  # characters of a path that are shown
LONGEST_HOST = 100

_UNSAFE = re.compile(r"[^a-z0-9]+")
_UNSAFE_HOST = re.compile(r"[^a-z0-9.-]+")
_SUFFIX = re.compile(r"\.([a-z][a-z0-9]{0,4})$")
_SUFFIXES: Final = {
    "text/html": "html",
    "application/xhtml+xml": "xhtml",
    "text/plain": "txt",
    "text/css": "css",
    "text/csv": "csv",
    "text/xml": "xml",
    "application/xml": "xml",
    "application/json": "json",
    "application/pdf": "pdf",
    "text/javascript": "js",
    "application/javascript": "js",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/svg+xml": "svg",
}


def folder(url: str) -> str:
    """Return the name of the folder for a URL's host (and port)."""
    authority = url.split("/", 3)[2].rpartition("@")[2].lower()
    name = _UNSAFE_HOST.sub("_", authority)
    # A leading underscore for what a file system may take for something else: `con`, `..`, `-x`.
    if not name[:1].isalnum() or "." not in name or name.endswith("."):
        name = f"_{name.strip('.')}"
    return name[:LONGEST_HOST].rstrip(".")


def file_name(url: str, content_type: str | None) -> str:
    """Return the name of a page's file in its folder."""
    unique = hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    path = url.partition("?")[0].rstrip("/")
    last = path.rpartition("/")[2].lower() if path.count("/") > 2 else ""
    kind = (content_type or "").partition(";")[0].strip().lower()
    suffix = _SUFFIXES.get(kind)
    found = _SUFFIX.search(last)
    if found is not None:
        last = last[: found.start()]
        suffix = suffix or found[1]
    slug = _UNSAFE.sub("-", last).strip("-")[:LONGEST_SLUG] or "index"
    return f"{slug}-{unique}.{suffix or 'bin'}"
