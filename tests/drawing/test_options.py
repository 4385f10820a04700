"""Choices that do not exist are told at once, with those that do."""

import dataclasses
from typing import Any

import pytest

from detr_attnviz.drawing.options import DrawingOptions, chosen
from detr_attnviz.errors import ChoiceError


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("style", "heat", "style 'heat' does not exist: choose one of overlay, heatmap, pair, contour, points"),
        ("scale", "all", "scale 'all' does not exist: choose one of each, shared"),
        ("smooth", "cubic", "choose one of bicubic, bilinear, nearest"),
        ("contours_of", "area", "choose one of mass, peak"),
        ("cmap", "infernoo", "inferno"),
        ("alpha", 1.5, "alpha is 1.5 but must be between 0 and 1"),
        ("alpha", float("nan"), "alpha is nan"),
        ("contours", (0.5, 2.0), "contours is 2"),
        ("columns", 0, "columns is 0 but must be 1 or more"),
        ("panel_px", 3, "panel_px"),
        ("sheet_px", 1, "sheet_px"),
    ],
)
def test_wrong_option_is_named_with_what_is_valid(option: str, value: Any, words: str) -> None:
    with pytest.raises(ChoiceError) as raised:
        DrawingOptions(**{option: value})
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_all_faults_are_told_together() -> None:
    with pytest.raises(ChoiceError, match=r"style.*scale.*alpha"):
        DrawingOptions(style="x", scale="y", alpha=7)  # type: ignore[arg-type]


def test_contour_of_cells_as_they_are_is_told() -> None:
    with pytest.raises(ChoiceError, match=r"contour needs smooth bicubic or bilinear"):
        DrawingOptions(style="contour", smooth="nearest")


def test_changes_replace_single_options() -> None:
    options = chosen(DrawingOptions(cmap="viridis"), {"alpha": 0.5})
    assert (options.cmap, options.alpha, options.style) == ("viridis", 0.5, "overlay")


def test_usual_colours_depend_on_whether_there_are_values_below_zero() -> None:
    assert (DrawingOptions().colors(), DrawingOptions().colors(is_signed=True)) == ("inferno", "coolwarm")
    assert DrawingOptions(cmap="PuOr").colors() == DrawingOptions(cmap="PuOr").colors(is_signed=True) == "PuOr"


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DrawingOptions().alpha = 1  # type: ignore[misc]
