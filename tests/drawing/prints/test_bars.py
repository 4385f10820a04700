"""Colour bars: where they stand, and their numbers."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import Normalize

from detr_attnviz.drawing.figure import Scale
from detr_attnviz.drawing.prints.bars import Bar, bars_mm, number, put_bars
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from tests.drawing.prints.sheets import cut_off, overlapping, words_of

BARS = (
    Bar(Scale(Normalize(-0.25, 0.25), colormaps["RdBu_r"]), "weight", "≤ ", "≥ "),
    Bar(Scale(Normalize(2.7, 7.1), colormaps["YlOrRd"]), "norm"),
)


@pytest.mark.parametrize(("width", "is_beside"), [(85.0, True), (40.0, False), (30.0, False)])
def test_bars_stand_beside_each_other_where_the_sheet_is_wide(width: float, is_beside: bool) -> None:
    options = PrintOptions(width=width)
    figure = new_sheet(width, bars_mm(2, options), options)
    put_bars(sheet_axes(figure), BARS, bars_mm(2, options), options)
    assert not cut_off(figure)
    assert not overlapping(figure)
    tops = {one.text: one.top for one in words_of(figure)}
    assert list(tops) == ["≤ −0.25", "≥ 0.25", "weight", "2.7", "7.1", "norm"]
    assert bool(abs(tops["weight"] - tops["norm"]) < 0.5) is is_beside


def test_colours_run_from_the_lowest_to_the_highest() -> None:
    options = PrintOptions()
    figure = new_sheet(175, 20, options)
    put_bars(sheet_axes(figure), BARS[1:], 20, options)
    row = np.asarray(figure.axes[0].images[0].get_array())[0]
    assert row[0].tolist() == list(colormaps["YlOrRd"](0.0, bytes=True)[:3])
    assert row[-1].tolist() == list(colormaps["YlOrRd"](1.0, bytes=True)[:3])


def test_numbers_have_two_digits_and_a_minus() -> None:
    assert (number(-0.2345), number(7.07), number(0)) == ("−0.23", "7.1", "0")
