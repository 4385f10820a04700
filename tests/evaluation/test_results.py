"""Results there and back."""

import json
from dataclasses import replace

import numpy as np
import pytest

from detr_attnviz.evaluation.choice import parse_methods
from detr_attnviz.evaluation.results import PictureResult
from detr_attnviz.evaluation.settings import EvaluationSettings
from tests.evaluation.fakes import query_result


def test_a_picture_as_json_and_back_to_the_bit() -> None:
    values = np.random.default_rng(0).normal(size=3).tolist()
    query = query_result({"raw": values, "random": [1.0, 0.0, 0.1 + 0.2]}, heads=(1 / 3, -0.1))
    result = PictureResult("a.png", "ab", (query,), 12)
    back = PictureResult.from_row(json.loads(json.dumps(result.as_row())))
    assert json.dumps(back.as_row()) == json.dumps(result.as_row())
    assert (back.queries[0].maps["raw"].curves == query.maps["raw"].curves).all()
    assert (back.queries[0].heads["decoder.0.cross"] == query.heads["decoder.0.cross"]).all()
    assert back.queries[0].maps["random"].sanity is None
    assert back.queries[0].box == (0.0, 0.0, 4.0, 4.0)


def test_results_fit_settings_that_ask_for_as_much() -> None:
    result = PictureResult("a.png", "ab", (query_result({"raw": [1.0, 0.5, 0.0]}),), 12)
    settings = EvaluationSettings(parse_methods("raw"), has_controls=False, shares=(0.5,))
    assert result.fits(settings)
    assert not result.fits(replace(settings, shares=(0.2, 0.5)))
    assert not result.fits(replace(settings, has_controls=True))
    assert PictureResult("a.png", "ab", (), 12).fits(settings)


@pytest.mark.parametrize("heads", [[1.0], [[1.0]], []])
def test_heads_of_another_form_are_refused(heads: list[object]) -> None:
    row = PictureResult("a.png", "ab", (query_result({"raw": [1.0, 0.0]}),), 12).as_row()
    row["queries"][0]["heads"] = {"decoder.0.cross": heads}
    with pytest.raises(ValueError, match="other quantities"):
        PictureResult.from_row(row)
