"""The command line. Each command is one file with `add` (its options) and `run` (what it does)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from outpace.cli.output import OutputError, complain, flush, out
from outpace.errors import OutpaceError, did_you_mean
from outpace.flow.show import fitting
from outpace.flow.signals import Terminated, claimed


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong with an argument, and what may have been meant."""

    given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; refuse what is left over here, where it is known which command it was for."""
        self.given = sys.argv[1:] if args is None else args
        found, left = super().parse_known_args(args, namespace)
        if left:
            self._refuse(left[0])
        return found, left

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with 2."""
        if "required" in message:  # an option that does not exist may be why
            for word in self.given:
                if word.startswith("--") and not self._get_option_tuples(word.partition("=")[0]):
                    self._refuse(word)
        see = " See" if message.endswith("?") else "; see"
        self.exit(2, f"{self.prog}: {message}{see} {self.prog} --help\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or an error; argparse itself says nothing when that can't be."""
        if file is sys.stdout:
            out(message.removesuffix("\n"))
        elif file is not None:
            super()._print_message(fitting(message, file), file)

    def _refuse(self, word: str) -> NoReturn:
        """Say that there is no such argument."""
        if not word.startswith("-"):
            before = list(self.given)[: list(self.given).index(word)] if word in self.given else []
            if len(before) > 1 and before[-2] == "--models":
                self.error(f"put a comma between: --models {before[-1]},{word}")
            self.error(f"there is nothing that {word!r} could mean here")
        option = word.partition("=")[0]
        self.error(
            f"there is no option {option}{did_you_mean(option, self._option_string_actions)}"
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Say which commands there are, and which may have been meant."""
        if action.dest == "command" and value not in (commands := list(action.choices or ())):
            meant = did_you_mean(value, commands)
            if not meant and (":" in value or value in {"pages", "sums"}):
                meant = f"; to race it: outpace race {value}"
            self.error(f"there is no command {value!r} among {', '.join(commands)}{meant}")
        super()._check_value(action, value)


def parser() -> Parser:
    """Make the parser of the whole command line."""
    from outpace.cli import fetch, models, race, report  # noqa: PLC0415 - nothing heavy either

    main_parser = Parser(
        prog="outpace",
        description="Run the same work under any concurrency model, and find out which is fastest.",
    )
    main_parser.add_argument("--version", action="version", version=_version())
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (race, fetch, report, models):
        command.add(commands)
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 well, 1 some failed, 2 bad usage, 130 Ctrl-C."""
    try:
        with claimed():
            code = _run(arguments)
            flush()
    except OutputError as error:
        complain(str(error))
        return 1
    except OutpaceError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except Terminated as terminated:
        complain("terminated")
        return int(terminated.code or 1)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command that is named; without one, show what there is and return 2."""
    made = parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        made.print_help(sys.stderr)  # as clap has it: nothing was asked for, so this is no result
        return 2
    try:
        chosen = made.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    chosen.is_program = arguments is None  # and no function that somebody's program has called
    code: int = chosen.run(chosen)
    return code


def _version() -> str:
    """Return what --version prints."""
    import outpace  # noqa: PLC0415 - it is imported already; only the name is needed here

    return f"outpace {outpace.__version__}"
