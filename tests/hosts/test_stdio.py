"""What items print, log and warn of: whole lines, each record once, as if it had been said here."""
# ruff: noqa: T201 - that items print is what is tested

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import outpace
from outpace.hosts.channel.messages import Printed
from outpace.hosts.channel.stdio import LINE, Relay, Stream
from tests.conftest import program_environment

if TYPE_CHECKING:
    from pathlib import Path

HOSTED = ["processes", "processes+threads", "processes+asyncio"]
every_hosted_model = pytest.mark.parametrize("model", HOSTED)
posix = pytest.mark.skipif(os.name != "posix", reason="forks, or closes a pipe; needs POSIX")


def carried(fn: Any, items: Any, model: str = "processes", **more: Any) -> list[Any]:
    return list(outpace.map(fn, items, model=model, workers=2, in_flight=4, **more))


# Printing.


def say_in_pieces(item: int) -> int:
    for piece in ("item ", str(item), " has ", "spoken", "\n"):
        sys.stdout.write(piece)
    print("complaint of", item, file=sys.stderr)
    return item


@every_hosted_model
def test_lines_of_several_workers_come_out_whole_and_each_once(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    carried(say_in_pieces, range(200), model)
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == sorted(f"item {n} has spoken" for n in range(200))
    assert sorted(err.splitlines()) == sorted(f"complaint of {n}" for n in range(200))


def test_what_does_not_end_in_a_newline_comes_out_at_the_end_or_when_flushed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    carried(lambda n: print(n, end=""), [7])
    assert capsys.readouterr().out == "7"
    carried(lambda n: print("now", end="", flush=True), [7])
    assert capsys.readouterr().out == "now"


def test_what_is_printed_before_a_worker_dies_is_not_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def last_words(_item: int) -> None:
        print("famous last words")
        os._exit(1)

    list(outpace.run(last_words, [1], model="processes", workers=1))
    assert "famous last words\n" in capsys.readouterr().out


def test_output_comes_in_time_and_not_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    run = outpace.map(say_in_pieces, range(4), model="processes", workers=1, chunk=1)
    with run:
        next(run)
        assert "item 0 has spoken\n" in capsys.readouterr().out


def test_a_setup_that_prints_is_heard_at_both_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    import contextlib

    @contextlib.contextmanager
    def talkative() -> Any:
        print("opened")
        yield
        print("closed")

    list(outpace.map(lambda n, _: n, [1], model="processes", workers=1, setup=talkative))
    assert capsys.readouterr().out == "opened\nclosed\n"


@posix
def test_a_child_that_an_item_forks_speaks_for_itself(run_python: Any) -> None:
    done = run_python(
        "import os, outpace\n"
        "def fork(n):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        print('the child', flush=True)\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    print('the parent')\n"
        "    return n\n"
        "print(list(outpace.map(fork, [1], model='processes', workers=1)))\n"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["[1]", "the child", "the parent"]


def test_bytes_and_programs_go_where_they_should(run_python: Any) -> None:
    done = run_python(
        "import subprocess, sys, outpace\n"
        "def work(n):\n"
        "    sys.stdout.buffer.write(b'bytes\\n')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"a program\")'], check=True)\n"
        "    subprocess.run(['echo', 'to stdout'], check=True, stdout=sys.stdout)\n"
        "list(outpace.map(work, [1], model='processes', workers=1))\n"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["a program", "bytes", "to stdout"]


# The stream itself.


class Heard:
    """Be what was said through a stream."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stream = Stream(sys.__stdout__, "stdout", self.say)

    def say(self, said: Any) -> None:
        assert isinstance(said, Printed)
        assert said.stream == "stdout"
        self.said.append(said.text)


def test_only_whole_lines_are_said_and_the_rest_when_asked() -> None:
    heard = Heard()
    heard.stream.write("a")
    heard.stream.write("b\nc\nd")
    assert heard.said == ["ab\nc\n"]
    heard.stream.flush()
    heard.stream.finish()
    assert heard.said == ["ab\nc\n", "d"]


def test_a_line_without_end_is_said_before_it_fills_the_memory() -> None:
    heard = Heard()
    for _ in range(100):
        heard.stream.write("x" * 1000)
    heard.stream.finish()
    assert "".join(heard.said) == "x" * 100_000
    assert len(heard.said[0]) > LINE


def test_each_thread_has_a_line_of_its_own() -> None:
    heard = Heard()
    heard.stream.write("mine ")
    other = threading.Thread(target=heard.stream.write, args=("theirs\n",))
    other.start()
    other.join()
    heard.stream.write("is whole\n")
    assert heard.said == ["theirs\n", "mine is whole\n"]


def test_what_other_threads_have_left_unfinished_is_said_at_the_end() -> None:
    heard = Heard()
    for word in ("one ", "two "):
        other = threading.Thread(target=heard.stream.write, args=(word,))
        other.start()
        other.join()
    heard.stream.write("three")
    heard.stream.finish()
    assert "".join(heard.said) == "one two three"


@pytest.mark.parametrize("model", ["processes", "processes+threads", "processes+asyncio"])
def test_a_last_line_without_its_end_comes_out_under_every_model(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    list(outpace.map(lambda _: print("said", end=""), [0], model=model))
    assert capsys.readouterr().out == "said"


def test_writing_what_is_no_text_is_an_error_as_always() -> None:
    with pytest.raises(TypeError):
        Heard().stream.write(b"bytes")


def test_a_caller_without_a_stdout_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    Relay().say_again(Printed("stdout", "into the void\n"))


# Logging.


def log(item: int) -> int:
    logger = logging.getLogger("outpace_test.work")
    logger.debug("fine print %d", item)
    logger.warning("item %d of %s", item, "many", extra={"item": item, "held": threading.Lock()})
    try:
        1 / 0  # noqa: B018 - for its traceback
    except ZeroDivisionError:
        logger.exception("broken %d", item)
    return item


@every_hosted_model
def test_log_records_arrive_once_with_all_that_they_have(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="outpace_test"):
        carried(log, range(10), model)
    warned = [r for r in caplog.records if r.levelno == logging.WARNING]
    failed = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert sorted(r.getMessage() for r in warned) == sorted(f"item {n} of many" for n in range(10))
    assert sorted(r.item for r in warned) == list(range(10))  # type: ignore[attr-defined]
    assert {(r.name, r.funcName, r.filename) for r in warned} == {
        ("outpace_test.work", "log", "test_stdio.py")
    }
    assert os.getpid() not in {r.process for r in warned}
    assert len(failed) == 10
    assert all("ZeroDivisionError" in (r.exc_text or "") for r in failed)
    assert not [r for r in caplog.records if r.levelno == logging.DEBUG]


def test_the_callers_levels_decide(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="outpace_test"):
        carried(log, [1])
    assert "fine print 1" in [r.getMessage() for r in caplog.records]
    caplog.clear()
    with caplog.at_level(logging.CRITICAL, logger="outpace_test"):
        carried(log, [1])
    assert caplog.records == []


def test_the_callers_handlers_write_it_and_nobody_else(run_python: Any) -> None:
    done = run_python(
        "import logging, outpace\n"
        "logging.basicConfig(format='%(levelname)s:%(name)s:%(message)s', level='INFO')\n"
        "def work(n):\n"
        "    logging.getLogger('work').info('at %d', n)\n"
        "list(outpace.map(work, range(3), model='processes', workers=2))\n"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stderr.splitlines()) == [f"INFO:work:at {n}" for n in range(3)]


# Warnings.


def warn(item: int) -> int:
    warnings.warn("mind the gap", UserWarning, stacklevel=1)
    return item


@every_hosted_model
def test_a_warning_of_every_worker_is_one_here(model: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        carried(warn, range(20), model, chunk=1)
    ours = [w for w in caught if "mind the gap" in str(w.message)]
    assert len(ours) == 1
    assert ours[0].category is UserWarning
    assert ours[0].filename.endswith("test_stdio.py")


def test_a_warning_that_is_to_be_shown_always_is() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        carried(warn, range(5), chunk=1)
    assert len([w for w in caught if "mind the gap" in str(w.message)]) == 5


def test_a_warning_that_is_an_error_is_the_items_failure() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcomes = list(outpace.run(warn, [1], model="processes", workers=1))
    assert [type(o.error) for o in outcomes] == [UserWarning]


def test_nothing_is_said_of_what_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        carried(warn, range(5))
    assert caught == []
    assert capsys.readouterr() == ("", "")


def test_a_run_with_no_output_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    carried(abs, range(100))
    assert capfd.readouterr() == ("", "")


def test_the_caller_may_print_into_a_buffer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    monkeypatch.setattr(sys, "stdout", buffer)
    carried(say_in_pieces, [5])
    assert buffer.getvalue() == "item 5 has spoken\n"


PRINTS = """
import sys, os
import outpace
def work(item):
    print("an item speaks", flush=True)
    return item
assert sys.stdin.readline()  # nobody reads our stdout any more
got = list(outpace.map(work, range(20), model="processes", workers=2))
print(got == list(range(20)), file=sys.stderr)
os._exit(0)
"""


@posix
def test_a_stdout_that_nobody_reads_any_more_ends_no_run(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PRINTS)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=program_environment(),
    ) as program:
        assert program.stdout is not None
        program.stdout.close()
        program.stdout = None
        _, said = program.communicate("go on\n", timeout=60)
    lost, whole = said.splitlines()
    assert lost.startswith(
        "outpace: what items print is lost from here on: sys.stdout raised Broken"
    )
    assert whole == "True"


@pytest.mark.parametrize("error", [OSError("the disk is full"), ValueError("closed"), KeyError()])
def test_a_stream_that_raises_ends_no_run_and_another_in_its_place_is_heard(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise error

    def speaks(item: int) -> int:
        print("heard", item)
        return item

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Broken())
        run = outpace.map(speaks, range(10), model="processes", workers=1, chunk=1)
        assert next(run) == 0
    assert list(run) == list(range(1, 10))
    out, err = capsys.readouterr()
    assert err == f"outpace: what items print is lost from here on: sys.stdout raised {error!r}\n"
    assert "heard 9\n" in out


def test_what_a_stdout_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(heard, encoding="ascii"))
    assert list(outpace.map(lambda _: print("é…"), [1], model="processes")) == [None]
    assert heard.getvalue() == b"\\xe9\\u2026\n"


@posix
def test_thousands_of_lines_deadlock_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    def chatter(item: int) -> bytes:
        for n in range(500):
            print(item, n, "x" * 200)
        return bytes(100_000)

    values = carried(chatter, range(20))
    assert [len(value) for value in values] == [100_000] * 20
    assert len(capsys.readouterr().out.splitlines()) == 20 * 500
