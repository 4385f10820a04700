"""JSON on stdout."""

import json
import math

import pytest

from detr_attnviz.cli.json_output import print_json


def test_what_is_not_finite_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [math.nan, 1.5, (math.inf,)], "b": {"c": -math.inf}, "d": "NaN", "e": None})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, [None]], "b": {"c": None}, "d": "NaN", "e": None}
