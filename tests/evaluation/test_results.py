"""Results there and back."""

import json

import numpy as np

from detr_attnviz.evaluation.results import PictureResult
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
