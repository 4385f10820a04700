"""The key below a figure."""

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.drawing.prints.keys import Key, Line, key_rows
from detr_attnviz.drawing.prints.marks import painted
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from tests.drawing.prints.sheets import cut_off, overlapping, words_of

KEYS = (
    Key("box of this layer", line=Line("#004bb4", 1)),
    Key("final box", line=Line("#1a1a1a", 0.5, dashes=(3, 2))),
    Key("of each layer", low="0", high="peak"),
    Key("of maps with values below 0", low="−", high="+", is_signed=True),
)


@pytest.mark.parametrize(("width", "rows"), [(175.0, 1), (85.0, 2), (45.0, 3)])
def test_entries_take_as_many_rows_as_they_need(width: float, rows: int) -> None:
    options = PrintOptions(width=width)
    key = key_rows(KEYS, options)
    assert len(key.rows) == rows
    assert sum(key.rows, ()) == KEYS
    figure = new_sheet(width, key.height_mm, options)
    key.put(sheet_axes(figure), 60.0, 0.0)
    assert not cut_off(figure)
    assert not overlapping(figure)


def test_the_key_begins_where_the_panels_do() -> None:
    options = PrintOptions(width=175.0)
    figure = new_sheet(175, 10, options)
    key_rows(KEYS[:1], options).put(sheet_axes(figure), 60.0, 0.0)
    (words,) = words_of(figure)
    assert words.left == pytest.approx(60 + 5 + 1, abs=0.3)


def test_lines_are_drawn_as_in_the_panels() -> None:
    options = PrintOptions()
    figure = new_sheet(175, 10, options)
    key_rows(KEYS, options).put(sheet_axes(figure), 0.0, 0.0)
    solid, dashed = figure.axes[0].lines
    assert (solid.get_color(), dashed.get_color()) == ("#004bb4", "#1a1a1a")
    assert not solid.is_dashed()
    assert dashed.is_dashed()
    assert len(figure.axes[0].images) == 2


def test_colours_are_those_of_the_maps() -> None:
    options = PrintOptions()
    figure = new_sheet(175, 10, options)
    key_rows(KEYS[2:3], options).put(sheet_axes(figure), 0.0, 0.0)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    highest = painted(Image.new("RGB", (1, 1), "white"), Image.new("L", (1, 1), 255), options).getpixel((0, 0))
    assert np.abs(shown[0, -1].astype(int) - highest).max() <= 4  # the ground shines through a little
    assert (shown[0, 0].astype(int) - shown[0, -1]).sum() > 200


def test_no_entries_take_no_room() -> None:
    assert key_rows([], PrintOptions()).height_mm == 0
