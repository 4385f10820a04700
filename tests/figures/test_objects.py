"""Figure of all objects, from a detector."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.drawing.captions import name_of
from detr_attnviz.drawing.prints.paper import PrintOptions
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation
from detr_attnviz.figures.objects import objects_figure
from detr_attnviz.trace import Trace
from tests.drawing.prints.sheets import words_of
from tests.drawing.scenes import cross
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

LOW = PrintOptions(dpi=72)


def trace_of(queries: int = 10) -> Trace:
    return dataclasses.replace(tiny_detector(queries=queries).trace(drawn_picture()), source="folder/street.jpg")


def test_named_queries_in_their_order() -> None:
    found = objects_figure(trace_of(), options=LOW, queries=[4, 2])
    assert found.kind == "objects"
    assert found.provenance["queries"] == "4,2"
    assert sum(one.text.startswith(("1", "2")) for one in words_of(found.figure)) == 4
    assert not found.notes


def test_caption_says_what_is_drawn() -> None:
    trace = trace_of()
    words = objects_figure(trace, options=LOW, queries=[4, 2], layer=0, head=3).caption
    assert words.startswith("2 objects in street.jpg, detected by tiny")
    assert "Decoder cross-attention of an object query, layer 0, head 3 alone: softmax(q kᵀ / √d)" in words
    assert f"own largest value: 1 {name_of(trace.detections[4])} " in words
    assert "\n" not in words


def test_caption_of_one_object_speaks_of_no_overlap() -> None:
    words = objects_figure(trace_of(), options=LOW, queries=3).caption
    assert words.startswith("One object in street.jpg, detected by tiny, with the map of its query. ")
    assert "Every" not in words
    assert "overlap" not in words


def test_none_that_is_sure_is_noted() -> None:
    found = objects_figure(trace_of(), options=LOW, threshold=1.0)
    assert found.notes == ("no detection reaches 1: the best 3 are drawn",)


def test_best_twelve_of_many_unless_named() -> None:
    trace = trace_of(queries=15)
    best = objects_figure(trace, options=LOW, threshold=0)
    assert best.notes == ("15 objects: the best 12 are drawn, as more colours cannot be told apart",)
    assert len(best.provenance["queries"].split(",")) == 12
    named = objects_figure(trace, options=LOW, queries=range(15))
    assert not named.notes
    assert len(named.provenance["queries"].split(",")) == 15


@pytest.mark.parametrize("method", ["relevance", "value-norm", "rollout", "gradcam"])
def test_other_methods_are_drawn_and_defined(method: str) -> None:
    found = objects_figure(trace_of(), options=LOW, queries=[1, 2], method=method)
    assert found.provenance["method"] == method
    assert "softmax" not in found.caption


def test_method_with_a_sign_has_no_place_here() -> None:
    with pytest.raises(ChoiceError, match="one colour an object, and decompose has values below zero: choose raw"):
        objects_figure(trace_of(), options=LOW, method="decompose")


def test_method_that_does_not_exist() -> None:
    with pytest.raises(ChoiceError, match="no method 'rwa'|method 'rwa'"):
        objects_figure(trace_of(), options=LOW, method="rwa")


def test_sampled_attention() -> None:
    found = objects_figure(sampling_detector().trace(drawn_picture()), options=LOW, queries=[0, 1])
    assert "Deformable cross-attention" in found.caption


def test_same_trace_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one.pdf", "two.pdf"):
        objects_figure(trace_of(), options=LOW, queries=[1, 2]).save(tmp_path / name)
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()


def test_maps_without_anything_in_them_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*args: object, **choice: object) -> Explanation:
        shown = cross(3)
        maps = shown.maps.copy()
        maps[1], maps[2] = 0, 1.5e-8 * maps[2] / maps[2].max()
        return dataclasses.replace(shown, maps=maps)

    monkeypatch.setattr("detr_attnviz.figures.objects.explain", found)
    made = objects_figure(trace_of(), options=LOW, queries=[1, 2, 3])
    assert made.notes == ("nothing is above zero in the map of 2",)
    assert "2 dog zero everywhere, 3 cat 1.5e-6\N{NO-BREAK SPACE}%." in made.caption
    words = [one.text for one in words_of(made.figure)]
    assert "zero everywhere" in words
    assert "peak 1.5e-6\N{NO-BREAK SPACE}%" in words


@pytest.mark.parametrize(
    ("count", "whose", "where"),
    [(1, "the map of 1", "hatched. "), (3, "the maps of 1 and 3", "hatched, whatever the other maps hold there. ")],
)
def test_maps_that_hold_no_number_are_hatched_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch, count: int, whose: str, where: str
) -> None:
    def found(*args: object, **choice: object) -> Explanation:
        shown = cross(count)
        maps = shown.maps.copy()
        maps[0, 0, 0], maps[-1] = float("inf"), float("nan")
        return dataclasses.replace(shown, maps=maps)

    monkeypatch.setattr("detr_attnviz.figures.objects.explain", found)
    made = objects_figure(trace_of(), options=LOW, queries=list(range(count)))
    assert made.notes == (f"NaN or infinite values, which are hatched, are in {whose}",)
    assert f"Cells that hold no number (NaN or infinite) are {where}" in made.caption
    assert "not a number anywhere" in [one.text for one in words_of(made.figure)]


def test_peaks_stay_out_of_the_legend_where_all_are_alike() -> None:
    made = objects_figure(trace_of(), options=LOW, queries=[1, 2, 3])
    assert not [one.text for one in words_of(made.figure) if one.text.startswith("peak")]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"threshold": 1}, "3 objects (the 3 best, none reaching the threshold 1) in "),
        ({"threshold": 1, "fallback": 1}, "One object (the best, not reaching the threshold 1) in "),
        ({"threshold": 0}, "12 objects (the best 12 of 15 that score at least 0) in "),
        ({"threshold": 0, "top_k": 1}, "One object (the best of 15 that score at least 0) in "),
        ({"queries": [3, 4]}, "2 objects in "),
    ],
)
def test_caption_says_how_objects_were_chosen(choice: dict[str, Any], words: str) -> None:
    assert objects_figure(trace_of(15), options=LOW, **choice).caption.startswith(words)


def test_name_that_is_cut_stands_in_full_in_the_caption() -> None:
    trace = trace_of()
    long = "a name that goes on " * 12
    trace = dataclasses.replace(trace, detections=(dataclasses.replace(trace.detections[0], name=long),))
    made = objects_figure(trace, options=LOW, queries=0)
    assert long.strip() in made.caption
    assert long.strip() not in " ".join(one.text for one in words_of(made.figure))
