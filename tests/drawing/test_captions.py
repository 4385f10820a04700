"""The words of a picture say what is drawn, and are honest about cells without a number."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detr_attnviz.drawing.captions import amount, caption, has_sign, maps_per_query, others, strongest, unit
from detr_attnviz.explanation import Samples
from tests.drawing.scenes import cross, decoder_self, encoder, sampled, sampled_encoder, terms, weights


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def range_of(values: NDArray[np.float32]) -> str:
    return plain(caption(cross(maps=values[None]), 0).notes[-1])


def test_caption_of_an_object_names_it_its_query_and_its_box() -> None:
    explanation = cross(2)
    words = caption(explanation, 1)
    left, top, right, bottom = explanation.detections[1].box
    assert (words.title, words.tail) == ("dog", " 0.98")
    assert plain(words.notes[0]) == f"query 3 · box x {left:.0f}–{right:.0f}, y {top:.0f}–{bottom:.0f}"


def test_box_beyond_the_picture_has_a_real_minus_and_no_minus_zero() -> None:
    explanation = cross(1)
    beyond = dataclasses.replace(explanation.detections[0], box=(-0.4, -3.2, 501.0, 82.4))
    words = caption(dataclasses.replace(explanation, detections=(beyond,)), 0)
    assert plain(words.notes[0]) == "query 0 · box x 0–501, y −3–82"


@pytest.mark.parametrize(("score", "words"), [(0.0, " <0.01"), (0.0049, " <0.01"), (0.005, " 0.01"), (0.6, " 0.60")])
def test_score_is_never_a_false_zero(score: float, words: str) -> None:
    explanation = cross(1)
    weak = dataclasses.replace(explanation.detections[0], score=score)
    assert caption(dataclasses.replace(explanation, detections=(weak,)), 0).tail == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0752, "7.5 %"),
        (0.07, "7.0 %"),
        (0.442, "44 %"),
        (0.998, "100 %"),
        (1.0, "100 %"),
        (0.00777, "0.78 %"),
        (0.0996, "10 %"),
        (0.0, "0 %"),
        (3e-9, "3.0e-07 %"),
    ],
)
def test_amounts_have_two_digits(share: float, words: str) -> None:
    assert plain(amount(cross(1), share)) == words


def test_range_is_said_with_its_unit() -> None:
    values = np.full((3, 4), 0.01, dtype=np.float32)
    values[1, 1] = 0.031
    assert range_of(values) == "peak 3.1 % of its attention in one cell"


@pytest.mark.parametrize(
    ("value", "cells", "words"),
    [
        (np.nan, 1, "1 cell is NaN (hatched)"),
        (np.nan, 12, "12 cells are NaN (hatched)"),
        (np.inf, 2, "2 cells are NaN or infinite (hatched)"),
        (-0.5, 3, "3 cells below zero, drawn as 0"),
    ],
)
def test_cells_that_are_not_drawn_are_counted(value: float, cells: int, words: str) -> None:
    values = weights(1, 3, 4)[0]
    values.ravel()[:cells] = value
    assert words in range_of(values)


def test_zero_and_constant_maps_are_said() -> None:
    assert range_of(np.zeros((3, 4), dtype=np.float32)) == "the map is zero everywhere"
    assert range_of(np.full((3, 4), -1, dtype=np.float32)).startswith("nothing is above zero")
    assert (
        range_of(np.full((3, 4), 0.25, dtype=np.float32)) == "the same everywhere: 25 % of its attention in each cell"
    )


def test_encoder_says_who_looks_at_whom() -> None:
    assert caption(encoder("from"), 0).title == "what (10, 20) attends to"
    assert caption(encoder("to"), 1).title == "who attends to (50, 5)"
    assert unit(encoder("to")) == "of one cell's attention"


def test_decoder_self_says_whom_the_query_attends_to_strongest_first() -> None:
    explanation = decoder_self(1, 4)
    explanation = dataclasses.replace(explanation, maps=np.array([[0.1, 0.6, 0.0, 0.3]], dtype=np.float32))
    said = plain(caption(explanation, 0).notes[1])
    assert said == "attends to itself 10 %, query 3 (dog 0.98) 60 %, query 9 (dog 0.97) 30 %"
    assert strongest(explanation.maps[0]) == [1, 3, 0]
    assert strongest(others(explanation, 0)) == [1, 3]


def test_relevance_is_a_plain_number() -> None:
    explanation = cross(method="relevance")
    assert amount(explanation, 0.01234) == "0.012"
    assert unit(explanation) == "relevance in one cell"
    assert plain(caption(explanation, 0).notes[-1]) == f"peak {explanation.maps[0].max():.2f} relevance in one cell"


def test_whether_values_are_attention_is_read_off_the_quantity_not_the_method() -> None:
    explanation = dataclasses.replace(cross(method="somebodys"), quantity="attention")
    assert plain(amount(explanation, 0.031)) == "3.1 %"
    assert unit(explanation) == "of its attention in one cell"


def test_what_is_written_has_words_of_its_own() -> None:
    lengths: dict[str, Any] = {"method": "value-norm", "quantity": "length of what is written"}
    assert unit(dataclasses.replace(cross(), **lengths)) == "length written by one cell"
    assert unit(dataclasses.replace(encoder("to"), **lengths)) == "length written into one cell"
    assert caption(dataclasses.replace(encoder("from"), **lengths), 0).title == "what is written to (10, 20)"
    assert caption(dataclasses.replace(encoder("to"), **lengths), 0).title == "what (10, 20) writes"
    said = caption(dataclasses.replace(decoder_self(1), **lengths), 0).notes[1]
    assert said.startswith("takes from itself")
    assert "%" not in said


def test_terms_are_named_with_their_shares_under_the_name_of_their_query() -> None:
    explanation = terms(2)
    words = [caption(explanation, index) for index in range(8)]
    assert plain(words[0].title + words[0].tail) == "content · content 62 %"
    assert plain(words[7].title + words[7].tail) == "position · position −2 %"
    assert plain(words[4].above).startswith("dog 0.98 · query 3 · box x ")
    assert [bool(one.above) for one in words] == [True, False, False, False] * 2
    assert maps_per_query(explanation) == 4


def test_terms_of_a_point_stand_under_the_point() -> None:
    explanation = dataclasses.replace(terms(1), kind="encoder", detections=(), points=((10.0, 20.0),) * 4)
    assert caption(explanation, 0).above == "what (10, 20) attends to"


def test_share_that_is_no_number_is_left_out() -> None:
    assert caption(dataclasses.replace(terms(1), shares=(float("nan"),) * 4), 1).tail == ""
    assert caption(dataclasses.replace(terms(1), shares=()), 1).tail == ""


def test_values_below_zero_are_part_of_a_signed_maps_range() -> None:
    maps = np.zeros((4, 3, 4), dtype=np.float32)
    maps[0, 0, :2] = (-0.83, 1.2)
    maps[1] = -3.25
    maps[2, 0, 0] = np.nan
    notes = [plain(caption(terms(1, maps=maps), index).notes[0]) for index in range(4)]
    assert notes == [
        "−0.83 to 1.2 logit in one cell",
        "the same everywhere: −3.2 logit in each cell",
        "the map is zero everywhere, 1 cell is NaN (hatched)",
        "the map is zero everywhere",
    ]


def test_decoder_self_attention_has_no_sign_to_draw() -> None:
    maps = np.array([[0.5, -0.1, 0.2, 0.1]], dtype=np.float32)
    explanation = dataclasses.replace(decoder_self(1, 4), maps=maps, is_signed=True)
    assert not has_sign(explanation)
    assert "1 query below zero, drawn as 0" in caption(explanation, 0).notes[-1]


def test_object_without_a_name_is_named_by_its_label() -> None:
    assert caption(cross(1, names=("\x00 ",)), 0).title == "class 0"


def points_notes(weights: tuple[float, ...], places: list[tuple[float, float]], level: int | None = None) -> list[str]:
    """Notes of style points for points on levels 0, 0 and 1 of a picture of 64 × 48."""
    found = Samples(
        np.array([places], dtype=np.float32),
        np.array([weights], dtype=np.float32),
        (0, 0, 1),
        (8, 16),
        np.zeros((1, 2), dtype=np.float32),
    )
    explanation = dataclasses.replace(cross(1), samples=found, level=level)
    return [plain(note) for note in caption(explanation, 0, "points").notes[1:]]


def test_points_say_the_heaviest_what_is_outside_and_the_levels() -> None:
    inside, outside = (10.0, 10.0), (70.0, 10.0)
    assert points_notes((0.5, 0.2, 0.3), [inside, inside, outside]) == [
        "heaviest point 50 % of its attention, 30 % at points outside the picture",
        "level 0 70 %, level 1 30 %",
    ]
    assert points_notes((0.5, 0.2, 0.3), [inside] * 3)[0] == "heaviest point 50 % of its attention"
    assert points_notes((0.5, 0.2, 0.3), [outside] * 3)[0].startswith("no point is in the picture, 100 % at points out")


def test_points_of_one_level_say_what_it_has() -> None:
    assert points_notes((0.5, 0.2, 0.3), [(1.0, 1.0)] * 3, level=1) == [
        "heaviest point 30 % of its attention",
        "level 1 has 30 % of its attention",
    ]


def test_points_without_a_number_are_counted() -> None:
    lost = points_notes((float("nan"), 0.2, 0.3), [(1.0, 1.0)] * 3)
    assert lost[0] == "heaviest point 30 % of its attention, 1 point is NaN or infinite, not drawn"


def test_maps_say_what_is_not_on_them_and_where_it_is() -> None:
    explanation = dataclasses.replace(cross(2), rest=(0.031, 0.0), rest_where="on other tokens")
    assert plain(caption(explanation, 0).notes[-1]).endswith("of its attention in one cell, 3.1 % on other tokens")
    assert plain(caption(explanation, 1).notes[-1]).endswith("of its attention in one cell")
    nothing = dataclasses.replace(cross(1), maps=np.zeros((1, 3, 4), dtype=np.float32), rest=(1.0,), rest_where="away")
    assert plain(caption(nothing, 0).notes[-1]) == "the map is zero everywhere, 100 % away"


@pytest.mark.parametrize("rest", [1e-9, float("nan"), -1e-8])
def test_rounding_is_not_said_to_be_outside(rest: float) -> None:
    explanation = dataclasses.replace(cross(1), rest=(rest,), rest_where="outside the picture")
    assert "outside" not in caption(explanation, 0).notes[-1]


@pytest.mark.parametrize("style", ["overlay", "heatmap", "pair", "contour"])
def test_maps_of_one_level_say_what_it_has(style: str) -> None:
    explanation = dataclasses.replace(sampled(1), level=1)
    assert explanation.samples is not None
    share = float(explanation.samples.weights[0][np.array(explanation.samples.levels) == 1].sum())
    assert plain(caption(explanation, 0, style).notes[-1]) == (
        f"level 1 has {plain(amount(explanation, share))} of its attention"
    )
    assert "level" not in " ".join(caption(sampled(1), 0, style).notes)


def test_points_that_a_place_reads_are_its_own() -> None:
    words = caption(sampled_encoder(), 0, "points")
    assert words.title == "what (60, 70) attends to"
    assert words.notes[0].startswith("heaviest point")


def test_a_score_and_a_box_that_are_no_numbers_are_said() -> None:
    explanation = cross(1)
    unknown = dataclasses.replace(explanation.detections[0], score=float("nan"), box=(float("nan"), 0, float("inf"), 1))
    words = caption(dataclasses.replace(explanation, detections=(unknown,)), 0)
    assert words.tail == " NaN"
    assert "box x NaN–infinite, y 0–1" in plain(words.notes[0])


def test_of_shares_that_are_no_numbers_nobody_knows_who_is_attended_to() -> None:
    explanation = decoder_self()
    broken = dataclasses.replace(explanation, maps=np.full_like(explanation.maps, np.nan))
    notes = " ".join(caption(broken, 0).notes)
    assert "nobody" not in notes
    assert f"{explanation.maps.shape[1]} queries are NaN" in notes
