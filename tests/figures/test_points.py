"""Figure of places in the encoder, from a detector."""

import dataclasses
from typing import Any

import pytest

from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.choice import How, Inside, points_inside
from detr_attnviz.figures.points import points_figure
from tests.drawing.prints.sheets import words_of
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

LOW = PrintOptions(dpi=72)


def test_named_places_with_their_coordinates() -> None:
    found = points_figure(tiny_detector().trace(drawn_picture()), options=LOW, points=[(10, 20), (60, 30)])
    assert found.provenance["points"] == "10,20;60,30"
    assert {"(10, 20)", "(60, 30)", "1", "2"} == {one.text for one in words_of(found.figure)}
    assert "1 at (10, 20), up to" in found.caption
    assert "object's box" not in found.caption


def test_one_place_in_every_object() -> None:
    trace = tiny_detector().trace(drawn_picture())
    found = points_figure(trace, options=LOW, auto=True, queries=[3, 1])
    places = points_inside(trace, [3, 1])
    assert found.provenance["points"] == ";".join("{:g},{:g}".format(*place.point) for place in places)
    assert trace.detections[3].name in {one.text for one in words_of(found.figure)}
    assert "that which the object's query looks at most of those with their middles in its box" in found.caption


def test_caption_tells_places_that_are_found_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tiny_detector().trace(drawn_picture())
    hows: tuple[How, ...] = ("most", "next", "middle", "next", "anywhere")
    places = tuple(Inside((10.0 * number, 20.0), how) for number, how in enumerate(hows))
    monkeypatch.setattr("detr_attnviz.figures.points.points_inside", lambda *_: places)
    words = points_figure(trace, options=LOW, auto=True, queries=range(5)).caption
    assert "where another object has that cell, as for 2 and 4, it is the next" in words
    assert "where no cell's middle is in the box, as for 3, it is the cell nearest to the box's own middle" in words
    assert "where the box is not finite, as for 5, every cell counts as inside" in words


def test_caption_has_no_exceptions_where_there_are_none() -> None:
    trace = tiny_detector().trace(drawn_picture())
    whole = dataclasses.replace(trace.detections[0], box=(0.0, 0.0, 96.0, 64.0))
    trace = dataclasses.replace(trace, detections=(whole, *trace.detections[1:]))
    assert "as for" not in points_figure(trace, options=LOW, auto=True, queries=[0]).caption


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
    found = points_figure(trace, options=LOW, auto=True, threshold=0)
    assert len(found.figure.axes[0].images) == 1 + 8
    assert found.notes == ("10 objects: the best 8 are drawn, as no more maps stand around a picture",)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "no point is named"),
        ({"points": (1, 1), "auto": True}, "give one of the two"),
        ({"points": [(1, 1)] * 9}, "9 points: at most 8 maps"),
        ({"auto": True, "top_k": 0}, "top_k is 0"),
        (
            {"points": (1, 1), "label": "class 1"},
            "objects are chosen by label, and only auto=True finds places in them",
        ),
        ({"points": (1, 1), "queries": 1, "top_k": 2}, "objects are chosen by queries and top_k, and only auto=True"),
        ({"points": (1, 999)}, "lies outside the picture"),
        ({"points": (1, 1), "layer": 7}, "no layer 7"),
        ({"auto": True, "queries": range(9)}, "9 points: at most 8"),
    ],
)
def test_choice_that_does_not_exist(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        points_figure(tiny_detector().trace(drawn_picture()), options=LOW, **choice)


def test_caption_says_how_objects_were_chosen() -> None:
    trace = tiny_detector().trace(drawn_picture())
    some = points_figure(trace, options=LOW, auto=True, threshold=0).caption
    assert "The objects are the best 8 of 10 that score at least 0." in some
    one = points_figure(trace, options=LOW, auto=True, threshold=1, fallback=1).caption
    assert "The object is the best, not reaching the threshold 1. The place is the middle of a cell" in one
    assert one.startswith("One place in a picture, detected by tiny, with its map, to which a line leads.")
    assert "objects are" not in points_figure(trace, options=LOW, auto=True, queries=[1, 2]).caption


def test_words_without_room_are_noted_and_stand_in_the_caption() -> None:
    trace = tiny_detector().trace(drawn_picture())
    made = points_figure(trace, options=PrintOptions(width=40, dpi=72), points=[(10, 20)] * 8)
    assert made.notes[0].startswith("maps are too small for words under 1, 2, 3")
    assert "(10, 20)" not in {one.text for one in words_of(made.figure)}
    assert made.caption.count("at (10, 20), up to") == 8
    assert not points_figure(trace, options=LOW, points=(10, 20)).notes
