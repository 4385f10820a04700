"""Figure of places in the encoder, from a detector."""

from typing import Any

import pytest

from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.choice import points_inside
from detr_attnviz.figures.points import points_figure
from tests.drawing.prints.sheets import words_of
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

LOW = PrintOptions(dpi=72)


def test_named_places_with_their_coordinates() -> None:
    found = points_figure(tiny_detector().trace(drawn_picture()), options=LOW, points=[(10, 20), (60, 30)])
    assert found.provenance["points"] == "10,20;60,30"
    assert {"(10, 20)", "(60, 30)", "1", "2"} == {one.text for one in words_of(found.figure)}
    assert "1 at (10, 20) up to" in found.caption
    assert "object's box" not in found.caption


def test_one_place_in_every_object() -> None:
    trace = tiny_detector().trace(drawn_picture())
    found = points_figure(trace, options=LOW, auto=True, queries=[3, 1])
    places = points_inside(trace, [3, 1])
    assert found.provenance["points"] == ";".join(f"{x:g},{y:g}" for x, y in places)
    assert trace.detections[3].name in {one.text for one in words_of(found.figure)}
    assert "the cell in an object's box that the object's query looks at most" in found.caption


def test_direction_changes_map_and_words() -> None:
    trace = tiny_detector().trace(drawn_picture())
    found = points_figure(trace, options=LOW, points=(10, 20), direction="to")
    assert "to one cell" in found.caption
    assert found.provenance["direction"] == "to"


def test_encoder_of_several_levels() -> None:
    found = points_figure(sampling_detector().trace(drawn_picture()), options=LOW, points=(10, 20), point_level=1)
    assert "Deformable encoder self-attention" in found.caption


def test_at_most_eight_objects_are_given_places() -> None:
    trace = tiny_detector().trace(drawn_picture())
    found = points_figure(trace, options=LOW, auto=True, threshold=0, top_k=None)
    assert len(found.figure.axes[0].images) == 1 + 8
    assert found.notes == ("10 objects: the best 8 are drawn, as no more maps stand around a picture",)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "no point is named"),
        ({"points": (1, 1), "auto": True}, "give one of the two"),
        ({"points": [(1, 1)] * 9}, "9 points: at most 8 maps"),
        ({"auto": True, "top_k": 0}, "top_k is 0"),
        ({"points": (1, 999)}, "lies outside the picture"),
        ({"points": (1, 1), "layer": 7}, "no layer 7"),
        ({"auto": True, "queries": range(9)}, "9 points: at most 8"),
    ],
)
def test_choice_that_does_not_exist(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        points_figure(tiny_detector().trace(drawn_picture()), options=LOW, **choice)
