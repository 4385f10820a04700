"""The list of what numbers and colours are."""

import dataclasses

import pytest

from detr_attnviz.drawing.prints.legend import Entry, legend
from detr_attnviz.drawing.prints.palette import marks
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from tests.drawing.prints.sheets import cut_off, overlapping, words_of

NAMES = ["cat", "traffic light", "dog", "person", "hair drier"]


def entries(names: list[str]) -> list[Entry]:
    return [Entry(mark, name, " 0.98") for mark, name in zip(marks(len(names)), names, strict=True)]


def test_wide_sheet_has_more_columns_than_a_narrow_one() -> None:
    columns = [legend(entries(NAMES), width, PrintOptions()).columns for width in (175, 85, 30)]
    assert columns == [5, 3, 1]


@pytest.mark.parametrize("width", [30, 85, 175])
@pytest.mark.parametrize("names", [NAMES, ["x" * 90], ["x" * 90, *NAMES], ["汉字", r"$a^b$\frac", "שלום", ""]])
def test_words_stay_within_the_width_and_off_each_other(width: float, names: list[str]) -> None:
    found = legend(entries(names), width, PrintOptions())
    figure = new_sheet(width, found.height_mm, PrintOptions())
    found.put(sheet_axes(figure), 0, 0)
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert sum(one.text.endswith("0.98") for one in words_of(figure)) == len(names)


def test_one_long_name_is_given_the_whole_width() -> None:
    found = legend(entries(["a class with a very long name"]), 85, PrintOptions())
    figure = new_sheet(85, found.height_mm, PrintOptions())
    found.put(sheet_axes(figure), 0, 0)
    assert "a class with a very long name 0.98" in [one.text for one in words_of(figure)]


def test_ordinary_names_are_whole_in_fewer_columns() -> None:
    names = ["baseball glove", "a household appliance or so", "cat", "dog", "person"]
    found = legend(entries(names), 85, PrintOptions())
    figure = new_sheet(85, found.height_mm, PrintOptions())
    found.put(sheet_axes(figure), 0, 0)
    assert {f"{name} 0.98" for name in names} <= {one.text for one in words_of(figure)}


def test_one_column_where_no_more_are_wanted() -> None:
    assert legend(entries(NAMES), 175, PrintOptions(), most_columns=1).columns == 1


@pytest.mark.parametrize("width", [30, 85])
def test_quiet_lines_stand_under_names(width: float) -> None:
    noted = [dataclasses.replace(one, note="zero everywhere") for one in entries(NAMES)]
    found = legend(noted, width, PrintOptions())
    figure = new_sheet(width, found.height_mm, PrintOptions())
    found.put(sheet_axes(figure), 0, 0)
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert sum(one.text == "zero everywhere" for one in words_of(figure)) == len(NAMES)
    assert found.height_mm > legend(entries(NAMES), width, PrintOptions()).height_mm
