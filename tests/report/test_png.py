"""The picture as PNG."""

import struct

import pytest

from outpace.errors import UsageError
from outpace.report import png as drawing
from outpace.report.png import SHARP, png, writes_letters
from outpace.report.svg import PICTURE_WIDTH


@pytest.mark.needs_fonts
def test_it_is_as_large_as_the_svg_and_sharp(threads):
    data = png([threads])

    width, _ = struct.unpack(">II", data[16:24])
    assert width == SHARP * PICTURE_WIDTH


@pytest.mark.needs_fonts
def test_a_theme_changes_it_and_auto_is_light(threads):
    light, dark, auto = (png([threads], theme=theme) for theme in ("light", "dark", "auto"))

    assert light != dark
    assert auto == light


@pytest.mark.needs_fonts
def test_a_machine_without_fonts_is_noticed():
    assert writes_letters()
    assert not writes_letters(skip_system_fonts=True)


def test_without_fonts_it_says_what_to_install(threads, monkeypatch):
    monkeypatch.setattr(drawing, "writes_letters", lambda: False)

    with pytest.raises(UsageError, match="fonts-dejavu-core"):
        png([threads])


@pytest.mark.needs_fonts
def test_words_reach_the_picture(threads):
    assert png([threads], title="one") != png([threads], title="two")
