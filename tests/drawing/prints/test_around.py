"""Maps around a picture and the lines to their places."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from detr_attnviz.drawing.prints.around import TALLEST_MM, Place, assigned, surround
from detr_attnviz.drawing.prints.marks import Box

ASPECTS = (0.3, 0.66, 1.0, 1.4, 3.0)


def overlap(one: Box, other: Box) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 1e-6 and down > 1e-6


def side_of(point: Place, start: Place, end: Place) -> float:
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])


def cross_each_other(one: tuple[Place, Place], other: tuple[Place, Place]) -> bool:
    return (
        side_of(one[0], *other) * side_of(one[1], *other) < 0 and side_of(other[0], *one) * side_of(other[1], *one) < 0
    )


@pytest.mark.parametrize("width", [30, 85, 175, 400])
@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", range(1, 9))
def test_nothing_lies_on_anything_else_or_off_the_sheet(count: int, aspect: float, width: float) -> None:
    label = 4.0
    found = surround(count, aspect, width, label)
    boxes = [found.picture]
    for slot in found.slots:
        left, top, right, bottom = slot.box
        boxes.append((left, top - label, right, bottom) if slot.side == "above" else (left, top, right, bottom + label))
    assert len(boxes) == count + 1
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    assert found.size[0] == width
    for left, top, right, bottom in boxes:
        assert -1e-6 <= left < right <= width + 1e-6
        assert -1e-6 <= top < bottom <= found.size[1] + 1e-6


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("count", range(1, 9))
def test_picture_and_maps_have_the_shape_of_the_picture(count: int, aspect: float) -> None:
    found = surround(count, aspect, 175, 4)
    for left, top, right, bottom in [found.picture, *(slot.box for slot in found.slots)]:
        assert (bottom - top) / (right - left) == pytest.approx(aspect)
    assert found.size[1] <= TALLEST_MM + 2 * 4


def test_few_maps_stand_beside_the_picture_and_many_on_a_narrow_sheet_above_and_below() -> None:
    assert {slot.side for slot in surround(4, 0.75, 175, 4).slots} == {"left", "right"}
    assert {slot.side for slot in surround(8, 0.75, 85, 4).slots} == {"above", "below"}


def test_maps_do_not_shrink_to_stamps() -> None:
    assert surround(4, 0.75, 175, 4).map_mm > 35
    assert surround(4, 0.75, 85, 4).map_mm > 30
    assert surround(8, 0.75, 175, 4).map_mm > 35


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [2, 5, 8])
def test_lines_never_cross(count: int, seed: int) -> None:
    found = surround(count, 0.75, (85, 175)[seed % 2], 4)
    left, top, right, bottom = found.picture
    places = np.random.default_rng(seed).uniform((left, top), (right, bottom), (count, 2)).tolist()
    anchors = [slot.anchor for slot in found.slots]
    own = assigned([(x, y) for x, y in places], anchors)
    assert sorted(own) == list(range(count))
    lines = [(anchors[number], (x, y)) for number, (x, y) in zip(own, places, strict=True)]
    assert not [pair for pair in combinations(lines, 2) if cross_each_other(*pair)]


def test_lines_begin_between_map_and_picture_so_that_they_cover_no_map() -> None:
    for width in (85, 175):
        found = surround(6, 0.75, width, 4)
        left, top, right, bottom = found.picture
        for slot in found.slots:
            x, y = slot.anchor
            gap = {"left": left - x, "right": x - right, "above": top - y, "below": y - bottom}[slot.side]
            assert gap > 1


def test_shortest_lines_by_hand() -> None:
    assert assigned([(9, 0), (1, 0)], [(0, 0), (10, 0)]) == (1, 0)
    assert assigned([(5, 5)], [(0, 0)]) == (0,)


def test_columns_of_maps_are_even() -> None:
    tops = sorted({slot.box[1] for slot in surround(8, 1.4, 175, 4).slots})
    steps = [after - before for before, after in pairwise(tops)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_sheet_wider_than_a_page_is_filled_alike() -> None:
    page, poster = surround(4, 0.75, 175, 4), surround(4, 0.75, 400, 4)
    assert poster.map_mm / page.map_mm > 400 / 175 * 0.9
    assert poster.picture[2] - poster.picture[0] > (page.picture[2] - page.picture[0]) * 2


@pytest.mark.parametrize("aspect", [100, 10_000])
@pytest.mark.parametrize("count", range(1, 9))
def test_a_picture_of_one_column_is_no_higher_than_a_page(count: int, aspect: float) -> None:
    found = surround(count, aspect, 175, 4.0)
    assert found.size[1] < 1.25 * TALLEST_MM  # maps in a column, each with its words
    assert found.map_mm > 0
