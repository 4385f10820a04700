"""Figure of all layers and heads, from a detector."""

from typing import Any

import pytest

from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.grid import grid_figure
from detr_attnviz.methods.catalogue import Layers
from tests.drawing.prints.sheets import words_of
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

LOW = PrintOptions(dpi=72)


def test_all_layers_and_heads_of_the_best_detection() -> None:
    trace = tiny_detector().trace(drawn_picture())
    found = grid_figure(trace, options=LOW)
    assert len(found.figure.axes[0].images) == 2 * 5
    best = max(trace.detections, key=lambda one: one.score)
    assert found.provenance["queries"] == str(best.index)
    assert found.provenance["site"] == "decoder.all.cross"


def test_caption_says_what_rows_and_columns_are() -> None:
    words = grid_figure(tiny_detector().trace(drawn_picture()), options=LOW, query=3).caption
    assert "query 3, in a picture, detected by tiny" in words
    assert "layer as numbered at the left, head as numbered above: softmax" in words
    assert "the last column is the mean of the 4 heads" in words
    assert "{" not in words


def test_one_layer() -> None:
    found = grid_figure(tiny_detector().trace(drawn_picture()), options=LOW, query=3, layer=-1)
    assert len(found.figure.axes[0].images) == 5
    assert found.provenance["site"] == "decoder.1.cross"


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("all", "All layers and heads of "),
        ([2, 0, 1], "All layers and heads of "),
        (-1, "All heads of layer 2 of "),
        ([2, 0], "All heads of layers 0 and 2 of "),
    ],
)
def test_caption_says_which_layers_there_are(layer: Layers, words: str) -> None:
    trace = tiny_detector(decoder_layers=3).trace(drawn_picture())
    assert grid_figure(trace, options=LOW, query=3, layer=layer).caption.startswith(words)


def test_one_head_has_no_mean() -> None:
    found = grid_figure(tiny_detector(heads=1).trace(drawn_picture()), options=LOW, query=3)
    assert "mean" not in {one.text for one in words_of(found.figure)}
    assert "mean" not in found.caption


def test_place_in_the_encoder() -> None:
    found = grid_figure(tiny_detector().trace(drawn_picture()), options=LOW, point=(10, 20), direction="to")
    assert found.provenance["points"] == "10,20"
    assert "Encoder self-attention to one cell" in found.caption
    assert "a dot at the place" in found.caption


@pytest.mark.parametrize("choice", [{"query": 2}, {"point": (10, 20), "point_level": 1}])
def test_sampled_attention(choice: dict[str, Any]) -> None:
    found = grid_figure(sampling_detector().trace(drawn_picture()), options=LOW, **choice)
    assert "Deformable" in found.caption


def test_peaks_without_room_are_noted_and_their_range_is_in_the_caption() -> None:
    options = PrintOptions(width=30, dpi=72)
    found = grid_figure(tiny_detector(heads=16).trace(drawn_picture()), options=options, query=3)
    assert "a wider figure" in found.notes[0]
    assert "at least and" in found.caption


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"query": 1, "point": (1, 1)}, "a grid is of one of the two"),
        ({"query": 99}, "no query 99"),
        ({"layer": 9}, "no layer 9"),
        ({"point": (999, 1)}, "lies outside the picture"),
        ({"point": (1, 1), "label": "class 1"}, "threshold and label choose a query, and a point is named"),
        ({"point": (1, 1), "threshold": 0.5}, "threshold and label choose a query, and a point is named"),
        ({"direction": "to"}, "direction and point_level belong to a place, and no point is named"),
        ({"query": 1, "point_level": 1}, "direction and point_level belong to a place, and no point is named"),
    ],
)
def test_choice_that_does_not_exist(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        grid_figure(tiny_detector().trace(drawn_picture()), options=LOW, **choice)
