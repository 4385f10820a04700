"""Panels on a sheet: how many stand in a row, and how large their pictures are."""

import pytest

from detr_attnviz.drawing.prints.panels import Group, Panel, columns, draw_panels
from detr_attnviz.drawing.prints.paper import TALLEST_MM, PrintOptions, size_mm
from tests.drawing.prints.sheets import words_of
from tests.drawing.scenes import cross, photo


def panel(title: str, size: tuple[int, int] = (64, 48)) -> Panel:
    return Panel(cross(1, photo(*size)), 0, title, below=(("name", " 0.50"),))


@pytest.mark.parametrize(
    ("count", "options", "expected"),
    [
        (6, PrintOptions(), 6),
        (6, PrintOptions(width="column"), 3),
        (7, PrintOptions(), 4),  # 4 + 3, not 6 + 1
        (4, PrintOptions(width="column"), 2),
        (1, PrintOptions(), 1),
        (6, PrintOptions(font_pt=14), 3),
        (3, PrintOptions(width=30), 1),
    ],
)
def test_rows_are_of_about_equal_length(count: int, options: PrintOptions, expected: int) -> None:
    assert columns(count, options) == expected


def test_a_group_begins_a_row_under_its_heading() -> None:
    groups = [Group((panel("one"), panel("two"))), Group((panel("three"),), heading="more")]
    found = {one.text: one for one in words_of(draw_panels(groups, [], PrintOptions(dpi=72)))}
    assert found["one"].top == pytest.approx(found["two"].top, abs=0.3)
    assert found["two"].bottom < found["more"].top < found["three"].top
    assert found["three"].left == pytest.approx(found["one"].left, abs=0.3)


def test_a_picture_keeps_its_proportions_and_the_sheet_its_page() -> None:
    figure = draw_panels([Group((panel("tall", (20, 200)), panel("too", (20, 200))))], [], PrintOptions())
    assert size_mm(figure)[1] == pytest.approx(TALLEST_MM, abs=1e-6)
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (bottom - top) / (right - left) == pytest.approx(10, rel=0.02)


def test_colours_lie_on_the_map_that_is_meant() -> None:
    maps = cross(2, photo()).maps
    found = cross(2, photo(), maps=maps)
    first, second = (draw_panels([Group((Panel(found, index, ""),))], [], PrintOptions(dpi=72)) for index in (0, 1))
    one, other = (figure.axes[0].images[0].get_array() for figure in (first, second))
    assert one is not None
    assert other is not None
    assert (one != other).any()
