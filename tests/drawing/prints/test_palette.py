"""Colours of objects, as they are, as people without one kind of cones see them, and in grey.

Simulation: Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision
deficiency", the matrices for severity 1, on linear RGB. Distances are those of OKLab (Ottosson 2020), 100 from black
to white, where about 2 are just seen; lightness is CIE L*.
"""

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from detr_attnviz.drawing.colormap import color_at
from detr_attnviz.drawing.prints.palette import COLORS, FAR_APART, Mark, linear, luminance, marks

VISIONS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(100 * np.cbrt(np.clip(light, 0, 1) @ _TO_CONES.T) @ _TO_LAB.T)


def least_distance(count: int, vision: str) -> float:
    light = np.array([[linear(part / 255) for part in color] for color in COLORS[:count]])
    seen = oklab(light @ VISIONS[vision].T)
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2))


def lightness(color: tuple[int, int, int]) -> float:
    return 116 * float(np.cbrt(luminance(color))) - 16


def test_white_is_a_hundred_from_black() -> None:
    assert oklab(np.ones((1, 3)))[0] == pytest.approx([100, 0, 0], abs=0.01)
    assert lightness((255, 255, 255)) == pytest.approx(100)


@pytest.mark.parametrize("vision", VISIONS)
def test_first_six_are_far_apart_for_any_vision(vision: str) -> None:
    assert least_distance(FAR_APART, vision) > 13


@pytest.mark.parametrize("vision", VISIONS)
def test_all_twelve_can_be_told_apart_by_any_vision(vision: str) -> None:
    assert least_distance(len(COLORS), vision) > 5


def test_first_six_differ_in_grey_print() -> None:
    grey = sorted(lightness(color) for color in COLORS[:FAR_APART])
    assert min(after - before for before, after in pairwise(grey)) > 6


def test_colors_are_darker_than_the_ground_and_not_black() -> None:
    assert all(20 < lightness(color) < 74 for color in COLORS)


def test_what_colors_cannot_tell_dashes_and_numbers_do() -> None:
    found = marks(len(COLORS))
    assert [mark.number for mark in found] == list(range(1, len(COLORS) + 1))
    assert not any(mark.dashes for mark in found[:FAR_APART])
    assert all(mark.dashes for mark in found[FAR_APART:])


@pytest.mark.parametrize("color", COLORS)
def test_number_is_read_on_its_plate(color: tuple[int, int, int]) -> None:
    ink = 1.0 if Mark(1, color).ink == "#ffffff" else 0.0
    dark, light = sorted((luminance(color), ink))
    assert (light + 0.05) / (dark + 0.05) > 3.0  # WCAG 2.2, large letters


def test_colors_of_a_colour_map_are_spread_over_it() -> None:
    found = [mark.color for mark in marks(3, "viridis")]
    assert found == [color_at("viridis", level) for level in (24, 128, 232)]
    assert marks(1, "viridis")[0].color == color_at("viridis", 24)


def test_more_than_twelve_begin_again() -> None:
    assert marks(13)[12].color == COLORS[0]
    assert marks(1)[0].hex == "#004bb4"
