"""A worker that has just become idle when the run is left closes its setup like any idle one."""

import contextlib
import time

import outpace


@contextlib.contextmanager
def leaving_a_note(path):
    yield
    time.sleep(0.1)  # long enough for the signal that a busy worker gets
    with path.open("a") as file:
        file.write("closed\n")


def first(item, _):
    return item


def test_a_setups_exit_is_not_interrupted_by_the_end_of_the_run(tmp_path):
    notes = tmp_path / "notes"

    def setup():
        return leaving_a_note(notes)

    with outpace.map(first, range(200), model="processes", workers=2, chunk=20, setup=setup) as run:
        next(run)
        time.sleep(0.1)  # all is done by now, and half of it not yet read here
    assert notes.read_text() == "closed\n" * 2
