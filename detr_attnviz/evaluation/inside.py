"""How much of a map lies in a box: its mass, and its peak.

Boxes are xyxy in original pixels. A map without a positive value counts as one that is equal everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from detr_attnviz.evaluation.results import Box
from detr_attnviz.grid import Grid

Array = NDArray[np.float64]


def parts_inside(grid: Grid, box: Box) -> Array:
    """The part of every cell's area within the picture that ``box`` covers, ``[rows cols]`` in 0–1."""
    left, top, right, bottom = box
    covered_y = _covered(_edges(grid.rows, grid.stride_px, grid.input_height_px, grid.height_px), top, bottom)
    covered_x = _covered(_edges(grid.cols, grid.stride_px, grid.input_width_px, grid.width_px), left, right)
    return np.outer(covered_y, covered_x)


def energy_inside(values: NDArray[np.floating], parts: Array) -> float:
    """The share of a map's mass that lies in the box: each cell's value times its part; below zero counts as 0."""
    mass = np.nan_to_num(np.asarray(values, np.float64), nan=0.0).clip(0)
    return float((mass * parts).sum() / mass.sum()) if mass.any() else float(parts.mean())


def is_middle_inside(grid: Grid, box: Box, *, tolerance_cells: float = 0.0) -> NDArray[np.bool_]:
    """Which cells' middles lie in ``box``, made larger on every side by so many cells."""
    step_x = tolerance_cells * grid.stride_px * grid.width_px / grid.input_width_px
    step_y = tolerance_cells * grid.stride_px * grid.height_px / grid.input_height_px
    left, top, right, bottom = box[0] - step_x, box[1] - step_y, box[2] + step_x, box[3] + step_y
    edges_y = _edges(grid.rows, grid.stride_px, grid.input_height_px, grid.height_px)
    edges_x = _edges(grid.cols, grid.stride_px, grid.input_width_px, grid.width_px)
    y, x = (edges_y[:-1] + edges_y[1:]) / 2, (edges_x[:-1] + edges_x[1:]) / 2
    return np.logical_and.outer((top <= y) & (y <= bottom), (left <= x) & (x <= right))


def peak_inside(values: NDArray[np.floating], is_inside: NDArray[np.bool_]) -> float:
    """1 when the map's highest cell is one of ``is_inside``, else 0; of several highest cells the share that is."""
    known = np.nan_to_num(np.asarray(values, np.float64), nan=-np.inf)
    peak = known.max()
    highest = known == peak if peak > 0 else np.ones_like(is_inside)
    return float(is_inside[highest].mean())


def _edges(cells: int, stride_px: float, input_px: int, side_px: int) -> Array:
    """Where cells begin and end in original pixels; the last one ends with the picture."""
    edges: Array = np.minimum(np.arange(cells + 1) * (stride_px * side_px / input_px), side_px)
    edges[-1] = side_px
    return edges


def _covered(edges: Array, low: float, high: float) -> Array:
    sizes = np.diff(edges)
    covered = (np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)).clip(0)
    parts: Array = np.divide(covered, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    return parts
