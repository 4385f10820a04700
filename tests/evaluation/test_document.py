"""JSON and CSV of an evaluation."""

import csv
import dataclasses
import io
import json
import math
from typing import Any

import pytest

from detr_attnviz.evaluation.document import as_document, heads_csv, means_csv, queries_csv
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.summary import summarise
from tests.evaluation.fakes import evaluation_of, query_result


def evaluation() -> Evaluation:
    pictures = [
        [query_result({"raw": [4, 2, 0], "raw:max": [4, 3, 0]}, heads=(-1.0, 0.0), query=number)] for number in range(3)
    ]
    return evaluation_of(pictures, failures=(("bad.jpg", "not a picture"),))


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_document_holds_everything_and_is_json() -> None:
    found = evaluation()
    document = as_document(found, summarise(found))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["pictures"], document["pictures_with_queries"], document["queries"]) == (4, 3, 3)
    assert document["failures"] == [{"picture": "bad.jpg", "error": "not a picture"}]
    assert document["settings"]["methods"] == ["raw", "raw:max"]
    score = document["scores"][0]
    assert (score["map"], score["measure"], score["value"], score["is_best"]) == (
        "raw",
        "kept",
        0.5,
        False,
    )  # too few pictures
    curve = document["curves"][0]
    assert (curve["shares"], curve["values"]) == ([0, 0.5, 1], [4, 2, 0])
    assert document["heads"][0]["logit_value"] == -1


def test_numbers_that_are_not_finite_become_null_and_empty() -> None:
    found = evaluation_of([[query_result({"raw": [math.nan, 0, 0]})]], methods="raw")
    summary = summarise(found)
    assert as_document(found, summary)["scores"][0]["value"] is None
    assert rows_of(means_csv(found, summary))[0]["value"] == ""


def test_means_have_a_row_for_every_number() -> None:
    found = evaluation()
    rows = rows_of(means_csv(found, summarise(found)))
    curve = [
        float(row["value"])
        for row in rows
        if (row["map"], row["measure"], row["quantity"], row["direction"], row["baseline"])
        == ("raw:max", "curve", "iou", "insertion", "blurred")
    ]
    assert curve == [4, 3, 0]
    assert [row["share"] for row in rows[:2]] == ["", ""]
    chance = [row for row in rows if row["map"] == "equal everywhere"]
    assert [row["measure"] for row in chance] == ["energy", "pointing", "pointing_near"]
    assert {row["is_control"] for row in chance} == {"True"}


def test_queries_have_a_row_for_every_map() -> None:
    rows = rows_of(queries_csv(evaluation()))
    assert [(row["picture"], row["query"], row["map"]) for row in rows[:3]] == [
        ("0.png", "0", "raw"),
        ("0.png", "0", "raw:max"),
        ("1.png", "1", "raw"),
    ]
    assert float(rows[1]["area_logit_deletion_mean-filled"]) == (3.5 + 1.5) / 2
    assert (rows[0]["undisturbed_logit"], rows[0]["removed_logit_blurred"]) == ("4.0", "0.0")
    assert (rows[0]["chance_energy"], rows[0]["sanity"]) == ("0.25", "0.1")


def test_heads_have_a_row_each() -> None:
    rows = rows_of(heads_csv(summarise(evaluation())))
    assert [(row["site"], row["layer"], row["head"], float(row["logit_value"])) for row in rows] == [
        ("decoder.0.cross", "0", "0", -1),
        ("decoder.0.cross", "0", "1", 0),
    ]


def test_tables_without_rows_have_a_head() -> None:
    nothing = evaluation_of([[]])
    summary = summarise(nothing)
    assert queries_csv(nothing) == b"picture,query\n"
    assert heads_csv(summary) == b"site,head\n"
    assert means_csv(nothing, summary).startswith(b"map,is_control,measure,")


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-2", "'-2"),
        (" @sum", "' @sum"),
        ("cat = dog", "cat = dog"),
        ("a\x1b\n\ud800", "a\\x1b\\n\\ud800"),
    ],
)
def test_a_name_is_one_line_and_no_formula_in_a_spreadsheet(name: str, cell: str) -> None:
    found = evaluation_of(
        [[dataclasses.replace(query_result({"raw": [4, 2, 0]}), name=name, score=-0.5)]], methods="raw"
    )
    (row,) = rows_of(queries_csv(found))
    assert (row["name"], row["score"]) == (cell, "-0.5")
