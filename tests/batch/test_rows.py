"""Rows: plain data that says what a map is of and where it comes from."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detr_attnviz.batch.rows import json_line, row_of
from detr_attnviz.detections import Detection
from detr_attnviz.detector import Detector
from detr_attnviz.drawing.provenance import text_of
from detr_attnviz.explanation import Explanation
from detr_attnviz.methods.decompose import TERMS
from detr_attnviz.methods.request import Request
from tests.drawing.scenes import cross, sampled, terms
from tests.tiny import drawn_picture


def test_a_row_of_an_object_query(explanation: Explanation) -> None:
    row = row_of(explanation, 1)
    seen = explanation.detections[1]
    assert (row["query"], row["label"], row["name"], row["score"]) == (seen.index, seen.label, seen.name, seen.score)
    assert row["box"] == list(seen.box)
    assert row["peak"] == list(explanation.peak(1))
    assert (row["site"], row["layer"], row["head"], row["method"]) == ("decoder.1.cross", 1, "mean", "raw")
    assert (row["kind"], row["checkpoint"], row["settings"]["heads"]) == ("cross", "tiny", "4")
    assert json.loads(json.dumps(row)) == row


def test_a_row_of_an_encoder_point(detector: Detector) -> None:
    trace = detector.trace(drawn_picture(), shortest_px=64, longest_px=96)
    row = row_of(Request(kind="encoder", points=((10, 20),), direction="to").answer(trace), 0)
    assert row["point"] == [10, 20]
    assert (row["site"], row["direction"]) == ("encoder.0.self", "to")
    assert "query" not in row


def test_a_row_of_one_of_several_terms(detector: Detector) -> None:
    trace = detector.trace(drawn_picture(), shortest_px=64, longest_px=96)
    explanation = Request(method="decompose", queries=(4, 1), head=2).answer(trace)
    row = row_of(explanation, 5)
    assert (row["query"], row["term"], row["method"], row["quantity"]) == (1, TERMS[1], "decompose", "logit")
    assert row["share"] == explanation.shares[5]
    assert sum(row_of(explanation, index)["share"] for index in range(4)) == pytest.approx(1)
    text = text_of(explanation, 5)
    assert (text["term"], text["share"], text["head"]) == (TERMS[1], str(explanation.shares[5]), "2")
    at_point = row_of(Request(method="decompose", kind="encoder", points=((10, 20),)).answer(trace), 3)
    assert (at_point["point"], at_point["term"]) == ([10, 20], TERMS[3])


@pytest.mark.parametrize(
    ("request_", "layer", "head", "quantity"),
    [
        (Request(layer=0), 0, "mean", "attention"),
        (Request(layer=(1, 0), head="max"), [0, 1], "max", "attention"),
        (Request(method="rollout"), [0, 1], "", "rollout"),
        (Request(method="gradcam"), [], "", "feature × gradient"),
    ],
)
def test_layers_heads_and_quantity(detector: Detector, request_: Request, layer: Any, head: str, quantity: str) -> None:
    row = row_of(request_.answer(detector.trace(drawn_picture(), shortest_px=64, longest_px=96)), 0)
    assert (row["layer"], row["head"], row["quantity"]) == (layer, head, quantity)
    assert "term" not in row
    assert json.loads(json_line(row)) == row


def test_a_row_of_sampled_attention_says_level_and_rest() -> None:
    explanation = replace(sampled(2), level=1)
    row = row_of(explanation, 1)
    assert (row["level"], row["rest"], row["rest_where"]) == (1, explanation.rest[1], "outside the picture")
    assert json.loads(json_line(row)) == row
    text = text_of(explanation, 1)
    assert (text["level"], text["rest"], text["rest_where"]) == ("1", str(explanation.rest[1]), "outside the picture")
    assert "rest" not in text_of(explanation)


def test_a_row_of_a_chosen_term_says_it() -> None:
    row = row_of(replace(cross(1), term="spatial"), 0)
    assert row["term"] == "spatial"
    assert text_of(replace(cross(1), term="spatial"))["term"] == "spatial"
    assert row_of(terms(1), 1)["term"] == "content · position"


def test_rows_without_such_things_do_not_name_them() -> None:
    assert not {"term", "level", "rest", "rest_where"} & (row_of(cross(1), 0).keys() | text_of(cross(1), 0).keys())
    assert row_of(replace(cross(1), rest=(float("nan"),), rest_where="away"), 0)["rest"] is None


def test_numbers_that_are_none_are_null(explanation: Explanation) -> None:
    broken = Detection(3, float("nan"), 0, "cat", (0.0, float("inf"), 1.0, 1.0))
    maps = np.full_like(explanation.maps, np.nan)
    row = row_of(replace(explanation, detections=(broken,) * 3, maps=maps), 0)
    assert row["score"] is None
    assert row["peak"] is None
    assert row["box"] == [0.0, None, 1.0, 1.0]
    assert json.loads(json_line(row))["score"] is None


def test_a_map_that_is_the_same_everywhere_has_no_peak(explanation: Explanation) -> None:
    flat = replace(explanation, maps=np.zeros_like(explanation.maps))
    assert row_of(flat, 0)["peak"] is None
    assert text_of(flat, 0)["peak"] == "null"


def test_a_row_is_one_line_whatever_names_hold() -> None:
    row = {"name": "a\nb\r\u2028😀\udcff\0"}
    line = json_line(row)
    assert line.count(b"\n") == 1
    assert len(line.decode("ascii").splitlines()) == 1
    assert json.loads(line) == row


def test_pictures_carry_site_method_and_query(explanation: Explanation) -> None:
    text = text_of(explanation, 0)
    assert all(isinstance(value, str) for value in text.values())
    assert (text["site"], text["method"], text["head"]) == ("decoder.1.cross", "raw", "mean")
    assert text["query"] == str(explanation.detections[0].index)
    assert text["software"].startswith("detr_attnviz ")
    assert "query" not in text_of(explanation)
