"""Mass and peak of small maps in boxes, by hand."""

import numpy as np
import pytest

from detr_attnviz.evaluation.inside import energy_inside, is_middle_inside, parts_inside, peak_inside
from detr_attnviz.grid import Grid

GRID = Grid(rows=2, cols=3, stride_px=10, height_px=40, width_px=50, input_height_px=20, input_width_px=25)
"""Cells of 20 × 20 original pixels; the last column is cut to half."""


def test_parts_of_whole_halved_and_missed_cells() -> None:
    parts = parts_inside(GRID, (10, 0, 40, 20))
    np.testing.assert_allclose(parts, [[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])


def test_a_cut_cell_counts_by_what_there_is_of_it() -> None:
    np.testing.assert_allclose(parts_inside(GRID, (45, 10, 99, 40)), [[0, 0, 0.25], [0, 0, 0.5]])


def test_a_box_outside_holds_nothing() -> None:
    assert not parts_inside(GRID, (-30, -30, -1, -1)).any()


def test_what_a_model_drops_at_the_edge_belongs_to_the_last_cell() -> None:
    grid = Grid(rows=1, cols=2, stride_px=10, height_px=10, width_px=28, input_height_px=10, input_width_px=28)
    np.testing.assert_allclose(parts_inside(grid, (19, 0, 28, 10)), [[0, 0.5]])


def test_energy_is_the_share_of_positive_mass() -> None:
    parts = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
    values = np.array([[2.0, 1, 1], [-9, 0, np.nan]])
    assert energy_inside(values, parts) == pytest.approx((2 * 0.5 + 1) / 4)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_energy_of_a_map_without_positive_values_is_chance(value: float) -> None:
    parts = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert energy_inside(np.full((2, 3), value), parts) == pytest.approx(1.5 / 6)


def test_middles_in_the_box_and_a_cell_off() -> None:
    box = (0.0, 0.0, 29.0, 19.0)  # the middle of cell 1 is at 30,10
    np.testing.assert_array_equal(is_middle_inside(GRID, box), [[True, False, False], [False, False, False]])
    near = is_middle_inside(GRID, box, tolerance_cells=1)
    np.testing.assert_array_equal(near, [[True, True, True], [True, True, True]])  # up to 49,39


def test_peak_in_and_out() -> None:
    inside = np.array([[True, False], [False, False]])
    assert peak_inside(np.array([[3.0, 1], [2, 0]]), inside) == 1
    assert peak_inside(np.array([[1.0, 3], [np.nan, 0]]), inside) == 0


def test_several_peaks_count_by_their_share() -> None:
    inside = np.array([[True, False], [False, False]])
    assert peak_inside(np.array([[3.0, 3], [2, 0]]), inside) == 0.5
    assert peak_inside(np.zeros((2, 2)), inside) == 0.25
