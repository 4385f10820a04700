"""Captions: one paragraph, exact and signed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import detr_attnviz as av
from detr_attnviz import __version__
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.figures.captions import (
    about,
    caption,
    checkpoint_in_words,
    heads_of,
    in_a_row,
    own_range,
    owner_of_layers,
    peak_of,
    subject,
    what_is_drawn,
    who,
)
from detr_attnviz.methods.explain import explain
from tests.drawing.scenes import cross, encoder
from tests.hf.saved import save_folder
from tests.tiny import drawn_picture, tiny_detector


def test_sentences_become_one_paragraph_that_says_who_drew_it() -> None:
    words = caption("One", "", "Two.", "Three?  ")
    assert words == f"One. Two. Three? Figure drawn by detr_attnviz {__version__}."


def test_subject_is_picture_and_checkpoint() -> None:
    trace = tiny_detector().trace(drawn_picture())
    assert subject(trace) == "a picture, detected by tiny"
    named = dataclasses.replace(trace, source="C:\\folder/street.jpg")
    assert subject(named) == "street.jpg, detected by tiny"


def test_names_in_a_caption_are_one_line_that_encodes() -> None:
    trace = dataclasses.replace(tiny_detector().trace(drawn_picture()), source="folder/a\nb\udcff\x1b.png")
    assert subject(trace) == "a b.png, detected by tiny"
    assert subject(dataclasses.replace(trace, source="\udcff")).startswith("a picture, ")
    assert checkpoint_in_words("my\nmodel \udcff 2.pth", "e632da11" * 8) == "my model 2.pth (sha256 e632da11)"
    assert checkpoint_in_words("\udcff", "") == "a checkpoint"


def test_file_carries_names_that_encode() -> None:
    named = dataclasses.replace(cross(1), provenance={"picture": "a\nb\udcff.png"})
    assert about("objects", named)["picture"] == "a b.png"


def test_layers_and_heads_may_be_said_otherwise() -> None:
    trace = tiny_detector().trace(drawn_picture())
    found = explain(trace, queries=[0], head="max")
    assert "query, layer 1, largest of 4 heads, cell by cell: softmax" in what_is_drawn(found, 4)
    assert "query, layer by layer, largest of 4 heads, cell by cell: softmax" in what_is_drawn(
        found, 4, layer="layer by layer"
    )
    assert "query, layer 1, head as numbered: softmax" in what_is_drawn(found, 4, head="head as numbered")


def test_layers_belong_to_the_decoder_unless_cells_and_queries_attend_jointly(tmp_path: Path) -> None:
    assert owner_of_layers(tiny_detector().trace(drawn_picture())) == "decoder"
    assert owner_of_layers(av.load(save_folder("yolos", tmp_path)).trace(drawn_picture(192, 160))) == "model"


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


@pytest.mark.parametrize(
    ("values", "words"),
    [((0, 0), "zero everywhere"), ((0, np.nan), "zero everywhere"), ((np.nan, np.nan), "not a number")],
)
def test_peak_of_a_map_with_nothing_in_it(values: tuple[float, float], words: str) -> None:
    assert peak_of(cross(1, maps=np.array([[values]], dtype=np.float32))).startswith(words)


def test_small_peaks_have_short_exponents() -> None:
    faint = cross(1, maps=np.array([[[0, 1.5e-6]]], dtype=np.float32), method="gradcam")
    assert peak_of(faint) == "1.5e-6"


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
