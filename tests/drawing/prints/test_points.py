"""The picture with maps of places around it."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.prints.paper import PrintOptions, size_mm
from detr_attnviz.drawing.prints.points import draw_points, labels
from detr_attnviz.explanation import Explanation
from tests.drawing.prints.sheets import cut_off, overlapping, words_of
from tests.drawing.scenes import encoder, grid_of, photo, weights

NAMES = ["cat", "traffic light", "שלום", "汉字", r"$a^b$", "x" * 60, "", "dog"]


def scene(count: int, image: Image.Image | None = None) -> Explanation:
    image = image or photo(200, 150)
    places = np.random.default_rng(4).uniform(0.05, 0.95, (count, 2)) * image.size
    grid = grid_of(image, 5, 7, 32)
    points = tuple((float(x), float(y)) for x, y in places)
    return dataclasses.replace(encoder(), image=image, grid=grid, maps=weights(count, 5, 7), points=points)


def pictures_of(figure: Figure) -> list[tuple[int, int]]:
    return [image.get_array().shape[:2] for image in figure.axes[0].images]  # type: ignore[union-attr]


@pytest.mark.parametrize("width", ["column", "page", 30])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [(200, 150), (120, 200), (300, 60)])
def test_words_are_within_the_sheet_and_off_each_other(size: tuple[int, int], count: int, width: object) -> None:
    options = PrintOptions(width=width, dpi=72)  # type: ignore[arg-type]
    figure = draw_points(scene(count, photo(*size)), NAMES[:count], options)
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert size_mm(figure)[0] == pytest.approx(options.width_mm)


def test_a_picture_and_a_map_and_a_number_a_point() -> None:
    figure = draw_points(scene(4), ["a", "b", "c", "d"], PrintOptions(dpi=72))
    assert len(pictures_of(figure)) == 5
    assert sorted(one.text for one in words_of(figure)) == ["1", "2", "3", "4", "a", "b", "c", "d"]


def test_lines_end_at_their_places() -> None:
    shown = scene(3)
    figure = draw_points(shown, ["a", "b", "c"], PrintOptions(dpi=72))
    axes = figure.axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    ends = np.array([np.asarray(line.get_xydata())[-1] for line in axes.lines])
    for x, y in shown.points:
        place = (left + x / 200 * (right - left), top + y / 150 * (bottom - top))
        assert np.abs(ends - place).sum(axis=-1).min() < 1e-3


def test_letters_have_the_size_asked_for() -> None:
    figure = draw_points(scene(2), ["cat", "dog"], PrintOptions(font_pt=9, dpi=72))
    assert {one.size_pt for one in words_of(figure)} == {9.0}


def test_map_has_the_pixels_that_its_dpi_needs() -> None:
    low, high = (draw_points(scene(2), ["", ""], PrintOptions(dpi=dpi)) for dpi in (100, 200))
    for small, large in zip(pictures_of(low), pictures_of(high), strict=True):
        assert large == pytest.approx((2 * small[0], 2 * small[1]), abs=2)


def test_words_without_room_are_left_out() -> None:
    options = PrintOptions(width=40, dpi=72)
    assert labels(scene(8), ["a long name", "cat", "", *"defgh"], options)[:3] == ("", "cat", "")
    assert labels(scene(2), ["traffic light", "cat"], PrintOptions()) == ("traffic light", "cat")
