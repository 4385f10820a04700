"""Captions: one paragraph, exact and signed."""

import dataclasses

import pytest

from detr_attnviz import __version__
from detr_attnviz.drawing.prints.fonts import HOLE
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.figures.captions import (
    about,
    caption,
    heads_of,
    in_a_row,
    missing_letters,
    own_range,
    peak_of,
    subject,
    who,
)
from detr_attnviz.methods.explain import explain
from tests.drawing.scenes import cross, detections, encoder, photo
from tests.tiny import drawn_picture, tiny_detector


def test_sentences_become_one_paragraph_that_says_who_drew_it() -> None:
    words = caption("One", "", "Two.", "Three?  ")
    assert words == f"One. Two. Three? Figure drawn by detr_attnviz {__version__}."


def test_subject_is_picture_and_checkpoint() -> None:
    trace = tiny_detector().trace(drawn_picture())
    assert subject(trace) == "a picture, detected by tiny"
    named = dataclasses.replace(trace, source="C:\\folder/street.jpg")
    assert subject(named) == "street.jpg, detected by tiny"


@pytest.mark.parametrize(("parts", "words"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_parts_in_a_row(parts: list[str], words: str) -> None:
    assert in_a_row(parts) == words


def test_who_is_a_query_or_a_place() -> None:
    assert who(cross(2), 1) == "dog 0.98, query 3"
    assert who(encoder(), 0) == "(10, 20)"


def test_range_is_told_by_the_colors_in_use() -> None:
    assert own_range(PrintOptions()).endswith("to its largest value (darkest)")
    assert own_range(PrintOptions(cmap="viridis")).endswith("(the upper end of the colour map viridis)")


def test_peak_is_in_percent() -> None:
    shown = cross(1)
    assert peak_of(shown) == f"{100 * float(shown.maps.max()):.2g}\N{NO-BREAK SPACE}%"


def test_heads_of_the_kind_that_is_explained() -> None:
    trace = tiny_detector().trace(drawn_picture())
    assert heads_of(trace, explain(trace, queries=[0], layer="all")) == 4
    assert heads_of(trace, explain(trace, queries=[0], method="gradcam")) is None


def test_file_carries_what_the_figure_shows() -> None:
    settings = about("objects", cross(2))
    assert settings["figure"] == "objects"
    assert settings["queries"] == "0,3"
    assert settings["checkpoint"] == "detr-r50"
    assert "points" not in settings
    assert about("points", encoder())["points"] == "10,20;50,5"


def test_letters_that_the_font_lacks_are_noted() -> None:
    (note,) = missing_letters(detections(2, photo(), ("汉字", "汉 cat")))
    assert "汉字" in note
    assert HOLE in note
    assert not missing_letters(detections(2, photo(), ("cat", "größer")))
