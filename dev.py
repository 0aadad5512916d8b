"""Set up and run everything here with nothing but a Python >= 3.11 that has venv and pip.

    python3 dev.py race                 race the two experiments, pages and sums, on this machine
    python3 dev.py race ARGS            the same as `outpace race ARGS`
    python3 dev.py test [PYTEST ARGS]   the tests, in 4 processes: 4 to 5 minutes on two quiet cores
    python3 dev.py test --fast          those that take a minute in all
    python3 dev.py test --thorough      these and the longest: joblib's own, more faults
    python3 dev.py test --every-python  the tests on every CPython >= 3.11 that is found here
    python3 dev.py test --others        the tests on every one but this
    python3 dev.py test --lowest        the tests with the lowest versions that pyproject.toml allows
    python3 dev.py test --newest        the tests with the newest that there are today
    python3 dev.py check                lint, format, types, import contracts
    python3 dev.py bench NAME [ARGS]    the measurement bench/NAME.py

What is needed goes into .venv here (.venv-3.12, ... for the other Pythons, .venv-lowest and
.venv-newest), once: a stamp in each says what it was made from, and only a change of that installs
again. What is newest is asked for every time.
"""

import sys

# First of all, and the syntax of this file stays that of Python 3.6 (no walrus, no `match`): an
# older Python has to get as far as this line to say what is wrong in one of its own.
if sys.version_info < (3, 11):
    sys.stderr.write(
        f"dev.py: outpace needs Python 3.11 or newer, and {sys.executable} is"
        f" {sys.version_info[0]}.{sys.version_info[1]}: start dev.py with a newer one\n"
    )
    sys.exit(2)

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"
TEST_WORKERS = 4  # finds tests that disturb each other; many wait, and two would leave cores idle
SLOW = "worker processes, signals, whole races, the docs' examples, and the suites of CPython and joblib"
THOROUGH = (
    "joblib's own tests, 20,000 pages killed 30 times, half of the table of faults, a long torture"
)
PROGRAMS = {  # the marker of the tests that need a program: the names that it goes by
    "needs_nginx": ("nginx",),
    "needs_chromium": ("chromedriver",),  # it comes with Chromium (Debian: chromium-driver)
}


class Problem(Exception):  # noqa: N818 - not always an error of ours
    """What is wrong and what to do, in the words that the user is to see."""


def say(message: str) -> None:
    """Tell what is going on: on stderr, so that a command's own output stays clean."""
    print(f"dev.py: {message}", file=sys.stderr, flush=True)


def run(*command: str | Path, cwd: Path | None = None) -> int:
    """Run a command to its end and return its exit code.

    Ctrl-C is the command's to answer: it has the time to clean up, and only then do we stop too.
    A terminal tells both of us; without one, only we were told, so we pass it on.
    """
    both_told = WINDOWS or (sys.stdin is not None and sys.stdin.isatty())
    interrupted = False
    child = subprocess.Popen([str(part) for part in command], cwd=cwd)
    try:
        while child.poll() is None:
            try:
                child.wait()
            except KeyboardInterrupt:
                if not both_told and not interrupted:
                    child.send_signal(signal.SIGINT)
                interrupted = True
    except SystemExit:  # of SIGTERM, see main(): what we have started does not outlive us
        child.terminate()
        child.wait()
        raise
    if interrupted or child.returncode in (-signal.SIGINT, 130):
        raise KeyboardInterrupt
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


class Python(NamedTuple):
    """One interpreter, as it describes itself (in JSON, to the one that asks)."""

    executable: str
    prefix: str
    name: str  # minor version and build, as in 3.13t: the tests run on one Python of each
    version: str
    order: list[int | str]  # newer is greater
    missing: str  # of the modules that make a virtual environment with pip in it

    @property
    def lacks(self) -> str:
        """What it lacks and what to do; empty when it lacks nothing."""
        return self.missing and (
            f"{self.executable} cannot make a venv with pip, it has no module {self.missing}:"
            f" install it (Debian, Ubuntu: python{self.name}-venv) or use another Python >= 3.11"
        )


def this_python() -> Python:
    """Describe the Python that runs this; inside a venv, the one that the venv was made from."""
    build = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return Python(
        executable=getattr(sys, "_base_executable", None) or sys.executable,
        prefix=sys.base_prefix,
        name=f"{sys.version_info.major}.{sys.version_info.minor}{build}",
        version=platform.python_version() + build,
        order=list(sys.version_info),
        missing=" or ".join(name for name in ("venv", "ensurepip") if find_spec(name) is None),
    )


def candidates() -> Iterator[Path]:
    """Yield every file that may be a Python; many are links to, or shims for, one another."""
    name = re.compile(r"python(3(\.(1[1-9]|[2-9]\d)t?)?)?(\.exe)?", re.IGNORECASE)
    for folder in os.get_exec_path():
        with suppress(OSError):  # PATH may name what is not there
            yield from (path for path in Path(folder).iterdir() if name.fullmatch(path.name))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = [pyenv / "versions", pyenv / "pyenv-win" / "versions"]
    if shutil.which("uv"):
        kept.append(Path(output("uv", "python", "dir").strip()))
    for versions in kept:
        yield from versions.glob("*/python.exe" if WINDOWS else "*/bin/python3")
    if WINDOWS and shutil.which("py"):
        yield from map(Path, re.findall(r"(?m)\s([A-Z]:\\.+\.exe)\s*$", output("py", "-0p")))


def output(*command: str | Path) -> str:
    """Return what a command prints, or nothing if it fails."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def found_pythons() -> list[Python]:
    """Find the CPythons >= 3.11 here: of each minor version and build the newest complete one."""
    this = this_python()
    best = {this.name: this}
    for path in dict.fromkeys(map(os.path.realpath, candidates())):
        answer = output(path, "-I", __file__, "--describe").strip()
        if not answer:  # an older Python, another implementation, a shim that leads nowhere
            continue
        python = Python(*json.loads(answer))
        other = best.get(python.name, python)  # listed first: of two alike the one known stays
        best[python.name] = max(other, python, key=lambda one: (not one.missing, one.order))
    return sorted(best.values(), key=lambda one: (one.order[:2], one.name))


def set_up(python: Python, extra: str, versions: str = "") -> Path:
    """Make the venv of `python` hold outpace with `extra`; return the folder of its programs.

    Extras add up: what an earlier command has installed stays, and is not installed again. A venv
    of another Python, one that was moved, and one that was never finished are made anew. `versions`
    are of the dependencies: "lowest", "newest", or whichever were the newest at the first time.
    """
    own = versions or ("" if python == this_python() else python.name)
    venv = ROOT / (f".venv-{own}" if own else ".venv")
    programs = venv / ("Scripts" if WINDOWS else "bin")
    inside = programs / ("python.exe" if WINDOWS else "python")
    stamp = venv / "outpace-dev.json"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # Only what an installation depends on: a changed lint rule installs nothing.
    parts = [project["build-system"], project["project"], project["tool"].get("hatch")]
    made_from = [python.prefix, python.version, str(ROOT)]
    had: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        had = json.loads(stamp.read_text(encoding="utf-8"))
    usable = inside.exists() and had.get("made_from") == made_from
    known = project["project"]["optional-dependencies"]
    extras = {extra, *(had["extras"] if usable else ())} & known.keys()
    extras.update(*(re.findall(r"outpace\[(\w+)\]", " ".join(known[name])) for name in extras))
    wanted = {
        "made_from": made_from,
        "project": hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        "extras": sorted(extras),
    }
    if usable and had == wanted and versions != "newest":  # a newer one may be out by now
        return programs
    if python.lacks:
        raise Problem(python.lacks)
    once = "" if versions == "newest" else " (once)"
    say(f"{'updating' if usable else 'setting up'} {venv.name}{once} …")
    if not usable:
        install_step(venv, python.executable, "-m", "venv", "--clear", venv)
    # Should pip not get to its end, the next run goes on from here, with the same extras.
    stamp.write_text(json.dumps({**wanted, "project": None}), encoding="utf-8")
    pip = (inside, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
    bounds = venv / "lowest.txt"
    bounds.write_text("\n".join(lowest(project["project"])), encoding="utf-8")
    which = {"lowest": ("-c", bounds), "newest": ("--upgrade", "--upgrade-strategy", "eager")}
    what = f".[{','.join(sorted(extras))}]"
    install_step(venv, *pip, *which.get(versions, ()), "--editable", what)
    stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return programs


def lowest(project: dict[str, Any]) -> list[str]:
    """Return the lower bound of each dependency as the version to install, in pip's words."""
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    others = {one for group in groups for one in group if not one.startswith(f"{project['name']}[")}
    return sorted(re.sub(r"^([\w.-]+)(\[.*?\])?(>=|~=)", r"\1==", one) for one in others)


def python_of_the_lowest() -> Python:
    """Return the oldest Python that we allow: what is as old has no wheels for newer ones."""
    oldest = found_pythons()[0]
    if oldest.name != "3.11":
        raise Problem("--lowest needs Python 3.11, and there is none here: install it, too")
    return oldest


def install_step(venv: Path, *command: str | Path) -> None:
    """Run one step of setting up, silent unless it fails; then show how it ended."""
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    done = subprocess.run(
        command, cwd=ROOT, stdin=none, stdout=pipe, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        ending = done.stdout.decode(errors="replace").strip().splitlines()[-15:]
        raise Problem(
            f"could not set up {venv.name}: this failed: {' '.join(map(str, command))}\n    "
            + "\n    ".join(ending)
            + "\nWhen that is mended (is there a network? room on the disk?), run dev.py again."
        )


def race(args: list[str]) -> int:
    """Race what was asked for, or both experiments when nothing was."""
    outpace = set_up(this_python(), "experiments") / "outpace"
    races = [args] if args else [["pages"], ["sums"]]
    return max([run(outpace, "race", *one) for one in races])


def test(args: list[str]) -> int:
    """Run the tests on this Python or others, without those whose program is not installed."""
    wide = {"--every-python", "--others"}.intersection(args)
    bound = {"--lowest", "--newest"}.intersection(args)
    if len(wide | bound) > 1:
        raise Problem(f"{' and '.join(sorted(wide | bound))} do not go together: use one of them")
    args = [arg for arg in args if arg not in wide | bound]
    # A debugger needs the terminal, which workers do not have.
    if not any(re.match(r"-n|(-p)?no:xdist|--(numprocesses|pdb|trace)\b", arg) for arg in args):
        args = ["-n", str(TEST_WORKERS), "--dist", "worksteal", *args]
    # Thousands of interpreters start here: outpace is to be compiled once, and not by each.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    fast, thorough = "--fast" in args, "--thorough" in args
    args = [arg for arg in args if arg not in ("--fast", "--thorough")]
    absent = [marker for marker, names in PROGRAMS.items() if not any(map(shutil.which, names))]
    unwanted = [*absent, *["slow"] * fast, *["thorough"] * (not thorough)]
    if unwanted:
        narrowed = " and ".join(f"not {marker}" for marker in unwanted)
        if "-m" in args[:-1]:  # pytest heeds only the last -m: narrow the user's own
            at = args.index("-m") + 1
            narrowed = f"({args[at]}) and {narrowed}"
        args += ["-m", narrowed]
    this = this_python()
    if wide:
        others = [one for one in found_pythons() if one.name != this.name]
        code = test_each(found_pythons() if "--every-python" in wide else others, args)
    else:
        versions = "".join(bound).strip("-")
        python = python_of_the_lowest() if versions == "lowest" else this
        code = run(set_up(python, "dev", versions) / "pytest", *args, cwd=ROOT)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    left_out = [f"{one} ({PROGRAMS[one][0]})" for one in absent if f"mark.{one}" in tests]
    if left_out:
        print(f"left out, the program is not on this machine: tests marked {', '.join(left_out)}")
    if fast:
        print(f"left out by --fast: tests marked slow, which are most of those of {SLOW}")
    elif not thorough:
        print(f"left out without --thorough: {THOROUGH}")
    return code


def test_each(pythons: list[Python], args: list[str]) -> int:
    """Run the tests on each Python, go on after a failure, and end with one line for each."""
    lines: list[str] = []
    failed = False
    for python in pythons:
        if python.lacks:
            lines.append(f"{python.version:<9} skipped: {python.lacks}")
            continue
        say(f"the tests on Python {python.version}, {python.executable}")
        began = time.monotonic()
        try:
            code = run(set_up(python, "dev") / "pytest", *args, cwd=ROOT)
            result = f"FAILED (pytest's exit code {code})" if code else "passed"
        except Problem as problem:
            say(str(problem))
            result = "FAILED to set up"
        failed |= result != "passed"
        lines.append(f"{python.version:<9} {result} in {time.monotonic() - began:.0f} s")
    print("\n".join(lines) or "there is no other CPython >= 3.11 here", flush=True)
    return int(failed)


def check(args: list[str]) -> int:
    """Run every static check, also after one has failed, and name those that did."""
    if args:
        raise Problem(f"check takes no arguments, and got {' '.join(args)}")
    programs = set_up(this_python(), "dev")
    checks = ("ruff check", "ruff format --check", "mypy", "lint-imports")
    failed = []
    for one in checks:
        program, *rest = one.split()
        if run(programs / program, *rest, cwd=ROOT):
            failed.append(one)
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return int(bool(failed))


def bench(args: list[str]) -> int:
    """Run one of the measurements in bench/."""
    scripts = {path.stem: path for path in sorted((ROOT / "bench").glob("[!_]*.py"))}
    if not args or args[0] not in scripts:
        asked = f"there is no bench/{args[0]}.py" if args else "which measurement?"
        raise Problem(f"{asked}: name one of {', '.join(scripts) or '(none yet)'}")
    return run(set_up(this_python(), "bench") / "python", scripts[args[0]], *args[1:])


COMMANDS = {"race": race, "test": test, "check": check, "bench": bench}


def main(name: str = "", *args: str) -> int:
    """Do what the command line says."""
    if name in ("", "-h", "--help"):
        print(__doc__)
        return 0 if name else 2
    if name == "--describe":  # the question of found_pythons() to each
        print(json.dumps(this_python()) if sys.implementation.name == "cpython" else "")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if name in COMMANDS:
            return COMMANDS[name](list(args))
        say(f"there is no command {name!r}: use one of {', '.join(COMMANDS)}, or --help")
    except Problem as problem:
        say(str(problem))
    except KeyboardInterrupt:
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
