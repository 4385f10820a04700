"""The eight kinds of shape: their outlines as closed polygons in a circle of radius 1."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # [corners 2], x to the right, y downwards

CLASSES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "hexagon")
_CURVE_POINTS = 72
_RING_HOLE = 0.55
_STAR_NOTCH = 0.42
_CROSS_ARM = 0.32


class Outline(NamedTuple):
    """A closed polygon, and the polygon cut out of it (only the ring has one)."""

    points: Points
    hole: Points | None = None


def outline(name: str) -> Outline:
    """The outline of one class; every corner lies in the circle of radius 1."""
    if name == "ring":
        return Outline(_regular(_CURVE_POINTS), _RING_HOLE * _regular(_CURVE_POINTS))
    return Outline(_POINTS[name])


def turn(points: Points, angle: float) -> Points:
    """The points rotated around the origin by `angle` radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def _regular(corners: int) -> Points:
    angles = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> Points:
    points = _regular(10)
    points[1::2] *= _STAR_NOTCH
    return points


def _cross() -> Points:
    arm, end = _CROSS_ARM, math.sqrt(1 - _CROSS_ARM**2)
    quarter = np.array([[arm, -end], [arm, -arm], [end, -arm]])
    return np.concatenate([turn(quarter, quarters * np.pi / 2) for quarters in range(4)])


def _heart() -> Points:
    t = 2 * np.pi * np.arange(_CURVE_POINTS) / _CURVE_POINTS
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    points = np.stack([x, y - 2.5], axis=1)
    return np.asarray(points / np.linalg.norm(points, axis=1).max())


_POINTS = {
    "circle": _regular(_CURVE_POINTS),
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _star(),
    "cross": _cross(),
    "heart": _heart(),
    "hexagon": _regular(6),
}
