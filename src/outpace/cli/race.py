"""`outpace race`: the same work under every model, side by side."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from outpace.cli import pictures
from outpace.errors import UsageError
from outpace.flow.show import shown
from outpace.flow.signals import Terminated

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from outpace.cli.race_process import RaceNote
    from outpace.experiments.catalogue import Experiment
    from outpace.racing.result import Race

ALL_FILE_OPTIONS = ("json", *pictures.FILE_OPTIONS)
EPILOG = """\
examples:
  outpace race pages                         download 160 pages from a server on this machine
  outpace race pages --url https://example.org --url https://example.com --pages 40
  outpace race sums                          sum the squares below 20 numbers
  outpace race mymodule:fetch mymodule:afetch --items urls.txt
  outpace race scripts/clean.py:clean --items rows.jsonl --models serial,processes
"""


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "race",
        help="run the same work under every model and say which to use",
        description="Run the same items under every concurrency model, prove that the results are "
        "the same, and say which model to use and why. The items run many times over.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    command.add_argument(
        "work",
        nargs="+",
        metavar="pages|sums|MODULE:FUNCTION",
        help="an experiment, or one or more functions that do the same work (one plain, one "
        "coroutine); MODULE is a dotted name or a path to a .py file",
    )
    work = command.add_argument_group("the work")
    work.add_argument("--items", metavar="FILE", help="text, .jsonl, .json or .csv; - is stdin")
    work.add_argument("--column", metavar="NAME", help="the column of a .csv")
    work.add_argument(
        "--setup",
        action="append",
        metavar="MODULE:NAME",
        help="a context manager factory, opened once per lane and passed as second argument; once, "
        "or once per function",
    )
    pages = command.add_argument_group("race pages")
    pages.add_argument("--pages", type=positive, metavar="N", help="how many (160)")
    pages.add_argument("--latency", type=seconds, metavar="S", help="of each page (0.1)")
    pages.add_argument("--url", action="append", default=[], help="a real site instead")
    pages.add_argument("--verbose", action="store_true", help="print each page as it is read")
    sums = command.add_argument_group("race sums")
    sums.add_argument("--numbers", type=positive, metavar="N", help="how many (20)")
    sums.add_argument("--start", type=positive, metavar="N", help="the first (5000000)")
    command.add_argument(
        "--as-published", action="store_true", help="pages, sums: in the published setting"
    )
    shared = command.add_argument_group("the race")
    shared.add_argument("--models", metavar="A,B", help="only these, and serial")
    shared.add_argument("--workers", type=positive, metavar="N", help="for all models")
    shared.add_argument("--in-flight", type=positive, metavar="N", help="for all models")
    shared.add_argument("--repeat", type=positive, metavar="N", help="rounds (up to 3)")
    shared.add_argument("--budget", type=seconds, metavar="S", help="seconds in all (300)")
    shared.add_argument("--json", metavar="F", help="write the race to a .json file")
    pictures.add(shared)
    shared.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(options: argparse.Namespace) -> int:
    """Run the race and show it: in a process of its own, if this is a program of ours."""
    pictures.check(options, ALL_FILE_OPTIONS)
    items = _items(options)
    if not options.is_program:
        return _run(options, items, None)
    from outpace.cli.race_process import in_own_process  # noqa: PLC0415 - not for --help

    return in_own_process(
        lambda note: _run(options, items, note),
        lambda index: f" ({shown(items[index], 40)})" if items is not None else "",
    )


def _run(options: argparse.Namespace, items: list[Any] | None, note: RaceNote | None) -> int:
    """Run the race, write its files and print its table; of one that is interrupted, what there is."""
    from outpace.report.progress import StatusLine  # noqa: PLC0415 - not for --help

    line = StatusLine(quiet=options.quiet or options.verbose)
    finished: Race | None
    end: BaseException | None = None
    with _experiment(options, items) as experiment:
        try:
            finished = _run_race(options, experiment, line, note)
        except (KeyboardInterrupt, Terminated) as interrupt:
            finished, end = getattr(interrupt, "race", None), interrupt
            if finished is None:
                raise
        finally:
            line.clear()
            if note is not None:
                note.write("")
    for entrant in finished.entrants:
        entrant.published_s = experiment.published.get(entrant.model)
    well = pictures.write(options, finished, ALL_FILE_OPTIONS)
    pictures.show(options, finished)
    if end is not None:
        raise end
    return exit_code(finished) if well else 1


def _run_race(
    options: argparse.Namespace, experiment: Experiment, line: Any, note: RaceNote | None
) -> Race:
    """Run the race that was asked for."""
    from outpace.racing.api import run_race  # noqa: PLC0415
    from outpace.racing.runner import RaceRunner  # noqa: PLC0415
    from outpace.report.progress import Progress  # noqa: PLC0415
    from outpace.report.save import PICTURES  # noqa: PLC0415
    from outpace.report.table import race_table  # noqa: PLC0415

    def say(what: object) -> None:
        line(str(what))
        if note is not None:
            note.write(str(what), runner.budget_s if runner.began else None)

    runner = RaceRunner(
        list(experiment.functions),
        experiment.items,
        models=options.models,
        workers=options.workers,
        in_flight=options.in_flight or experiment.in_flight,
        repeat=options.repeat,
        budget=options.budget,
        setup=list(experiment.setup) if experiment.setup else None,
        same=experiment.same,
        watch=lambda what: [Progress(say, what=what)],
        say=say,
        board=None if note is None else note.board,
    )
    return run_race(runner, experiment.name, race_table, PICTURES)


def exit_code(race: Race) -> int:
    """Return 1 when items failed or hang, or results differ; else 0."""
    bad = any(
        e.results == "different" or e.failed or e.status == "failed" or e.hanging_item is not None
        for e in race.entrants
    )
    return 1 if bad else 0


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        msg = f"a whole number of at least 1 is needed, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds, not below 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        msg = f"a number of seconds is needed, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value


def _items(options: argparse.Namespace) -> list[Any] | None:
    """Return the user's own items; None for an experiment, which has its own."""
    from outpace.cli import load  # noqa: PLC0415 - not for --help

    name = options.work[0]
    _refuse_strangers(options, name if name in load.EXPERIMENTS else "")
    if name in load.EXPERIMENTS:
        return None
    load.check(name)
    if options.items is None:
        last = options.work[-1]
        meant = (
            f"; did you mean --items {last}?" if len(options.work) > 1 and ":" not in last else ""
        )
        msg = f"say what to call {name} with: --items FILE (text, .jsonl, .json, .csv, or - for stdin)"
        raise UsageError(msg + meant)
    for work in options.work[1:]:
        load.check(work)
    return load.items(options.items, options.column)


def _experiment(
    options: argparse.Namespace, items: list[Any] | None
) -> AbstractContextManager[Experiment]:
    """Return what is to be raced: an experiment, or the user's functions on the user's items."""
    from outpace.experiments import catalogue  # noqa: PLC0415

    name = options.work[0]
    if name == "pages":
        return catalogue.pages_experiment(
            count=options.pages,
            latency=options.latency,
            urls=options.url,
            as_published=options.as_published,
            verbose=options.verbose,
        )
    if name == "sums":
        return catalogue.sums_experiment(
            count=options.numbers, start=options.start, as_published=options.as_published
        )
    from outpace.cli import load  # noqa: PLC0415

    functions = [load.function(work) for work in options.work]
    setups = [load.function(setup) for setup in options.setup or []]
    if len(setups) not in (0, 1, len(functions)):
        msg = f"{len(functions)} functions and {len(setups)} setups: give one, or one a function"
        raise UsageError(msg)
    return nullcontext(
        catalogue.Experiment(
            name=name.rpartition(":")[2],
            functions=functions,
            items=items or [],
            setup=(setups * len(functions))[: len(functions)] or None,
        )
    )


def _refuse_strangers(options: argparse.Namespace, experiment: str) -> None:
    """Refuse options that belong to other work, since ignoring them would mislead."""
    belongs = {
        "pages": ("pages", "latency", "url", "verbose", "as_published"),
        "sums": ("numbers", "start", "as_published"),
        "": ("items", "column", "setup"),
    }
    if experiment and len(options.work) > 1:
        msg = f"{experiment} is raced alone, without {options.work[1]!r}"
        raise UsageError(msg)
    for names in belongs.values():
        for name in names:
            if getattr(options, name) and name not in belongs[experiment]:
                what = experiment or "your own functions"
                msg = f"--{name.replace('_', '-')} does not go with {what}"
                raise UsageError(msg)
