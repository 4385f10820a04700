"""Numbers as tables of words."""

import math

from detr_attnviz.evaluation.bootstrap import FEWEST_PICTURES, Estimate
from detr_attnviz.evaluation.results import QueryResult
from detr_attnviz.evaluation.summary import summarise
from detr_attnviz.evaluation.tables import EVERYWHERE, Table, signed, tables, written
from tests.evaluation.fakes import evaluation_of, query_result


def query() -> QueryResult:
    curves = {"raw": [1, 0.2, 0], "random": [1, 0.5, 0], "shuffled weights": [1, 0.4, 0]}
    return query_result({**curves, "raw:max": [1, 0.6, 0]}, heads=(-1.0, 0.0))


def tables_of(pictures: int, *, has_controls: bool = True) -> dict[str, Table]:
    summary = summarise(evaluation_of([[query()]] * pictures, has_controls=has_controls))
    return {table.title: table for table in tables(summary)}


def test_numbers_in_words() -> None:
    assert written(Estimate(0.31234, 0.0041)) == "0.312 ±0.004"
    assert written(Estimate(-0.5)) == "−0.500"
    assert written(Estimate(math.nan, 1.0)) == "–"
    assert signed(-0.0001) == "0.000"


def test_tables_of_many_pictures_mark_the_best() -> None:
    table = tables_of(FEWEST_PICTURES)["Class logit"]
    assert table.columns == (
        "deletion ↓ blurred",
        "deletion ↓ mean-filled",
        "insertion ↑ blurred",
        "insertion ↑ mean-filled",
    )
    assert [(row.name, row.is_control) for row in table.rows] == [
        ("raw", False),
        ("raw:max", False),
        ("random", True),
        ("shuffled weights", True),
    ]
    assert [[cell.is_marked for cell in row.cells] for row in table.rows] == [
        [True, True, False, False],
        [False, False, True, True],
        [False] * 4,
        [False] * 4,
    ]
    assert table.rows[0].cells[0].text == "0.350 ±0.000"
    assert "Marked: the best method" in table.note


def test_tables_of_few_pictures_mark_nothing() -> None:
    found = tables_of(FEWEST_PICTURES - 1)
    assert not any(cell.is_marked for table in found.values() for row in table.rows for cell in row.cells)
    assert not any("Bold" in table.note for table in found.values())


def test_one_picture_has_no_standard_error() -> None:
    assert tables_of(1)["Box"].rows[0].cells[0].text == "0.350"


def test_chance_is_a_row_of_the_places() -> None:
    row = tables_of(3)["Place"].rows[-1]
    assert (row.name, row.is_control, row.cells[0].text) == (EVERYWHERE, True, "0.250 ±0.000")


def test_sanity_needs_controls() -> None:
    assert tables_of(3)["Sanity"].columns == ("empty maps", "like shuffled model")
    assert [cell.text for cell in tables_of(3)["Sanity"].rows[2].cells] == ["0.000 ±0.000", ""]
    assert tables_of(3, has_controls=False)["Sanity"].columns == ("empty maps",)


def test_heads_that_matter_are_marked() -> None:
    summary = summarise(evaluation_of([[query()]] * FEWEST_PICTURES))
    logit, iou = tables(summary)[-2:]
    assert logit.title == "Heads of decoder cross-attention: change of the class logit"
    assert (logit.corner, logit.columns, logit.rows[0].name) == ("site", ("0", "1"), "decoder.0.cross")
    assert [(cell.text, cell.is_marked) for cell in logit.rows[0].cells] == [("−1.000", True), ("0.000", False)]
    assert iou.rows[0].cells[0].text == "−0.100"


def test_nothing_to_show() -> None:
    assert tables(summarise(evaluation_of([[]]))) == ()
