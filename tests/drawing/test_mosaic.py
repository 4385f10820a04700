"""A sheet is planned before it is drawn: nothing is clipped, nothing overlaps, its size is bounded."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detr_attnviz.drawing import mosaic
from detr_attnviz.drawing.captions import Caption
from detr_attnviz.drawing.legend import DotKey
from detr_attnviz.drawing.text import clean
from tests.drawing.scenes import AWKWARD_NAMES

Rect = tuple[float, float, float, float]

BAR = mosaic.Legend("0", "3.1 %", "of attention per cell")


def planned(
    count: int, size: tuple[int, int] = (640, 480), longest: int = 400, names: tuple[str, ...] = ("cat",)
) -> mosaic.Layout:
    captions = [
        Caption(names[index % len(names)], " 0.98", (f"query {index} · box 12, 34 – 200, 300", "0 – 3.1 % of it"))
        for index in range(count)
    ]

    def picture_size(longest_px: int) -> tuple[int, int]:
        scale = longest_px / max(size)
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    return mosaic.plan(captions, ["A title", "and " + "more words " * 30], BAR, picture_size, longest, 4000)


def is_inside(inner: Rect, outer: Rect) -> bool:
    return outer[0] - 1 <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] + 1 and inner[3] <= outer[3]


def overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (10, 2000), (2000, 10)])
@pytest.mark.parametrize("count", [1, 2, 5, 13, 40, 100])
def test_texts_lie_in_their_places_and_pictures_on_the_sheet(count: int, size: tuple[int, int]) -> None:
    layout = planned(count, size, names=AWKWARD_NAMES)
    sheet = (0, 0, *layout.size)
    pictures = [(x, y, x + layout.picture_size[0], y + layout.picture_size[1]) for x, y in layout.corners]
    assert len(pictures) == count
    assert all(is_inside(picture, sheet) for picture in pictures)
    for line in layout.lines:
        assert is_inside(line.rect, line.limits), line.text
        assert is_inside(line.limits, sheet), line.text
    places: list[Rect] = [*pictures, *(line.rect for line in layout.lines)]
    assert not any(overlap(one, other) for one, other in itertools.combinations(places, 2))


@pytest.mark.parametrize("count", [1, 2, 5, 13, 40, 100])
def test_sheet_is_bounded_and_panels_shrink_for_it(count: int) -> None:
    assert max(planned(count, longest=900).size) <= 4000


@given(count=st.integers(1, 120), width=st.integers(50, 900), height=st.integers(50, 900))
def test_columns_leave_no_empty_row_or_column(count: int, width: int, height: int) -> None:
    cols = mosaic.columns_for(count, (width, height))
    rows = -(-count // cols)
    assert 1 <= cols <= count
    assert (rows - 1) * cols < count <= rows * cols


@pytest.mark.parametrize(("count", "cols"), [(1, 1), (2, 2), (4, 2), (6, 3), (9, 3), (12, 4)])
def test_columns_of_photographs(count: int, cols: int) -> None:
    assert mosaic.columns_for(count, (400, 370)) == cols


def test_columns_can_be_chosen() -> None:
    layout = mosaic.plan([Caption("a")] * 6, ["t"], BAR, lambda longest: (longest, longest), 200, 4000, columns=2)
    assert len({x for x, _ in layout.corners}) == 2
    assert len({y for _, y in layout.corners}) == 3


def test_words_above_a_row_stand_over_all_its_panels() -> None:
    captions = [Caption("a", above="one"), Caption("b"), Caption("c", above="two " * 90), Caption("d")]
    layout = mosaic.plan(captions, ["t"], BAR, lambda longest: (longest, longest), 200, 4000, columns=2)
    above = {line.text.split(" ")[0]: line for line in layout.lines}
    assert layout.corners[0][1] == layout.corners[1][1] > above["one"].limits[3]
    assert layout.corners[2][1] == layout.corners[3][1] > above["two"].limits[3]
    assert above["two"].rect[2] <= layout.size[0]
    assert not any(overlap(above["two"].rect, line.rect) for line in layout.lines if line is not above["two"])


def test_zero_is_marked_in_the_middle_of_a_signed_bar() -> None:
    legend = mosaic.Legend("−2", "2", is_signed=True)
    layout = mosaic.plan([Caption("a")], ["t"], legend, lambda px: (px, px), 300, 4000)
    assert layout.bar is not None
    ((_, (left, top, right, bottom)),) = layout.strokes
    assert left + right == pytest.approx(layout.bar[0] + layout.bar[2], abs=1)
    assert top < layout.bar[1]
    assert bottom > layout.bar[3]


def test_score_is_never_cut_off() -> None:
    layout = planned(2, (10, 2000), names=("x" * 200,))
    titles = [line.text for line in layout.lines if line.bold][1:]
    assert len(titles) == 2
    assert all(title.endswith("… 0.98") for title in titles)


def test_captions_of_awkward_names_are_clean() -> None:
    texts = [line.text for line in planned(10, names=AWKWARD_NAMES).lines]
    assert all(text.strip() == clean(text) for text in texts if "…" not in text)


def test_legend_of_lines_has_a_stroke_for_each() -> None:
    keys = (((255, 0, 0), "25 %"), ((0, 255, 0), "50 %"))
    layout = mosaic.plan(
        [Caption("a")], ["t"], mosaic.Legend(words="inside", keys=keys), lambda px: (px, px), 300, 4000
    )
    assert layout.bar is None
    assert [color for color, _ in layout.strokes] == [(255, 0, 0), (0, 255, 0)]
    assert {"25 %", "50 %", "inside"} <= {line.text for line in layout.lines}


@pytest.mark.parametrize(("count", "longest"), [(1, 240), (1, 960), (4, 400), (9, 120)])
def test_dots_of_a_legend_stand_on_the_sheet_beside_their_names(count: int, longest: int) -> None:
    keys = tuple(DotKey((255, 0, 0), None, f"level {level} · stride {8 << level}") for level in range(5))
    sizes = tuple(DotKey((0, 255, 0), radius, f"{radius:.0%}") for radius in (0.05, 0.02, 0.001))
    legend = mosaic.Legend(words="of its attention " * 6, dots=(keys, sizes))
    captions = [Caption("a")] * count
    layout = mosaic.plan(captions, ["t"], legend, lambda px: (px, px * 3 // 4), longest, 4000)
    assert len(layout.dots) == 8
    round_ones = [
        (dot.x - dot.radius, dot.y - dot.radius, dot.x + dot.radius, dot.y + dot.radius) for dot in layout.dots
    ]
    texts = [line.rect for line in layout.lines]
    pictures = [(x, y, x + layout.picture_size[0], y + layout.picture_size[1]) for x, y in layout.corners]
    assert all(is_inside(place, (0, 0, *layout.size)) for place in [*round_ones, *texts])
    assert not any(overlap(*two) for two in itertools.combinations([*round_ones, *texts, *pictures], 2))
    for dot, key in zip(layout.dots, [*keys, *sizes], strict=True):
        name = next(line for line in layout.lines if line.text == key.name)
        assert 0 < name.rect[0] - dot.x - dot.radius < 20
        assert name.rect[1] - 3 < dot.y < name.rect[3] + 3
