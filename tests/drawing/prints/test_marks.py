"""Places on a sheet, and the picture that maps lie on."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from detr_attnviz.drawing.prints.marks import (
    box_on_paper,
    ground,
    map_picture,
    on_paper,
    painted,
    pixels,
    put_dot,
    put_line,
    put_name,
    put_outline,
    put_picture,
    put_tag,
    put_words,
    resized,
    snapped,
    tag_mm,
)
from detr_attnviz.drawing.prints.palette import COLORS, luminance, marks
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from tests.drawing.prints.sheets import words_of
from tests.drawing.scenes import cross, detections, photo

PICTURE = (10.0, 20.0, 74.0, 68.0)  # a 64 × 48 picture, one millimetre a pixel


def test_place_of_a_pixel_on_paper() -> None:
    assert on_paper((32, 12), PICTURE, photo()) == (42, 32)


def test_box_is_cut_at_the_edges_of_the_picture() -> None:
    one = dataclasses.replace(detections(1, photo())[0], box=(-5, 10, 30, 99))
    assert box_on_paper(one, PICTURE, photo()) == (10, 30, 40, 68)


@pytest.mark.parametrize("box", [(70, 0, 80, 10), (0, -9, 9, -1), (float("nan"), 0, 1, 1)])
def test_box_outside_the_picture(box: tuple[float, float, float, float]) -> None:
    assert box_on_paper(dataclasses.replace(detections(1, photo())[0], box=box), PICTURE, photo()) is None


def test_snapped_box_has_whole_pixels() -> None:
    options = PrintOptions(dpi=300)
    box = snapped((1.03, 2.2, 31.07, 12.77), options)
    assert box == pytest.approx((1.03, 2.2, 31.07, 12.77), abs=25.4 / 600)
    assert [edge * 300 / 25.4 % 1 for edge in box] == pytest.approx([0, 0, 0, 0], abs=1e-9)
    assert pixels(box, options) == (355, 125)


@pytest.mark.parametrize("picture", [photo(), Image.new("RGB", (30, 20)), Image.new("L", (9, 9), 40)])
def test_ground_is_lighter_than_any_color_of_objects(picture: Image.Image) -> None:
    darkest = np.asarray(ground(picture, (40, 30))).reshape(-1, 3).min(axis=0)
    assert luminance(tuple(darkest.tolist())) > max(map(luminance, COLORS))


def test_ground_has_the_contrast_of_a_dark_picture() -> None:
    dark = Image.fromarray((np.asarray(photo()) // 8).astype(np.uint8))
    assert np.ptp(np.asarray(ground(dark, (64, 48))).mean(axis=-1)) > 60


def test_ground_has_nearly_no_colors() -> None:
    shown = np.asarray(ground(photo(), (64, 48))).astype(int)
    assert np.ptp(shown, axis=-1).max() < 0.4 * np.ptp(np.asarray(photo()).astype(int), axis=-1).max()


def test_picture_of_few_pixels_keeps_them_square() -> None:
    tiny = photo(2, 2)
    assert np.array_equal(np.asarray(resized(tiny, (8, 8)))[::4, ::4], np.asarray(tiny))


def test_map_has_the_strongest_color_at_its_peak_and_none_at_zero() -> None:
    shown = cross(1, maps=np.array([[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.5]]], dtype=np.float32))
    under = Image.new("RGB", (64, 48), "white")
    drawn = np.asarray(map_picture(shown, 0, under, PrintOptions(alpha=1.0, smooth="nearest")))
    assert drawn[47, 63].tolist() == [128, 0, 38]  # the end of YlOrRd
    assert drawn[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("grey", [181, 215, 255])
def test_higher_level_is_darker_on_any_ground(grey: int) -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    shown = np.asarray(painted(Image.new("RGB", (256, 1), (grey, grey, grey)), ramp, PrintOptions()))[0]
    seen = [luminance(tuple(color)) for color in shown.tolist()]
    assert max(after - before for before, after in pairwise(seen)) < 0.004  # colours are whole numbers
    assert seen[0] - seen[-1] > 0.3


def test_colors_asked_for_are_not_changed() -> None:
    ramp, white = Image.fromarray(np.full((1, 1), 255, dtype=np.uint8)), Image.new("RGB", (1, 1), "white")
    assert painted(white, ramp, PrintOptions(cmap="viridis", alpha=1.0)).getpixel((0, 0)) == (253, 231, 36)
    assert painted(white, ramp, PrintOptions(alpha=1.0), is_signed=True).getpixel((0, 0)) == (103, 0, 31)


def test_what_is_put_later_lies_above() -> None:
    axes = sheet_axes(new_sheet(40, 30, PrintOptions()))
    put_outline(axes, (0, 0, 10, 10), "red", 1)
    put_line(axes, (0, 0), (5, 5), "blue", 1)
    put_dot(axes, (5, 5), "blue", 3)
    put_tag(axes, marks(1)[0], (1, 1, 4, 4), 7)
    put_words(axes, "cat", (20, 20), 7)
    orders = [artist.get_zorder() for artist in [*axes.patches[:2], *axes.lines, axes.patches[2], *axes.texts]]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


def test_words_are_level_with_their_place() -> None:
    figure = new_sheet(40, 30, PrintOptions())
    put_words(sheet_axes(figure), "HIE", (20, 15), 10, across="center")
    (found,) = words_of(figure)
    assert (found.left + found.right) / 2 == pytest.approx(20, abs=0.2)
    assert found.top < 15 < found.bottom


def test_tag_is_wide_enough_for_two_digits() -> None:
    assert tag_mm(12, 7)[0] > tag_mm(1, 7)[0] >= tag_mm(1, 7)[1]


def test_score_stands_behind_a_name_from_right_to_left() -> None:
    figure = new_sheet(60, 20, PrintOptions())
    put_name(sheet_axes(figure), "עברית", " 1.00", (2, 5), 7, 50)
    put_name(sheet_axes(figure), "עברית ארוכה מאוד", " 1.00", (2, 10), 7, 15)
    put_name(sheet_axes(figure), "cat", " 1.00", (2, 15), 7, 50)
    name, score, cut, other, latin = words_of(figure)
    assert (score.text, other.text, latin.text) == ("1.00", "1.00", "cat 1.00")
    assert name.right < score.left < name.right + 2
    assert cut.right < other.left
    assert other.right <= 2 + 15


def test_picture_has_a_hairline_frame() -> None:
    figure = new_sheet(60, 20, PrintOptions())
    put_picture(sheet_axes(figure), Image.new("RGB", (4, 4), "white"), (5, 5, 15, 15))
    (frame,) = figure.axes[0].patches
    assert frame.get_edgecolor()[:3] == pytest.approx((166 / 255,) * 3)
    assert frame.get_linewidth() < 0.4
    assert frame.get_zorder() > figure.axes[0].images[0].get_zorder()
