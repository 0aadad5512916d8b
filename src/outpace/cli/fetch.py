"""`outpace fetch`: pages by URL, into a directory, an archive, or nowhere."""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from outpace.cli import pictures
from outpace.cli.output import complain, out
from outpace.cli.race import positive, seconds
from outpace.errors import UsageError
from outpace.flow.signals import Terminated

# The options that go to `make_getter` as they are.
SETTINGS = (
    *("in_flight", "per_host", "rate", "delay", "timeout", "connect_timeout", "max_size"),
    *("user_agent", "http", "proxy", "insecure", "robots", "public_only"),
)

EPILOG = """\
examples:
  outpace fetch -i urls.txt -o pages/           one file a page, and pages/manifest.jsonl
  outpace fetch -i urls.txt -o pages.warc.gz    one standard web archive, and its manifest beside it
  outpace fetch -i urls.txt                     nothing kept: counts, bytes, speed
  outpace fetch -i urls.txt -o pages/ --resume  go on where it was stopped, however it was
  outpace fetch -o pages/ --retry-failed dns,timeout
  outpace fetch -i https://example.org/sitemap.xml -o site.warc.gz --robots --delay 1
"""


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "fetch",
        help="fetch pages by URL, fast for you and politely for the sites",
        description="Fetch each URL once, and write down what became of it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    command.add_argument("urls", nargs="*", metavar="URL", help="what to fetch")
    command.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help="a URL a line; .jsonl, .csv, sitemap .xml; also .gz; - is stdin; or a sitemap's URL",
    )
    command.add_argument("--column", metavar="NAME", help="of a .csv or .jsonl (url)")
    command.add_argument(
        "-o",
        "--into",
        metavar="DEST",
        help="a directory, or an archive: .warc, .warc.gz, .warc.zst (nothing is kept)",
    )
    command.add_argument("--manifest", metavar="F", help="where its lines go, one for each URL")
    _add_pace(command.add_argument_group("pace"))
    _add_requests(command.add_argument_group("requests"))
    _add_again(command.add_argument_group("once more"))
    command.add_argument("--json", metavar="F", help="write the summary to a .json file")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")


def _add_pace(group: Any) -> None:
    """Add the options that say how fast."""
    group.add_argument("--in-flight", type=positive, metavar="N", help="pages at once (256)")
    group.add_argument("--per-host", type=positive, metavar="N", help="at one host (6)")
    group.add_argument("--rate", type=rate, metavar="R[/s]", help="pages a second, also R/m, R/h")
    group.add_argument("--delay", type=seconds, default=0.0, metavar="S", help="at one host")
    group.add_argument("--workers", type=positive, metavar="N", help="processes (1)")
    group.add_argument("--retries", type=count, default=2, metavar="N", help="of one page (2)")
    group.add_argument("--timeout", type=seconds, metavar="S", help="for one page (300)")
    group.add_argument("--connect-timeout", type=seconds, metavar="S", help="(15)")


def _add_requests(group: Any) -> None:
    """Add the options that say what is asked for, and what is refused."""
    group.add_argument("--max-size", type=size, metavar="BYTES", help="also 100k, 20M, 4G (4G)")
    group.add_argument(
        "--header", action="append", default=[], metavar="'K: V'", help="of every request"
    )
    group.add_argument("--user-agent", metavar="UA", help="(outpace/VERSION)")
    group.add_argument("--http", choices=("1.1", "2", "3"), help="version (the best both can)")
    group.add_argument("--proxy", metavar="URL", help="(from the environment)")
    group.add_argument("--no-redirects", action="store_true", help="keep the redirect itself")
    group.add_argument("--insecure", action="store_true", help="do not check certificates")
    group.add_argument("--robots", action="store_true", help="obey each site's robots.txt")
    group.add_argument(
        "--public-only", action="store_true", help="connect to no private or local address"
    )


def _add_again(group: Any) -> None:
    """Add the options that go on from an earlier run."""
    group.add_argument("--resume", action="store_true", help="leave out what is finished")
    group.add_argument(
        "--retry-failed",
        nargs="?",
        const="",
        metavar="KINDS",
        help="only what failed: all, or dns,timeout,...",
    )
    group.add_argument("--update", action="store_true", help="only what has changed since")


def run(options: argparse.Namespace) -> int:
    """Fetch; print the summary; return 0, or 1 when pages failed."""
    import json  # noqa: PLC0415 - not for --help

    from outpace.fetching.api import open_fetch  # noqa: PLC0415
    from outpace.report.fetch_summary import fetch_progress, fetch_summary  # noqa: PLC0415
    from outpace.report.progress import StatusLine  # noqa: PLC0415
    from outpace.report.save import write  # noqa: PLC0415

    pictures.check(options, ("json",))
    fetch = open_fetch(
        _urls(options),
        into=options.into,
        manifest=options.manifest,
        workers=options.workers,
        retries=options.retries,
        resume=options.resume,
        retry_failed=_kinds(options.retry_failed),
        update=options.update,
        outcomes=False,
        **_settings(options),
    )
    line = StatusLine(quiet=options.quiet)
    began = time.monotonic()
    end = ""
    code = 0
    with closing(fetch):
        try:
            for _ in fetch:
                took = time.monotonic() - began
                line(fetch_progress(fetch.tally, took, fetch.in_flight, fetch.total))
        except KeyboardInterrupt:
            end, code = "interrupted", 130
        except Terminated as terminated:
            end, code = "terminated", int(terminated.code or 1)
        finally:
            line.clear()
    took = time.monotonic() - began
    if options.json:
        text = json.dumps(fetch.tally.as_json(took), indent=1)
        try:
            write(Path(options.json), f"{text}\n")
        except UsageError as error:
            complain(str(error))
            code = code or 1
    out(fetch_summary(fetch.tally, took, options.into))
    if end and options.into:
        complain(f"{end}; --resume goes on from here")
    return code or (1 if fetch.tally.failed else 0)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is to be set of every request."""
    settings = {name: getattr(options, name) for name in SETTINGS}
    settings["headers"] = options.header
    settings["max_redirects"] = 0 if options.no_redirects else None
    return settings


def _urls(options: argparse.Namespace) -> Iterator[str]:
    """Return all URLs that were given, in the order of the arguments and then of the files."""
    from outpace.fetching import url_source  # noqa: PLC0415 - not for --help
    from outpace.fetching.settings import make_getter  # noqa: PLC0415

    again = options.retry_failed is not None or options.update
    if again and options.urls:
        raise UsageError("--retry-failed and --update take the URLs of the manifest, and no others")
    if again:
        return iter(())  # the same command with one more option: its -i is not read
    if not (options.urls or options.input):
        raise UsageError("say what to fetch: URL …, or -i FILE (- is standard input)")
    if options.column is not None and not options.input:
        raise UsageError("--column is of a file, and there is no -i FILE")
    getter = make_getter(**_settings(options))
    files = [url_source.read(path, options.column, getter) for path in options.input]
    return itertools.chain(options.urls, *files)


def _kinds(text: str | None) -> bool | list[str]:
    """Read the kinds of failures that are to be tried again."""
    if text is None:
        return False
    return [kind.strip() for kind in text.split(",") if kind.strip()] or True


def count(text: str) -> int:
    """Read a whole number of at least 0."""
    if not text.isdigit():
        msg = f"a whole number of at least 0 is needed, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def size(text: str) -> int:
    """Read a number of bytes: 1000, 100k, 20M, 4G."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)i?B?", text)
    number = int(float(found[1]) * 1024 ** " kMGT".index(found[2] or " ")) if found else 0
    if number < 1:
        msg = f"a number of bytes is needed, like 500000, 100k, 20M or 4G, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def rate(text: str) -> float:
    """Read how many a second: 10, 10/s, 300/m, 5000/h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/([smh]))?", text)
    value = float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2] or "s"] if found else 0.0
    if not value:
        msg = f"a rate is needed, like 10, 10/s, 300/m or 5000/h, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value
