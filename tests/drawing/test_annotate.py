"""Boxes, points and labels stay inside the picture and can be seen on any background."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detr_attnviz.drawing import annotate

places = st.floats(-500, 800, allow_nan=False)


def changed(image: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The smallest (left, top, right, bottom) around all pixels that are no longer of ``color``."""
    rows, cols = np.nonzero((np.asarray(image) != color).any(axis=2))
    return int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (128, 128, 128)])
def test_box_is_seen_on_any_background(background: tuple[int, int, int]) -> None:
    image = Image.new("RGB", (320, 240), background)
    annotate.draw_box(image, (100, 80, 200, 160))
    assert np.abs(np.asarray(image).astype(int) - background).max() >= 100


def test_box_covers_its_outline_and_leaves_its_inside() -> None:
    image = Image.new("RGB", (320, 240))
    annotate.draw_box(image, (100, 80, 200, 160), (255, 0, 0))
    assert changed(image, (0, 0, 0))[:2] <= (102, 82)
    assert image.getpixel((150, 120)) == (0, 0, 0)


def test_box_outside_on_one_side_runs_along_the_edge() -> None:
    image = Image.new("RGB", (320, 240), (9, 9, 9))
    annotate.draw_box(image, (-50, 80, 200, 160), annotate.WHITE)
    assert changed(image, (9, 9, 9)) == (0, 80, 200, 160)
    assert (np.asarray(image)[100:140, :6] == 255).any()


@pytest.mark.parametrize("box", [(math.nan, 0, 1, 1), (0, 0, math.inf, 1), (-9, -9, -1, -1), (400, 0, 500, 10)])
def test_box_that_is_no_place_in_the_picture_is_not_drawn(box: tuple[float, float, float, float]) -> None:
    image = Image.new("RGB", (320, 240))
    annotate.draw_box(image, box)
    assert image.getbbox() is None


@given(left=places, top=places, right=places, bottom=places, width=st.integers(1, 300), height=st.integers(1, 300))
def test_any_box_on_any_picture_can_be_drawn(
    left: float, top: float, right: float, bottom: float, width: int, height: int
) -> None:
    image = Image.new("RGB", (width, height))
    annotate.draw_box(image, (left, top, right, bottom), opacity=0.5)
    place = annotate.visible_box((left, top, right, bottom), image.size)
    if place is not None:
        assert 0 <= place[0] < place[2] <= width
        assert 0 <= place[1] < place[3] <= height


def test_point_leaves_its_middle_free() -> None:
    image = Image.new("RGB", (320, 240), (90, 90, 90))
    annotate.draw_point(image, (100, 100))
    assert image.getpixel((100, 100)) == (90, 90, 90)
    assert {(255, 255, 255), (20, 20, 20)} <= {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


@pytest.mark.parametrize("point", [(0, 0), (319.9, 239.9), (-50, 400)])
def test_point_at_the_edge_does_not_fail(point: tuple[float, float]) -> None:
    annotate.draw_point(Image.new("RGB", (320, 240)), point)


@pytest.mark.parametrize("size", [(150, 140), (320, 240), (240, 900)])
@pytest.mark.parametrize("box", [(0, 0, 20, 20), (300, 200, 330, 260), (-40, -40, 10, 10), (-9, -9, 999, 999)])
def test_label_lies_inside_the_picture(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    image = Image.new("RGB", size, (200, 200, 200))
    place = annotate.draw_label(image, "15 · 7.1 %", box, (), (255, 160, 0))
    is_seen = annotate.visible_box(box, size) is not None
    assert (place is not None) == is_seen
    if place is not None:
        assert 0 <= place[0] < place[2] <= size[0]
        assert 0 <= place[1] < place[3] <= size[1]
        left, top, right, bottom = changed(image, (200, 200, 200))
        assert place[0] <= left < right <= place[2]
        assert place[1] <= top < bottom <= place[3]
        assert (np.asarray(image) == (255, 160, 0)).all(axis=2).any()  # its edge has the box's colour


def test_label_stands_outside_its_box_where_there_is_room() -> None:
    place = annotate.draw_label(Image.new("RGB", (400, 300)), "15 · 7.1 %", (100, 100, 200, 200), ())
    assert place is not None
    assert (place[0], place[3]) == (100, 100)


def test_no_label_on_a_picture_too_small_for_text() -> None:
    image = Image.new("RGB", (6, 4))
    assert annotate.draw_label(image, "cat", (0, 0, 3, 3), ()) is None
    assert image.getbbox() is None


def test_labels_are_left_out_rather_than_laid_over_each_other() -> None:
    image = Image.new("RGB", (400, 300))
    taken: list[tuple[float, float, float, float]] = []
    for number in range(20):
        before = image.tobytes()
        place = annotate.draw_label(image, f"{number} · 7.1 %", (100, 100, 200, 200), taken)
        if place is None:
            assert image.tobytes() == before
            continue
        for other in taken:
            assert place[2] <= other[0] or other[2] <= place[0] or place[3] <= other[1] or other[3] <= place[1]
        taken.append(place)
    assert 6 <= len(taken) < 20


def test_marks_grow_with_the_picture() -> None:
    assert annotate.line_px((32, 24)) == 1
    assert annotate.line_px((640, 480)) == 2
    assert annotate.line_px((6000, 3500)) >= 14
    assert annotate.text_px((6000, 3500)) > 5 * annotate.text_px((640, 480))
