"""Dots: their area and their middle are exact, at any size and place."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detr_attnviz.drawing.dots import Dot, coverage, draw_dots

RED = (255, 0, 0)


@given(radius=st.floats(0.05, 12), x=st.floats(20, 30), y=st.floats(20, 30))
def test_coverage_sums_to_the_discs_area(radius: float, x: float, y: float) -> None:
    share = coverage(Dot(x, y, radius, RED), 0, 0, 50, 50)
    assert share.max() <= 1
    assert float(share.sum()) == pytest.approx(math.pi * radius**2, rel=0.05 if radius > 1.5 else 0.25)


@pytest.mark.parametrize("radius", [0.2, 0.7, 1.5, 4.0, 9.0])
def test_area_is_exact_over_all_places(radius: float) -> None:
    steps = np.arange(0, 1, 0.125)
    areas = [coverage(Dot(20 + x, 20 + y, radius, RED), 0, 0, 40, 40).sum() for x in steps for y in steps]
    assert float(np.mean(areas)) == pytest.approx(math.pi * radius**2, rel=1e-2)


@given(radius=st.floats(0.6, 9), x=st.floats(15, 25), y=st.floats(15, 25))
def test_middle_is_where_it_was_asked_for(radius: float, x: float, y: float) -> None:
    share = coverage(Dot(x, y, radius, RED), 0, 0, 40, 40)
    middles = np.arange(40) + 0.5
    assert float((share.sum(axis=0) * middles).sum() / share.sum()) == pytest.approx(x, abs=0.2)
    assert float((share.sum(axis=1) * middles).sum() / share.sum()) == pytest.approx(y, abs=0.2)


def test_a_dot_has_its_colour_inside_and_a_dark_rim() -> None:
    picture = Image.new("RGB", (40, 40), "white")
    draw_dots(picture, [Dot(20, 20, 8, RED)], rim_px=1.5)
    assert picture.getpixel((19, 19)) == RED
    red, green, blue = np.asarray(picture)[20, 28].tolist()
    assert max(red, green, blue) < 60
    assert picture.getpixel((31, 20)) == (255, 255, 255)


def test_rims_of_small_dots_are_thin() -> None:
    grounds = [Image.new("RGB", (20, 20), "white") for _ in range(2)]
    for ground, rim_px in zip(grounds, (0.5, 3.0), strict=True):
        draw_dots(ground, [Dot(10, 10, 2, RED)], rim_px=rim_px)
    assert grounds[0].tobytes() == grounds[1].tobytes()


def test_later_dots_lie_on_earlier_ones() -> None:
    picture = Image.new("RGB", (40, 40))
    draw_dots(picture, [Dot(20, 20, 9, RED), Dot(20, 20, 3, (0, 255, 0))])
    assert picture.getpixel((20, 20)) == (0, 255, 0)
    assert picture.getpixel((20, 27)) == RED


@pytest.mark.parametrize("place", [(0, 0), (39.5, 20), (20, 40), (-3, 10)])
def test_dots_are_cut_off_at_the_edge(place: tuple[float, float]) -> None:
    picture, larger = Image.new("RGB", (40, 40)), Image.new("RGB", (80, 80))
    draw_dots(picture, [Dot(*place, 6, RED)])
    draw_dots(larger, [Dot(place[0] + 20, place[1] + 20, 6, RED)])
    assert picture.tobytes() == larger.crop((20, 20, 60, 60)).tobytes()


@pytest.mark.parametrize("place", [(-20, 5), (5, 60), (1e6, -1e6)])
def test_a_dot_outside_changes_nothing(place: tuple[float, float]) -> None:
    picture = Image.new("RGB", (40, 40), "white")
    draw_dots(picture, [Dot(*place, 6, RED)])
    assert picture.tobytes() == Image.new("RGB", (40, 40), "white").tobytes()
