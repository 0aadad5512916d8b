"""A driver in one file is a row of every race, in every host, with nothing else edited."""

import sys

import pytest

import outpace
import outpace.drivers

TOY = '''
from outpace.drivers.serial import Serial

class Backwards(Serial):
    """Do as serial does, under another name."""
    name = "toy"
    summary = "a toy"

driver = Backwards()
'''
ABSENT = '''
from outpace.drivers.serial import Serial

class Absent(Serial):
    """Never be there."""
    name = "absent"
    summary = "never there"

    def unavailable(self):
        return "it needs a Python that nobody has: install one"

driver = Absent()
'''


@pytest.fixture
def _two_new_drivers(tmp_path, monkeypatch) -> None:
    """Put two driver files where drivers are looked for."""
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "absent.py").write_text(ABSENT)
    monkeypatch.setattr(outpace.drivers, "__path__", [*outpace.drivers.__path__, str(tmp_path)])
    yield
    for name in ("toy", "absent"):
        sys.modules.pop(f"outpace.drivers.{name}", None)
        if hasattr(outpace.drivers, name):
            delattr(outpace.drivers, name)


@pytest.mark.slow
@pytest.mark.usefixtures("_two_new_drivers")
def test_a_new_driver_is_a_row_and_one_that_cannot_run_says_why() -> None:
    race = outpace.race(abs, range(-9, 9), repeat=1)
    rows = {entrant.model: entrant for entrant in race.entrants}

    for name in ("toy", "processes+toy"):
        assert rows[name].status == "ran"
        assert rows[name].results == "same"
    for name in ("absent", "processes+absent"):
        assert rows[name].status == "not-eligible"
        assert rows[name].reason == "it needs a Python that nobody has: install one"
    assert "absent: it needs a Python" in str(race)
