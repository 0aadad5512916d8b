"""The caller's warnings filters arrive in a worker, and import nothing there."""

import sys
import types
import warnings

import pytest

from outpace.hosts.channel.warning_filters import named_filters, set_filters


class Told(UserWarning):
    """A class of warnings that is here."""


@pytest.fixture
def elsewhere(monkeypatch):
    """A class of warnings of a module that only the caller has imported."""
    module = types.ModuleType("elsewhere")
    module.Told = type("Told", (UserWarning,), {"__module__": "elsewhere"})
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    return module.Told


@pytest.fixture(autouse=True)
def _keep_filters():
    with warnings.catch_warnings():
        yield


def test_filters_come_out_as_they_went_in():
    warnings.resetwarnings()
    warnings.filterwarnings("error", "some text", Told, "some.module", 17)
    warnings.simplefilter("ignore", DeprecationWarning, append=True)
    before = list(warnings.filters)
    set_filters(named_filters())
    assert list(warnings.filters) == before


def test_a_class_whose_module_is_not_imported_is_known_by_its_name(elsewhere, monkeypatch):
    warnings.resetwarnings()
    warnings.simplefilter("error", elsewhere)
    names = named_filters()
    monkeypatch.delitem(sys.modules, "elsewhere")
    set_filters(names)
    assert "elsewhere" not in sys.modules
    derived = type("Derived", (elsewhere,), {})
    with pytest.raises(elsewhere):
        warnings.warn("told", elsewhere, stacklevel=1)
    with pytest.raises(derived):
        warnings.warn("told", derived, stacklevel=1)


def test_a_class_of_another_name_passes_a_stand_in_by(elsewhere, monkeypatch):
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", elsewhere)
    names = named_filters()
    monkeypatch.delitem(sys.modules, "elsewhere")
    set_filters(names)
    warnings.warn("told", Told, stacklevel=1)
