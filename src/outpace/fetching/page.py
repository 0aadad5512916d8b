"""What was fetched from one URL."""

from __future__ import annotations

from typing import NamedTuple


class Page(NamedTuple):
    """One page: what came from one URL.

    `url` is what was asked for, normalised; `final_url` where it was found after redirects. `size` in
    bytes and `sha256` (hexadecimal, None where nobody asked for it) are of the body as the site meant
    it: decompressed, no longer in pieces. The body itself is in `body`, or in the file `path` when it
    is large or was kept in a directory. `head` is the raw status line and fields of the final answer.
    `seconds` is from the request's start to its end; `ip` is the address that answered.
    """

    url: str
    final_url: str
    status: int
    size: int
    sha256: str | None
    content_type: str | None
    http: str
    seconds: float
    ip: str | None = None
    head: bytes | None = None
    body: bytes | None = None
    path: str | None = None

    def header(self, name: str) -> str | None:
        """Return a field of the answer by its name, in any case; None when it has none."""
        wanted = name.encode("latin-1").lower()
        for line in (self.head or b"").split(b"\r\n")[1:]:
            field, colon, value = line.partition(b":")
            if colon and field.strip().lower() == wanted:
                return value.strip().decode("latin-1")
        return None
