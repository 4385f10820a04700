"""Text is cleaned, measured, shortened and wrapped, whatever it holds."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detr_attnviz.drawing import text
from detr_attnviz.drawing.text import ELLIPSIS, clean, font, line_height, rect_of, shorten, width_of, wrap
from tests.drawing.scenes import AWKWARD_NAMES


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_clean_name_is_one_printable_line(name: str) -> None:
    line = clean(name)
    line.encode("utf-8")
    assert "\n" not in line
    assert all(unicodedata.category(char) not in ("Cc", "Cs") for char in line)
    assert "\u202e" not in line


def test_clean_collapses_white_space_and_towers_of_marks() -> None:
    assert clean(" a \n\t b ") == "a b"
    assert clean("\x00\x1b") == ""
    assert len(clean("e" + "\u0301" * 40)) <= 3


def test_clean_is_stable() -> None:
    for name in AWKWARD_NAMES:
        assert clean(clean(name)) == clean(name)


def test_right_to_left_name_keeps_its_score_at_the_end() -> None:
    name = clean("שלום")
    assert name[0] == name[-1] == "\N{LEFT-TO-RIGHT MARK}"
    assert shorten(name * 40, font(14), 120, " 0.97").endswith("\N{LEFT-TO-RIGHT MARK} 0.97")


@given(name=st.text(max_size=60), width=st.integers(0, 400), tail=st.sampled_from(["", " 0.98"]))
def test_shortened_text_is_never_wider_than_asked(name: str, width: int, tail: str) -> None:
    short = shorten(clean(name), font(14), width, tail)
    assert width_of(short, font(14)) <= width


def test_short_text_stays_as_it_is() -> None:
    assert shorten("cat", font(14), 200, " 0.98") == "cat 0.98"


def test_long_text_keeps_its_tail() -> None:
    short = shorten("a very long class name indeed", font(14), 120, " 0.98")
    assert short.startswith("a very")
    assert short.endswith(ELLIPSIS + " 0.98")


@given(words=st.lists(st.text("abcdefgh", min_size=1, max_size=30), max_size=12), width=st.integers(30, 300))
def test_wrapped_lines_fit_and_are_not_too_many(words: list[str], width: int) -> None:
    lines = wrap(" ".join(words), font(13), width, 3)
    assert len(lines) <= 3
    assert all(width_of(line, font(13)) <= width for line in lines)


def test_wrap_breaks_at_spaces_and_shortens_the_rest() -> None:
    face = font(13)
    assert wrap("one two three", face, width_of("one two", face), 3) == ["one two", "three"]
    assert wrap("one two three four", face, width_of("one two", face), 2)[1].endswith(ELLIPSIS)


def test_rect_lies_within_width_and_line_height() -> None:
    face = font(20)
    left, top, right, bottom = rect_of("Ágjpq", face, 10, 50)
    assert left >= 9
    assert right <= 10 + width_of("Ágjpq", face)
    assert bottom - top <= line_height(face)


def test_font_is_found_without_importing_matplotlib() -> None:
    code = (
        "import sys; from detr_attnviz.drawing.text import font;"
        "print(font(12).getname()[0], 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "DejaVu Sans False"


def test_pillows_font_stands_in_where_dejavu_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_font_file", lambda name: None)
    face = text.font.__wrapped__(17)
    assert width_of("cat", face) > 10
