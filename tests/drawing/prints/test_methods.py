"""One query by several methods: panels, their ranges, terms in a row of their own, and signs."""

import dataclasses

import numpy as np
import pytest

from detr_attnviz.drawing.prints.methods import draw_methods, value_range
from detr_attnviz.drawing.prints.paper import PrintOptions, size_mm
from detr_attnviz.explanation import Explanation
from tests.drawing.prints.sheets import cut_off, overlapping, words_of
from tests.drawing.scenes import cross, photo, terms, weights

QUANTITIES = {"rollout": "rollout", "gradcam": "feature × gradient", "value-norm": "length of what is written"}


def every(size: tuple[int, int] = (64, 48)) -> list[Explanation]:
    image = photo(*size)
    raw = cross(1, image)
    others = [dataclasses.replace(raw, method=method, quantity=quantity) for method, quantity in QUANTITIES.items()]
    return [raw, *others, terms(1, image)]


@pytest.mark.parametrize(
    ("width", "size", "font_pt"),
    [
        ("column", (64, 48), 7),
        ("page", (48, 64), 7),
        ("page", (64, 8), 10),
        ("column", (8, 64), 5),
        (60, (64, 48), 7),
        (400, (64, 48), 14),
    ],
)
def test_words_are_within_the_sheet_and_off_each_other(width: object, size: tuple[int, int], font_pt: float) -> None:
    options = PrintOptions(width=width, dpi=72, font_pt=font_pt)  # type: ignore[arg-type]
    figure = draw_methods(every(size), options)
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert size_mm(figure)[0] == pytest.approx(options.width_mm)
    assert size_mm(figure)[1] <= options.tallest_mm + 1e-6


def test_terms_stand_in_a_row_of_their_own_under_the_methods_name() -> None:
    found = words_of(draw_methods(every(), PrintOptions(dpi=72)))
    tops = {one.text: one.top for one in found}
    assert tops["raw"] == pytest.approx(tops["gradcam"], abs=0.5)
    assert tops["raw"] < tops["decompose: the logit's terms"] < tops["content · content"]
    row = [one for one in found if one.text in ("content · position", "position · content", "position · position")]
    assert all(one.top == pytest.approx(tops["content · content"], abs=0.5) for one in row)
    assert len([one for one in found if one.text.startswith("share ")]) == 4


def test_shares_are_whole_percents() -> None:
    named = dataclasses.replace(terms(1), shares=(1.04, -0.001, -0.034, float("nan")))
    words = [one.text for one in words_of(draw_methods([named], PrintOptions(dpi=72)))]
    found = [word.replace("\N{NO-BREAK SPACE}", " ") for word in words if word.startswith("share")]
    assert found == ["share 104 %", "share 0 %", "share −3 %", "share unknown"]


def test_every_value_is_said_to_be_an_amount_of_something() -> None:
    words = [one.text for one in words_of(draw_methods(every(), PrintOptions(dpi=72)))]
    assert "feature × gradient" in words
    assert "length of what is written" in words
    assert "attention multiplied" in words
    assert words.count("rollout") == 1


def test_ranges_in_words() -> None:
    attention = cross(1, maps=np.array([[[0.0, 0.25]]], dtype=np.float32))
    assert value_range(attention, 0) == "peak 25\N{NO-BREAK SPACE}% of attention"
    other = dataclasses.replace(attention, quantity="rollout")
    assert value_range(other, 0) == "peak 0.25"
    signed = dataclasses.replace(other, is_signed=True, maps=np.array([[[-2.0, np.nan, 1.5]]], dtype=np.float32))
    assert value_range(signed, 0) == "−2.0 to 1.5"
    assert value_range(dataclasses.replace(other, maps=np.zeros((1, 1, 2), np.float32)), 0) == "zero everywhere"
    nothing = np.full((1, 1, 2), np.nan, np.float32)
    assert value_range(dataclasses.replace(other, maps=nothing), 0) == "not a number anywhere"


def signs(maps: np.ndarray) -> int:
    """How many strokes are drawn on the four maps besides their casings."""
    figure = draw_methods([terms(1, maps=maps)], PrintOptions(dpi=72))
    return len([line for line in figure.axes[0].lines if line.get_color() != "white"])


def test_highest_and_lowest_of_signed_maps_have_signs_for_grey_print() -> None:
    above = weights(4, 3, 4)
    assert signs(above) == 4 * 3  # a plus is two strokes, the first again above the second's casing
    assert signs(-above) == 4
    assert signs(np.zeros_like(above)) == 0
