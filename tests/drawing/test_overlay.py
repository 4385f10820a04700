"""Where a map lands on the picture, to the pixel, and how colours are laid over it, to the bit."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.drawing import overlay
from detr_attnviz.drawing.colormap import table
from detr_attnviz.drawing.overlay import Smooth
from detr_attnviz.grid import Grid
from tests.drawing.scenes import photo, weights

# A 64×64 picture went in at 48×48 with stride 32: it ends in the middle of the second cell, at 1.5 cells.
HALF_A_CELL_CUT = Grid(rows=2, cols=2, stride_px=32, height_px=64, width_px=64, input_height_px=48, input_width_px=48)
SMOOTH: list[Smooth] = ["bicubic", "bilinear", "nearest"]


def one_hot(row: int, col: int, rows: int = 2, cols: int = 2) -> NDArray[np.float32]:
    values = np.zeros((rows, cols), dtype=np.float32)
    values[row, col] = 1
    return values


def test_nearest_changes_exactly_at_the_cells_border() -> None:
    # The border lies at 32 of 48 input pixels, which is 42.67 of 64: pixel 42's middle is left of it, 43's right.
    drawn = overlay.upsample(one_hot(0, 0), HALF_A_CELL_CUT, (64, 64), "nearest")
    assert drawn[:43, :43].min() == 1
    assert drawn[43:, :].max() == 0
    assert drawn[:, 43:].max() == 0


@pytest.mark.parametrize("smooth", ["bicubic", "bilinear"])
def test_smooth_peak_lies_at_the_cells_middle_where_the_picture_is_cut(smooth: Smooth) -> None:
    # Cell 0's middle is at 16 of 48 input pixels, 21.33 of 64. Stretching 2 cells over the picture gives 16 instead.
    grid = Grid(3, 3, 32, 64, 64, 72, 72)  # 2.25 cells; middle of cell 1 at 48 of 72, 42.67 of 64
    drawn = overlay.upsample(one_hot(1, 1, 3, 3), grid, (64, 64), smooth)
    assert divmod(int(drawn.argmax()), 64) == (42, 42)
    assert drawn[42, 42] == pytest.approx(1, abs=0.02)


def test_last_cell_is_cut_not_squeezed() -> None:
    drawn = overlay.upsample(one_hot(1, 1), HALF_A_CELL_CUT, (64, 64), "bilinear")
    # The corner pixel's middle is at 63.5 · 48/64 = 47.6 input pixels, 1.488 cells; cell 1's middle is at 1.5.
    expected = (1.488 - 0.5) ** 2
    assert drawn[63, 63] == pytest.approx(expected, abs=0.01)


def test_bicubic_by_hand_between_two_cells() -> None:
    grid = Grid(1, 4, 1, 1, 4, 1, 4)
    values = np.array([[0, 1, 1, 0]], dtype=np.float32)
    drawn = overlay.upsample(values, grid, (8, 1), "bicubic")
    # Pixel 2's middle lies at 1.25 cells: 0.75, 0.25, 1.25 from the first three cells' middles. Keys' kernel with
    # a = −1/2 gives 0.2266, 0.8672 and −0.0703 (the −0.0234 of a cell outside is shared out); pixel 3 would come to
    # 1.094 and is cut at the peak.
    assert drawn[0, 2] == pytest.approx((0.8672 - 0.0703) / (0.2266 + 0.8672 - 0.0703), abs=1e-3)
    assert drawn[0, 3] == 1
    assert drawn[0].tolist() == pytest.approx(drawn[0, ::-1].tolist())


@pytest.mark.parametrize("smooth", SMOOTH)
def test_map_stays_between_zero_and_its_peak(smooth: Smooth) -> None:
    drawn = overlay.upsample(one_hot(2, 2, 5, 5), Grid(5, 5, 8, 40, 40, 40, 40), (200, 100), smooth)
    assert drawn.shape == (100, 200)
    assert drawn.min() == 0
    assert drawn.max() <= 1


@given(
    rows=st.integers(1, 12),
    cols=st.integers(1, 12),
    cut_rows=st.floats(0, 0.95),
    cut_cols=st.floats(0, 0.95),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    smooth=st.sampled_from(SMOOTH),
)
def test_levels_are_the_rounded_map_at_the_size_asked_for(
    rows: int, cols: int, cut_rows: float, cut_cols: float, width: int, height: int, smooth: Smooth
) -> None:
    input_height, input_width = max(1, int((rows - cut_rows) * 32)), max(1, int((cols - cut_cols) * 32))
    grid = Grid(rows, cols, 32, 50, 60, input_height, input_width)
    values = weights(1, rows, cols, seed=rows * 13 + cols)[0]
    top = float(values.max())
    levels = overlay.levels(values, grid, (width, height), top, smooth)
    exact = overlay.upsample(values, grid, (width, height), smooth) * (255 / top)
    assert (levels.mode, levels.size) == ("L", (width, height))
    assert np.abs(np.asarray(levels, dtype=np.float64) - exact).max() <= 0.502


@pytest.mark.parametrize("smooth", SMOOTH)
def test_shared_scale_never_shows_more_than_the_maps_own_peak(smooth: Smooth) -> None:
    levels = overlay.levels(one_hot(1, 1, 3, 3) * np.float32(0.5), Grid(3, 3, 8, 24, 24, 24, 24), (99, 99), 1.0, smooth)
    assert np.asarray(levels).max() == 128


def test_zero_map_has_level_zero() -> None:
    levels = overlay.levels(np.zeros((2, 2), dtype=np.float32), HALF_A_CELL_CUT, (8, 8), 0.0)
    assert np.asarray(levels).max() == 0


def test_zero_map_gives_the_picture_back_bit_for_bit() -> None:
    image = photo()
    levels = overlay.levels(np.zeros((2, 2), dtype=np.float32), HALF_A_CELL_CUT, image.size, 0.0)
    assert overlay.overlay(image, levels, "inferno").tobytes() == image.tobytes()
    assert overlay.overlay(image, levels, "inferno", fade=False).tobytes() != image.tobytes()


@pytest.mark.parametrize("fade", [True, False])
def test_alpha_zero_gives_the_picture_back_bit_for_bit(fade: bool) -> None:
    image = photo()
    levels = Image.linear_gradient("L").resize(image.size)
    assert overlay.overlay(image, levels, "inferno", 0.0, fade).tobytes() == image.tobytes()


def test_full_constant_alpha_gives_the_tables_colours() -> None:
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    drawn = overlay.overlay(photo(16, 16), levels, "viridis", 1.0, fade=False)
    np.testing.assert_array_equal(np.asarray(drawn).reshape(256, 3), table("viridis"))


def test_overlay_blends_in_integers_as_computed_by_hand() -> None:
    image = Image.new("RGB", (1, 1), (100, 100, 100))
    levels = Image.new("L", (1, 1), 255)
    red, green, blue = (int(value) for value in table("inferno")[255])
    expected = tuple(round(0.8 * value + 0.2 * 100) for value in (red, green, blue))
    drawn = np.asarray(overlay.overlay(image, levels, "inferno", 0.8))[0, 0].tolist()
    assert drawn == pytest.approx(expected, abs=1)


def test_opacity_rises_with_attention_from_nothing() -> None:
    rise = overlay.opacity(0.8, True)
    assert all(low <= high for low, high in itertools.pairwise(rise))
    assert rise[0] == 0
    assert rise[1] <= 3  # no edge where attention begins
    assert rise[26] > 0.15 * 255  # a tenth of the peak is seen
    assert rise[255] == round(0.8 * 255)


def test_heatmap_is_a_palette_picture_of_the_same_colours() -> None:
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(8, 32))
    drawn = overlay.heatmap(levels, "magma")
    assert drawn.mode == "P"
    np.testing.assert_array_equal(np.asarray(drawn.convert("RGB")).reshape(256, 3), table("magma"))


def test_the_picture_given_is_left_as_it_was() -> None:
    image = photo()
    before = image.tobytes()
    levels = Image.new("L", image.size, 200)
    overlay.hatch_missing(
        overlay.overlay(image, levels, "inferno"), np.full((3, 4), np.nan), Grid(3, 4, 16, 48, 64, 48, 64)
    )
    assert image.tobytes() == before
    assert levels.getextrema() == (200, 200)


def test_nan_cells_are_hatched_grey_and_only_they() -> None:
    values = np.ones((2, 2), dtype=np.float32)
    values[0, 1] = np.nan
    grid = Grid(2, 2, 32, 64, 64, 64, 64)
    picture = Image.new("RGB", (64, 64), (0, 0, 255))
    drawn = np.asarray(overlay.hatch_missing(picture, values, grid)).astype(int)
    hole = drawn[:32, 32:]
    assert (hole[..., 0] == hole[..., 2]).all()  # grey
    assert len(np.unique(hole)) == 2  # two tones: stripes
    drawn[:32, 32:] = (0, 0, 255)
    assert (drawn == (0, 0, 255)).all()


def test_infinite_and_negative_cells_count_as_nothing() -> None:
    values = np.array([[np.nan, np.inf], [-1, 0.25]], dtype=np.float32)
    assert overlay.finite(values).tolist() == [[0, 0], [0, 0.25]]
    assert overlay.missing(values).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("smooth", SMOOTH)
def test_signed_levels_lie_around_128(smooth: Smooth) -> None:
    values = np.zeros((3, 3), dtype=np.float32)
    values[0, 0], values[2, 2] = -2, 1
    picture = overlay.signed_levels(values, Grid(3, 3, 8, 24, 24, 24, 24), (99, 99), 2.0, smooth)
    levels = np.asarray(picture).astype(int)
    assert levels[16, 16] == 1
    assert levels[82, 82] == pytest.approx(128 + 127 / 2, abs=0.5)
    assert levels[16, 82] == levels[82, 16] == 128


@given(rows=st.integers(1, 9), cols=st.integers(1, 9), smooth=st.sampled_from(SMOOTH))
def test_signed_levels_of_the_negative_are_mirrored(rows: int, cols: int, smooth: Smooth) -> None:
    grid = Grid(rows, cols, 8, 60, 50, 8 * rows, 8 * cols)
    values = np.random.default_rng(rows * 13 + cols).normal(size=(rows, cols)).astype(np.float32)
    top = float(np.abs(values).max())
    levels, mirrored = (
        np.asarray(overlay.signed_levels(sign * values, grid, (50, 60), top, smooth)).astype(int) for sign in (1, -1)
    )
    np.testing.assert_array_equal(levels + mirrored, np.full((60, 50), 256))


def test_sharp_peak_has_no_ring_of_the_other_sign() -> None:
    values = one_hot(2, 2, 5, 5)
    values[0, 0] = -1  # so that the range below zero is there to be used
    levels = np.asarray(overlay.signed_levels(values, Grid(5, 5, 8, 40, 40, 40, 40), (200, 200), 1.0))
    assert levels[80:, 80:].min() == 128


def test_signed_map_of_zeros_gives_the_picture_back_bit_for_bit() -> None:
    image = photo()
    levels = overlay.signed_levels(np.zeros((2, 2), dtype=np.float32), HALF_A_CELL_CUT, image.size, 0.0)
    assert overlay.overlay(image, levels, "coolwarm", is_signed=True).tobytes() == image.tobytes()


def test_signed_opacity_rises_on_both_sides_of_zero() -> None:
    rise = overlay.opacity(0.8, True, is_signed=True)
    assert rise[128] == 0
    assert rise[255] == rise[1] == round(0.8 * 255)
    assert all(rise[128 + step] == rise[128 - step] for step in range(128))
    assert all(low <= high for low, high in itertools.pairwise(rise[128:]))


def test_weak_signed_values_tint_the_picture_in_the_colour_of_their_sign() -> None:
    image = Image.new("RGB", (1, 1), (128, 128, 128))
    for level, stronger, weaker in ((138, 0, 2), (118, 2, 0)):
        drawn = np.asarray(overlay.overlay(image, Image.new("L", (1, 1), level), "coolwarm", is_signed=True))[0, 0]
        assert int(drawn[stronger]) - int(drawn[weaker]) > 15


def test_constant_signed_opacity_gives_the_tables_colours() -> None:
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    drawn = overlay.overlay(photo(16, 16), levels, "coolwarm", 1.0, fade=False, is_signed=True)
    np.testing.assert_array_equal(np.asarray(drawn).reshape(256, 3), table("coolwarm"))


def test_peak_of_signed_values_is_the_distance_from_zero() -> None:
    values = np.array([[np.nan, -3.0], [2.0, -np.inf]], dtype=np.float32)
    assert (overlay.peak(values), overlay.peak(values, is_signed=True)) == (2.0, 3.0)
    assert overlay.peak(np.full((2, 2), np.nan, dtype=np.float32), is_signed=True) == 0.0
