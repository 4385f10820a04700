"""What a figure is of."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from detr_attnviz.errors import ChoiceError
from detr_attnviz.figures.choice import Inside, chosen_points, chosen_queries, chosen_query, points_inside
from detr_attnviz.methods.explain import explain
from detr_attnviz.trace import Trace
from tests.tiny import drawn_picture, tiny_detector


def scored(*scores: float) -> Trace:
    trace = tiny_detector().trace(drawn_picture())
    found = list(trace.detections)
    for index, score in enumerate(scores):
        found[index] = dataclasses.replace(found[index], score=score)
    for index in range(len(scores), len(found)):
        found[index] = dataclasses.replace(found[index], score=0.01)
    return dataclasses.replace(trace, detections=tuple(found))


def test_queries_that_pass_the_threshold_best_first() -> None:
    assert chosen_queries(scored(0.8, 0.2, 0.9)).queries == (2, 0)
    assert chosen_queries(scored(0.8, 0.2, 0.9), top_k=1).queries == (2,)
    assert not chosen_queries(scored(0.8)).notes


def test_named_queries_in_their_order_each_once() -> None:
    assert chosen_queries(scored(0.8), queries=[5, 1, 5]).queries == (5, 1)
    assert chosen_queries(scored(0.8), queries=4).queries == (4,)


def test_best_ones_when_none_is_sure_with_a_note() -> None:
    choice = chosen_queries(scored(0.3, 0.4, 0.2))
    assert choice.queries == (1, 0, 2)
    assert choice.notes == ("no detection reaches 0.7: the best 3 are drawn",)
    assert chosen_query(scored(0.3, 0.4)).notes == ("no detection reaches 0.7: the best one is drawn",)


def test_none_is_the_best_where_no_score_is_a_number() -> None:
    trace = scored(*[float("nan")] * 10)
    choice, one = chosen_queries(trace), chosen_query(trace)
    assert choice.queries == (0, 1, 2)
    assert choice.notes == ("no detection has a score that is a number: 3 of them are drawn",)
    assert choice.how == "any 3, as no detection has a score that is a number"
    assert one.notes == ("no detection has a score that is a number: one of them is drawn",)
    assert one.how == "any one, as no detection has a score that is a number"


def test_one_query_is_the_best_or_the_one_named() -> None:
    assert chosen_query(scored(0.8, 0.9)).queries == (1,)
    assert chosen_query(scored(0.8, 0.9), query=7).queries == (7,)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"queries": [10]}, "no query 10: queries are 0–9"),
        ({"queries": []}, "no query is named"),
        ({"queries": [1], "label": "class 1"}, "queries are named, and threshold and label would choose others"),
        ({"queries": [1], "threshold": 0.1}, "queries are named, and threshold and label would choose others"),
        ({"label": "zebra"}, "no class 'zebra'"),
        ({"threshold": 7}, "threshold is 7"),
        ({"fallback": 0}, "no detection reaches 0.7: lower the threshold or name queries"),
    ],
)
def test_choice_that_does_not_exist(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        chosen_queries(scored(0.3), **choice)


def test_points_are_named_and_in_the_picture() -> None:
    trace = scored()
    assert chosen_points(trace, (10, 20)) == ((10, 20),)
    assert chosen_points(trace, [(10, 20), (3, 4)]) == ((10, 20), (3, 4))
    with pytest.raises(ChoiceError, match="no point is named.*auto=True"):
        chosen_points(trace, None)
    with pytest.raises(ChoiceError, match="point 96,0 lies outside the picture"):
        chosen_points(trace, (96, 0))


def boxed(trace: Trace, *boxes: tuple[float, float, float, float]) -> Trace:
    found = [dataclasses.replace(one, box=box) for one, box in zip(trace.detections, boxes, strict=False)]
    return dataclasses.replace(trace, detections=(*found, *trace.detections[len(boxes) :]))


def test_place_inside_an_object_is_where_its_query_looks_most() -> None:
    trace = boxed(scored(), (0, 0, 96, 64))
    found = explain(trace, queries=[0])
    assert points_inside(trace, [0]) == (Inside(found.grid.center_of(int(found.maps[0].argmax())), "most"),)


def test_place_inside_an_object_is_in_its_box() -> None:
    trace = boxed(scored(), (40, 0, 96, 30))
    found = explain(trace, queries=[0])
    (place,) = points_inside(trace, [0])
    x, y = place.point
    assert place.how == "most"
    assert 40 <= x <= 96
    assert 0 <= y <= 30
    inside = [
        (float(found.maps[0].ravel()[token]), found.grid.center_of(token))
        for token in range(found.grid.tokens)
        if 40 <= found.grid.center_of(token)[0] <= 96 and found.grid.center_of(token)[1] <= 30
    ]
    assert max(inside)[1] == (x, y)


def test_two_objects_in_one_box_have_places_of_their_own() -> None:
    trace = scored()
    same = dataclasses.replace(trace.detections[0], box=(0, 0, 96, 64))
    twice = dataclasses.replace(trace, detections=(same,) * len(trace.detections))
    places = points_inside(twice, [0, 0, 0])
    assert len({place.point for place in places}) == 3
    assert [place.how for place in places] == ["most", "next", "next"]


def test_box_of_one_cell_is_shared() -> None:
    middle = scored().grid.center_of(5)
    box = (middle[0] - 1, middle[1] - 1, middle[0] + 1, middle[1] + 1)
    assert points_inside(boxed(scored(), box, box), [0, 1]) == (Inside(middle, "most"),) * 2


@pytest.mark.parametrize("box", [(50.0, 30.0, 51.0, 31.0), (-40.0, -40.0, -20.0, -20.0), (200.0, 10.0, 300.0, 12.0)])
def test_box_smaller_than_a_cell_or_outside_has_a_place_too(box: tuple[float, float, float, float]) -> None:
    (place,) = points_inside(boxed(scored(), box), [0])
    x, y = place.point
    assert place.how == "middle"
    assert 0 <= x < 96
    assert 0 <= y < 64
    left, top, right, bottom = np.clip(box, 0, [95, 63, 95, 63])
    assert abs(x - (left + right) / 2) <= 16
    assert abs(y - (top + bottom) / 2) <= 16


def test_box_that_is_not_finite_has_a_place_too() -> None:
    nan = float("nan")
    (place,) = points_inside(boxed(scored(), (nan, nan, nan, nan)), [0])
    x, y = place.point
    assert place.how == "anywhere"
    assert 0 <= x < 96
    assert 0 <= y < 64


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({}, "all that score at least 0.7"),
        ({"threshold": 0.85}, "the only one that scores at least 0.85"),
        ({"top_k": 1}, "the best of 3 that score at least 0.7"),
        ({"top_k": 2}, "the best 2 of 3 that score at least 0.7"),
        ({"threshold": 1}, "the 3 best, none reaching the threshold 1"),
        ({"threshold": 1, "top_k": 1}, "the best, not reaching the threshold 1"),
        ({"queries": [1, 2]}, ""),
    ],
)
def test_how_queries_were_chosen_in_words(choice: dict[str, Any], words: str) -> None:
    assert chosen_queries(scored(0.8, 0.9, 0.75), **choice).how == words


def test_classes_are_told_where_they_choose() -> None:
    trace = scored(0.8)
    how = chosen_queries(trace, label=trace.detections[0].label).how
    assert how == f"the only one that scores at least 0.7 among {trace.detections[0].label}"


def test_best_of_too_many() -> None:
    choice = chosen_queries(scored(0.8, 0.9, 0.75))
    assert choice.best(3, "why") == choice
    cut = choice.best(2, "there is no room for more")
    assert cut.queries == (1, 0)
    assert cut.notes == ("3 objects: the best 2 are drawn, as there is no room for more",)
    assert cut.how == "the best 2 of 3 that score at least 0.7"
