"""Memory that a worker and its caller share, and the last words in it."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outpace.flow.board import Board, Shape
from outpace.hosts.launch.shared_memory import LAST_WORDS, Shared, attach

posix = pytest.mark.skipif(os.name != "posix", reason="descriptors are handed down; needs POSIX")


@pytest.fixture
def shared():
    made = Shared(Shape.of(2, scattered=True))
    yield made
    made.close()


@posix
def test_what_the_worker_writes_on_its_board_the_caller_reads(shared) -> None:
    theirs = attach(shared.shape, shared.fd, shared.name)
    theirs.places[0].take(5, 1.25)
    assert list(shared.board.running()) == [(5, 1.25)]
    theirs.release()


@posix
def test_a_process_that_dies_leaves_its_board_and_its_last_words(shared) -> None:
    code = (
        "import faulthandler, os, sys\n"
        "from outpace.flow.board import Shape\n"
        "from outpace.hosts.launch.shared_memory import attach\n"
        "fd = int(sys.argv[1])\n"
        "attach(Shape(1, 3), fd, None).places[1].take(17, 2.5)\n"
        "faulthandler.enable(fd)\n"
        "os.abort()\n"
    )
    command = [sys.executable, "-c", code, str(shared.fd)]
    done = subprocess.run(command, pass_fds=[shared.fd], stderr=subprocess.DEVNULL, check=False)

    assert done.returncode == -6
    assert list(shared.board.running()) == [(17, 2.5)]
    assert shared.last_words().startswith("Fatal Python error: Aborted")


@posix
def test_without_last_words_there_are_none_and_long_ones_are_cut(shared) -> None:
    assert shared.last_words() is None
    os.write(shared.fd, b"x" * (LAST_WORDS + 1000))
    assert shared.last_words() == "x" * LAST_WORDS


@posix
def test_last_words_do_not_touch_the_board(shared) -> None:
    shared.board.places[0].take(3, 4.5)
    faulthandler.dump_traceback(shared.fd)
    assert "Current thread" in shared.last_words()
    assert list(shared.board.running()) == [(3, 4.5)]


@posix
def test_it_has_no_name_that_could_be_left(shared, private_temp) -> None:
    assert list(private_temp.iterdir()) == []
    if sys.platform == "linux":
        assert not list(Path("/dev/shm").glob("*outpace*"))


@posix
def test_without_memfd_it_is_a_file_whose_name_is_gone_at_once(monkeypatch, private_temp) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    made = Shared(Shape(1, 0))
    assert list(private_temp.iterdir()) == []
    made.board.rows[0].times[0] = 1.0
    assert made.last_words() is None
    made.close()


def test_closing_twice_is_as_good_as_once_and_reading_after_it_is_nothing() -> None:
    made = Shared(Shape(1, 0))
    made.close()
    assert made.last_words() is None
    assert made.fd == -1


def test_a_board_of_a_shape_is_as_large_as_the_memory_made_for_it(shared) -> None:
    assert isinstance(shared.board, Board)
    assert os.fstat(shared.fd).st_size == shared.shape.size
