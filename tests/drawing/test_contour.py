"""Lines of equal attention: by hand on few cells, and closed around what they should enclose."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detr_attnviz.drawing.contour import contours, draw_lines, level_of_mass, marching_squares, without_islands
from detr_attnviz.grid import Grid
from tests.drawing.scenes import weights


def area(line: list[tuple[float, float]]) -> float:
    xs, ys = np.array(line).T
    return float(abs(np.dot(xs[:-1], ys[1:]) - np.dot(xs[1:], ys[:-1])) / 2)


def test_one_high_point_is_enclosed_by_a_diamond() -> None:
    field = np.zeros((5, 5))
    field[2, 2] = 1
    (line,) = marching_squares(field, 0.25)
    assert line[0] == line[-1]
    assert set(line) == {(2, 1.25), (2.75, 2), (2, 2.75), (1.25, 2)}


def test_slope_is_cut_where_it_crosses_the_level() -> None:
    field = np.tile([0.0, 1.0, 2.0, 3.0], (3, 1))
    (line,) = marching_squares(field, 1.5)
    assert sorted(line) == [(1.5, 0), (1.5, 1), (1.5, 2)]


def test_saddle_joins_the_high_corners_only_through_a_high_middle() -> None:
    field = np.array([[1.0, 0.0], [0.0, 1.0]])
    low_middle = marching_squares(field, 0.6)
    high_middle = marching_squares(field, 0.4)
    assert {frozenset(line) for line in low_middle} == {
        frozenset({(0.4, 0), (0, 0.4)}),
        frozenset({(1, 0.6), (0.6, 1)}),
    }
    assert {frozenset(line) for line in high_middle} == {
        frozenset({(0.6, 0), (1, 0.4)}),
        frozenset({(0, 0.6), (0.4, 1)}),
    }


@given(rows=st.integers(2, 9), cols=st.integers(2, 9), seed=st.integers(0, 99), share=st.floats(0.05, 0.95))
def test_lines_are_closed_or_end_at_the_border(rows: int, cols: int, seed: int, share: float) -> None:
    field = weights(1, rows, cols, seed=seed)[0].astype(np.float64)
    for line in marching_squares(field, share * float(field.max())):
        if line[0] != line[-1]:
            for x, y in (line[0], line[-1]):
                assert x in (0, cols - 1) or y in (0, rows - 1)


def test_flat_field_has_no_line() -> None:
    assert marching_squares(np.ones((4, 4)), 1.0) == []
    assert marching_squares(np.zeros((4, 4)), 0.5) == []


def test_level_of_mass_by_hand() -> None:
    field = np.array([[0.4, 0.3], [0.2, 0.1]])
    assert level_of_mass(field, 0.4) == 0.4
    assert level_of_mass(field, 0.41) == 0.3
    assert level_of_mass(field, 0.7) == 0.3
    assert level_of_mass(field, 1.0) == 0.1


def test_contour_lands_around_the_cell_in_picture_pixels() -> None:
    values = np.zeros((3, 3), dtype=np.float32)
    values[1, 2] = 1
    grid = Grid(3, 3, 32, 80, 160, 80, 80)  # 2.5 cells; twice as wide as what went in
    ((line,),) = contours(values, grid, (160, 80), [0.5], "peak", "bilinear")
    xs, ys = np.array(line).T
    # Bilinear falls to a half at half a cell from the middle: rows 32–64 of 80; columns 128–160 (cut at the edge).
    assert ys.min() == pytest.approx(32, abs=1.5)
    assert ys.max() == pytest.approx(64, abs=1.5)
    assert xs.min() == pytest.approx(128, abs=3)
    assert xs.max() == pytest.approx(160, abs=1e-6)


def test_smaller_mass_is_enclosed_by_larger() -> None:
    rows, cols = np.mgrid[0:12, 0:12]
    values = np.exp(-((rows - 5.5) ** 2 + (cols - 5.5) ** 2) / 6).astype(np.float32)
    found = contours(values, Grid(12, 12, 32, 384, 384, 384, 384), (384, 384), [0.25, 0.5, 0.75])
    assert [len(lines) for lines in found] == [1, 1, 1]
    inner, middle, outer = (area(lines[0]) for lines in found)
    assert inner < middle < outer
    # A Gaussian holds the share s within the area 2π·σ²·ln(1/(1−s)); σ² is 3 cells.
    assert middle == pytest.approx(2 * np.pi * 3 * np.log(2) * 32**2, rel=0.03)


def test_one_cell_that_holds_nearly_everything_still_has_its_lines() -> None:
    values = np.zeros((5, 5), dtype=np.float32)
    values[2, 2] = 1
    found = contours(values, Grid(5, 5, 32, 160, 160, 160, 160), (160, 160), [0.25, 0.5, 0.75])
    assert all(lines for lines in found)


def test_islands_of_little_mass_get_no_line_unless_all_are_little() -> None:
    field = np.zeros((30, 30))
    field[4:14, 4:14] = 1.0
    field[20, 20] = field[21, 21] = 0.45  # one island, joined at its corner: 0.9 of 100.9
    assert len(marching_squares(field, 0.4)) > 1
    (line,) = marching_squares(without_islands(field, 0.4), 0.4)
    assert max(x for x, _ in line) < 15
    field[20, 20] = 0.8  # 1.25 of 101.25: enough
    assert without_islands(field, 0.4) is field
    dust = np.zeros((60, 60))
    dust[1::4, 1::4] = 1
    assert without_islands(dust, 0.5) is dust


@given(seed=st.integers(0, 200))
def test_islands_are_found_whatever_their_shape(seed: int) -> None:
    field = np.random.default_rng(seed).random((9, 11))
    kept = without_islands(field, 0.7) > 0
    assert (kept | (field >= 0.7)).all()
    sizes, seen = [], set()
    for start in zip(*np.nonzero(field >= 0.7), strict=True):
        todo, mass = [tuple(map(int, start))], 0.0
        while todo:
            row, col = todo.pop()
            if (row, col) in seen or not (0 <= row < 9 and 0 <= col < 11) or field[row, col] < 0.7:
                continue
            seen.add((row, col))
            mass += field[row, col]
            todo += [(row + down, col + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        sizes += [mass] if mass else []
    lost = float(field.sum() - without_islands(field, 0.7).sum())
    small = [mass for mass in sizes if mass < 0.01 * field.sum()]
    assert lost == pytest.approx(sum(small) if len(small) < len(sizes) else 0.0)


def test_lines_are_smooth_and_haloed() -> None:
    image = Image.new("RGB", (200, 200), (128, 128, 128))
    circle = [(100 + 60 * math.cos(t), 100 + 60 * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 90).tolist()]
    draw_lines(image, [[*circle[:-1], circle[0]]], (255, 220, 60), 3.0)
    pixels = np.asarray(image).astype(int)
    assert (pixels[100, 160] == (255, 220, 60)).all()
    assert pixels.min() < 40  # the halo
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 12  # shades of the smooth edge
    assert (pixels[100, 100] == 128).all()


def test_lines_outside_the_picture_are_left_out() -> None:
    image = Image.new("RGB", (20, 20))
    draw_lines(image, [[(-90.0, -90.0), (-80.0, -80.0)]], (255, 255, 255), 2.0)
    draw_lines(image, [], (255, 255, 255), 2.0)
    assert image.getbbox() is None
