"""All objects' maps on one picture."""

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.drawing import overlay
from detr_attnviz.drawing.prints.objects import blended, draw_objects, strength
from detr_attnviz.drawing.prints.palette import COLORS
from detr_attnviz.drawing.prints.paper import PAGE_MM, TALLEST_MM, PrintOptions, print_bytes, size_mm
from tests.drawing.prints.sheets import cut_off, overlapping, words_of
from tests.drawing.scenes import AWKWARD_NAMES, cross, photo, sampled, weights

LOW = PrintOptions(dpi=72)


def spread(figure: Figure) -> tuple[float, float, float, float]:
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    return left, top, right, bottom


def test_two_layers_over_a_pixel_by_hand() -> None:
    under = Image.new("RGB", (1, 1), (200, 100, 0))
    layers = [np.full((1, 1), 0.5, dtype=np.float32), np.full((1, 1), 0.25, dtype=np.float32)]
    # Two parts of the first colour and one of the second, 1 − 0.5 · 0.75 opaque.
    red, green, blue = (0.625 * (2 * one + other) / 3 for one, other in ((90, 0), (0, 60), (30, 240)))
    shown = blended(under, iter(layers), [(90, 0, 30), (0, 60, 240)]).getpixel((0, 0))
    assert shown == tuple(round(part) for part in (75 + red, 37.5 + green, blue))


def test_no_order_of_objects_is_better_than_another() -> None:
    random = np.random.default_rng(0)
    layers = list(random.random((3, 4, 5), dtype=np.float32))
    forwards = blended(photo(5, 4), iter(layers), COLORS[:3])
    backwards = blended(photo(5, 4), iter(layers[::-1]), COLORS[2::-1])
    assert np.abs(np.asarray(forwards).astype(int) - np.asarray(backwards)).max() <= 1


def test_where_nobody_looks_the_picture_stays() -> None:
    nothing = [np.zeros((4, 5), dtype=np.float32)] * 2
    assert blended(photo(5, 4), iter(nothing), COLORS[:2]).tobytes() == photo(5, 4).tobytes()


def test_strength_is_in_proportion_to_the_map_and_its_most_at_the_peak() -> None:
    maps = np.array([[[0, 1, 2, 4], [0, 0, 0, 0], [0, 0, 0, 0]]], dtype=np.float32)
    found = strength(cross(1, maps=maps), 0, (64, 48), PrintOptions(alpha=0.6, smooth="nearest"))
    assert found[0, 8::16] == pytest.approx([0, 0.15, 0.3, 0.6], abs=0.6 / 255)


def test_map_of_zeros_and_map_of_nan_have_no_strength() -> None:
    maps = np.zeros((2, 3, 4), dtype=np.float32)
    maps[1] = np.nan
    shown = cross(2, maps=maps)
    assert [strength(shown, index, (8, 6), LOW).max() for index in (0, 1)] == [0, 0]


def picture_in(figure: Figure) -> NDArray[np.uint8]:
    return np.asarray(figure.axes[0].images[0].get_array()).astype(np.uint8)


def test_cells_without_a_number_in_any_map_are_hatched_and_only_they() -> None:
    maps = weights(3, 3, 4)
    known = cross(3, maps=maps.copy())
    maps[0, 0, 0], maps[2, 2, 3] = np.nan, np.inf
    without = [np.where(np.isfinite(values), values, 0) for values in maps]
    holes = np.zeros((3, 4), dtype=np.float32)
    holes[0, 0] = holes[2, 3] = np.nan
    beneath = picture_in(draw_objects(dataclasses.replace(known, maps=np.stack(without)), LOW))
    drawn = picture_in(draw_objects(dataclasses.replace(known, maps=maps), LOW))
    expected = overlay.hatch_missing(Image.fromarray(beneath), holes, known.grid)
    assert drawn.tobytes() == np.asarray(expected).tobytes()
    changed = (drawn != beneath).any(axis=-1)
    assert changed.mean() == pytest.approx(2 / 12, abs=0.02)
    assert {tuple(color) for color in drawn[changed].tolist()} == {(150, 150, 150), (205, 205, 205)}


def test_map_of_nan_is_nothing_but_hatching() -> None:
    maps = weights(2, 3, 4)
    maps[1] = np.nan
    drawn = picture_in(draw_objects(cross(2, maps=maps), LOW))
    assert {tuple(color) for color in drawn.reshape(-1, 3).tolist()} == {(150, 150, 150), (205, 205, 205)}


@pytest.mark.parametrize("width", ["column", "page", 40])
@pytest.mark.parametrize("count", [1, 5, 12])
@pytest.mark.parametrize("size", [(80, 60), (60, 90), (200, 20), (20, 200)])
def test_words_are_within_the_sheet(size: tuple[int, int], count: int, width: object) -> None:
    options = PrintOptions(width=width, dpi=72)  # type: ignore[arg-type]
    figure = draw_objects(cross(count, photo(*size), AWKWARD_NAMES), options)
    assert not cut_off(figure)
    assert size_mm(figure)[0] == pytest.approx(options.width_mm)


def test_words_are_off_each_other_and_off_the_picture() -> None:
    figure = draw_objects(cross(12, photo(300, 225), AWKWARD_NAMES), LOW)
    bottom = spread(figure)[3]
    legend = [one for one in words_of(figure) if one.top >= bottom]
    assert not overlapping(figure)
    assert len(legend) == 25  # the right-to-left name has its score as a text of its own
    assert all(one.top >= bottom for one in words_of(figure) if "0.9" in one.text)


def test_tall_picture_has_its_legend_beside_it() -> None:
    figure = draw_objects(cross(3, photo(60, 90)), PrintOptions(dpi=72))
    right = spread(figure)[2]
    assert all(one.left > right for one in words_of(figure) if "0.9" in one.text)


def test_every_object_is_named_with_its_number_and_score() -> None:
    words = [one.text for one in words_of(draw_objects(cross(2), LOW))]
    assert sorted(words) == ["1", "1", "2", "2", "cat 0.99", "dog 0.98"]


def test_small_box_lies_on_a_large_one() -> None:
    shown = cross(2)
    small, large = ((20.0, 20.0, 30.0, 30.0), (5.0, 5.0, 60.0, 40.0))
    detections = tuple(
        dataclasses.replace(one, box=box) for one, box in zip(shown.detections, (small, large), strict=True)
    )
    figure = draw_objects(dataclasses.replace(shown, detections=detections), LOW)
    outlines = [patch for patch in figure.axes[0].patches if type(patch).__name__ == "Rectangle"]
    widths = [patch.get_width() for patch in sorted(outlines, key=lambda patch: patch.get_zorder())]  # type: ignore[attr-defined]
    assert widths == sorted(widths, reverse=True)


def test_box_outside_the_picture_keeps_its_place_in_the_legend() -> None:
    shown = cross(1)
    away = dataclasses.replace(shown.detections[0], box=(900.0, 900.0, 990.0, 990.0))
    words = [one.text for one in words_of(draw_objects(dataclasses.replace(shown, detections=(away,)), LOW))]
    assert words == ["1", "cat 0.99"]


def test_sampled_attention_is_drawn_too() -> None:
    figure = draw_objects(sampled(3), LOW)
    assert len(figure.axes[0].images) == 1


def test_names_are_no_formulas() -> None:
    figure = draw_objects(cross(1, names=(r"$\frac{a}$",)), LOW)
    assert rb"$\frac{a}$ 0.99" in print_bytes(figure, "svg", {})


def test_map_has_the_pixels_of_its_place() -> None:
    with Image.open(io.BytesIO(print_bytes(draw_objects(cross(2), PrintOptions(dpi=150)), "png", {}))) as image:
        assert image.width == round(175 / 25.4 * 150)


def box_of(figure: Figure) -> tuple[float, float]:
    left, top, right, bottom = spread(figure)
    return right - left, bottom - top


@pytest.mark.parametrize("size", [(90, 90), (90, 80), (60, 90)])
@pytest.mark.parametrize("width", ["column", "page"])
def test_ordinary_names_are_whole_whatever_the_shape_of_the_picture(size: tuple[int, int], width: Any) -> None:
    shown = cross(12, photo(*size), ("baseball glove", "floor-other-merged"))
    words = {one.text for one in words_of(draw_objects(shown, PrintOptions(width=width, dpi=72)))}
    assert {"baseball glove 0.99", "floor-other-merged 0.98"} <= words


def test_strip_of_a_picture_is_as_high_as_a_page_with_its_legend_close_by() -> None:
    figure = draw_objects(cross(3, photo(10, 240)), PrintOptions(dpi=72))
    left, _, right, bottom = spread(figure)
    assert bottom == pytest.approx(TALLEST_MM, abs=0.5)
    end = max(one.right for one in words_of(figure) if "0.9" in one.text)
    assert left == pytest.approx(PAGE_MM - end, abs=4)
    assert min(one.left for one in words_of(figure) if "0.9" in one.text) < right + 10


@pytest.mark.parametrize("height_px", [1000, 10_000])
def test_picture_of_one_column_is_as_high_as_a_page(height_px: int) -> None:
    figure = draw_objects(cross(2, photo(1, height_px)), LOW)
    assert size_mm(figure)[1] == pytest.approx(TALLEST_MM, rel=0.01)


def test_picture_on_a_wide_sheet_is_as_wide() -> None:
    assert box_of(draw_objects(cross(3, photo(80, 60)), PrintOptions(width=400, dpi=72)))[0] == pytest.approx(
        400, abs=1
    )


def test_quiet_lines_stand_in_the_legend() -> None:
    figure = draw_objects(cross(2), LOW, ("zero everywhere", "peak 3"))
    assert {"zero everywhere", "peak 3"} <= {one.text for one in words_of(figure)}
