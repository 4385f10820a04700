"""The print font: its letters, its widths, and its part in an SVG."""

import base64
import io
import re

import pytest
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from detr_attnviz.drawing.prints.fonts import (
    HOLE,
    lacking,
    line_mm,
    printable,
    shortened,
    width_mm,
    with_embedded_fonts,
    wrapped,
)

SVG = "<svg><defs></defs><text style=\"font-size: 7px\">a &amp; b</text><text style='font-weight: 700'>12</text></svg>"


def test_letters_that_the_font_lacks_become_holes() -> None:
    assert printable("汉字 cat\n") == f"{HOLE}{HOLE} cat"
    assert lacking("汉字汉 cat") == "汉字"


@pytest.mark.parametrize("words", ["cat", "größer", "שלום", "кот", r"$\frac$"])
def test_letters_that_the_font_has_stay(words: str) -> None:
    assert words in printable(words)
    assert not lacking(words)


def test_marks_of_direction_are_left_out() -> None:
    assert printable("שלום 0.98") == "שלום 0.98"


def test_width_grows_with_letters_and_size() -> None:
    assert width_mm("cat", 14) == pytest.approx(2 * width_mm("cat", 7))
    assert width_mm("cat", 7, is_bold=True) > width_mm("cat", 7) > width_mm("ca", 7)
    assert width_mm("n" * 10, 10) == pytest.approx(10 * 0.634 * 10 * 25.4 / 72, rel=0.03)


def test_shortened_words_fit_and_keep_their_tail() -> None:
    short = shortened("a very long class name", 7, 20, " 0.98")
    assert short.endswith("… 0.98")
    assert width_mm(short, 7) <= 20
    assert shortened("cat", 7, 20, " 0.98") == "cat 0.98"


def test_wrapped_lines_fit() -> None:
    lines = wrapped("one two three four five six seven", 7, 20, 3)
    assert 1 < len(lines) <= 3
    assert all(width_mm(line, 7) <= 20 for line in lines)


def test_lines_stand_further_apart_than_letters_are_high() -> None:
    assert line_mm(7) > 7 * 25.4 / 72


def test_svg_carries_the_letters_it_uses_and_no_others() -> None:
    faces = re.findall(r"font-weight: (\w+); src: url\(data:font/woff;base64,([^)]+)\)", with_embedded_fonts(SVG))
    letters = {}
    for weight, data in faces:
        with TTFont(io.BytesIO(base64.b64decode(data))) as face:
            letters[weight] = {chr(code) for code in face.getBestCmap()}
    assert letters == {"normal": set("a &b"), "bold": set("12")}


@pytest.mark.parametrize(
    ("attributes", "weight"),
    [
        ("style=\"font: 700 7px 'DejaVu Sans'\"", "bold"),
        ('style="font-size: 7px; font-weight: bold; fill: #000"', "bold"),
        ('style="font-weight:700" x="1"', "bold"),
        ('style="font: 7px \'DejaVu Sans\'" x="700.4"', "normal"),
        ('style="font-size: 7px" transform="translate(700 700)"', "normal"),
        ('style="font-size: 700px; fill: bold"', "normal"),
        ('x="700"', "normal"),
    ],
)
def test_words_are_bold_by_their_style_alone(attributes: str, weight: str) -> None:
    svg = with_embedded_fonts(f"<svg><defs></defs><text {attributes}>a</text></svg>")
    assert re.findall(r"font-weight: (\w+); src:", svg) == [weight]


def test_svg_without_words_stays_as_it_is() -> None:
    assert with_embedded_fonts("<svg><defs></defs></svg>") == "<svg><defs></defs></svg>"
