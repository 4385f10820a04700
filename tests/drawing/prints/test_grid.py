"""Layers × heads as a table of maps."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.prints.grid import MEAN, draw_grid, table
from detr_attnviz.drawing.prints.paper import SMALLEST_PT, TALLEST_MM, PrintOptions, size_mm
from detr_attnviz.explanation import Explanation
from tests.drawing.prints.sheets import cut_off, overlapping, words_of
from tests.drawing.scenes import cross, encoder, photo, weights


def rows_of(layers: int, heads: int, image: Image.Image | None = None) -> list[list[Explanation]]:
    image = image or photo(80, 60)
    return [
        [
            dataclasses.replace(cross(1, image, maps=weights(1, 3, 4, seed=1 + 50 * layer + head)), layers=(layer,))
            for head in range(heads + (heads > 1))
        ]
        for layer in range(layers)
    ]


def names_of(heads: int) -> list[str]:
    return [*map(str, range(heads)), *([MEAN] if heads > 1 else [])]


def drawn(layers: int, heads: int, options: PrintOptions, image: Image.Image | None = None) -> Figure:
    return draw_grid(rows_of(layers, heads, image), names_of(heads), options)


@pytest.mark.parametrize("width", ["column", "page", 40])
@pytest.mark.parametrize(("layers", "heads"), [(6, 8), (1, 1), (12, 16), (1, 8), (6, 1)])
@pytest.mark.parametrize("size", [(60, 90), (90, 20)])
def test_words_are_within_the_sheet_and_off_each_other(
    size: tuple[int, int], layers: int, heads: int, width: object
) -> None:
    options = PrintOptions(width=width, dpi=72)  # type: ignore[arg-type]
    figure = drawn(layers, heads, options, photo(*size))
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert size_mm(figure)[0] == pytest.approx(options.width_mm)
    assert size_mm(figure)[1] <= TALLEST_MM + 1


def test_every_head_and_layer_is_named_once() -> None:
    words = [one.text for one in words_of(drawn(3, 2, PrintOptions(dpi=72)))]
    assert [word for word in words if "%" not in word] == ["0", "1", "mean", "head", "0", "1", "2", "layer"]


def test_every_map_has_its_peak_in_small_print() -> None:
    options = PrintOptions(dpi=72)
    rows = rows_of(2, 2)
    peaks = [one for one in words_of(draw_grid(rows, names_of(2), options)) if "%" in one.text]
    wanted = [f"{100 * float(one.maps.max()):.2g}\N{NO-BREAK SPACE}%" for row in rows for one in row]
    assert [one.text for one in peaks] == wanted
    assert {one.size_pt for one in peaks} == {options.small_pt}


def test_peaks_without_room_are_left_out() -> None:
    plan = table(rows_of(12, 16), names_of(16), PrintOptions(width=40))
    assert plan.peak_pt == 0
    assert plan.name_pt == SMALLEST_PT


def test_last_column_stands_apart() -> None:
    lefts = table(rows_of(2, 3), names_of(3), PrintOptions()).lefts
    steps = np.diff(lefts)
    assert steps[0] == pytest.approx(steps[1])
    assert steps[2] > steps[1]


def test_map_is_drawn_in_its_own_range() -> None:
    rows = rows_of(1, 1)
    faint = [[dataclasses.replace(rows[0][0], maps=rows[0][0].maps * np.float32(0.001))]]
    options = PrintOptions(dpi=72)
    one, other = (np.asarray(draw_grid(shown, ["0"], options).axes[0].images[0].get_array()) for shown in (rows, faint))
    assert np.array_equal(one, other)


def test_place_in_the_encoder_is_a_dot_and_a_query_its_box() -> None:
    options = PrintOptions(dpi=72)
    at_point = dataclasses.replace(encoder(), maps=weights(1, 3, 4), points=((10.0, 20.0),))
    assert len(draw_grid([[at_point]], ["0"], options).axes[0].lines) == 1
    assert len(drawn(1, 1, options).axes[0].patches) == 2  # and the map's frame


def test_maps_of_a_tall_picture_stand_in_several_blocks() -> None:
    rows, names = rows_of(6, 8, photo(10, 240)), names_of(8)
    plan = table(rows, names, PrintOptions())
    assert len(plan.tops) < 6
    assert plan.cell[0] > 1.5 * (TALLEST_MM / 6) / 24  # what six below each other have room for
    boxes = [plan.box(row, column) for row in range(6) for column in range(9)]
    assert all(0 <= left and right <= 175 and bottom <= TALLEST_MM + 1e-6 for left, _, right, bottom in boxes)
    assert len({(round(left, 3), round(top, 3)) for left, top, _, _ in boxes}) == 54
    figure = draw_grid(rows, names, PrintOptions(dpi=72))
    assert not overlapping(figure)
    assert [one.text for one in words_of(figure)].count("layer") == 3


def test_maps_of_a_wide_picture_stand_in_one_block() -> None:
    assert len(table(rows_of(6, 8), names_of(8), PrintOptions()).tops) == 6
