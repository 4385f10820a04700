"""One picture through all of it, on the tiny detector."""

import numpy as np
import pytest

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.choice import comparable, parse_methods
from detr_attnviz.evaluation.picture import Examiner
from detr_attnviz.evaluation.results import PictureResult
from detr_attnviz.evaluation.settings import CONTROLS, EvaluationSettings
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import select
from tests.tiny import drawn_picture, tiny_detector

SETTINGS = EvaluationSettings(parse_methods("raw,raw:max"), shares=(0.5,), threshold=0.0)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return tiny_detector()


def row_of(examiner: Examiner) -> object:
    found = examiner.examine(drawn_picture())
    return PictureResult("a.png", "", found.queries, found.forwards).as_row()


def test_queries_are_the_selected_ones(detector: Detector) -> None:
    trace = detector.trace(drawn_picture())
    found = Examiner(detector, SETTINGS, 4).examine(drawn_picture())
    assert tuple(query.query for query in found.queries) == select(trace, threshold=0.0, top_k=2)
    assert found.queries[0].box == trace.detections[found.queries[0].query].box


def test_every_method_and_control_has_curves_from_the_undisturbed_to_the_removed(detector: Detector) -> None:
    every = EvaluationSettings(shares=(0.5,), threshold=0.0, top_k=1, heads=())
    (query,) = Examiner(detector, every, 4).examine(drawn_picture()).queries
    assert tuple(query.maps) == (*comparable(), *CONTROLS)
    trace = detector.trace(drawn_picture())
    logit = float(trace.logits[query.query, query.label])
    for name, one in query.maps.items():
        assert one.curves.shape == (2, 2, 3, 3), name
        np.testing.assert_allclose(one.curves[:, 0, 0], [[logit, 1, query.score]] * 2, rtol=1e-6, err_msg=name)
        np.testing.assert_array_equal(one.curves[:, 0, 0], one.curves[:, 1, 2], err_msg=name)
        np.testing.assert_array_equal(one.curves[:, 0, 2], one.curves[:, 1, 0], err_msg=name)


def test_shuffled_weights_are_unlike_the_model_and_a_method_is_held_against_them(detector: Detector) -> None:
    (query, _) = Examiner(detector, SETTINGS, 4).examine(drawn_picture()).queries
    assert query.maps["raw"].sanity is not None
    assert abs(query.maps["raw"].sanity) < 0.99
    assert query.maps["random"].sanity is None


def test_the_same_again_to_the_bit(detector: Detector) -> None:
    assert row_of(Examiner(detector, SETTINGS, 4)) == row_of(Examiner(tiny_detector(), SETTINGS, 4))


def test_a_seed_changes_the_controls_alone(detector: Detector) -> None:
    settings = EvaluationSettings(parse_methods("raw"), shares=(0.5,), threshold=0.0, seed=1)
    one = Examiner(detector, SETTINGS, 4).examine(drawn_picture()).queries[0]
    other = Examiner(detector, settings, 4).examine(drawn_picture()).queries[0]
    assert (one.maps["raw"].curves == other.maps["raw"].curves).all()
    assert (one.maps["random"].curves != other.maps["random"].curves).any()


def test_controls_change_nothing_for_methods(detector: Detector) -> None:
    settings = EvaluationSettings(parse_methods("raw"), has_controls=False, shares=(0.5,), threshold=0.0)
    alone = Examiner(detector, settings, 4).examine(drawn_picture()).queries[0]
    beside = Examiner(detector, SETTINGS, 4).examine(drawn_picture()).queries[0]
    np.testing.assert_allclose(alone.maps["raw"].curves, beside.maps["raw"].curves, rtol=1e-4, atol=1e-5)
    assert tuple(alone.maps) == ("raw",)
    assert alone.maps["raw"].sanity is None


def test_forwards_stay_below_what_was_announced(detector: Detector) -> None:
    examiner = Examiner(detector, SETTINGS, 4)
    found = examiner.examine(drawn_picture())
    assert examiner.head_forwards == 8  # 2 layers of 4 heads
    assert examiner.most_forwards is not None
    assert examiner.most_forwards == SETTINGS.most_forwards(2) + 8
    assert 8 < found.forwards <= examiner.most_forwards
    assert sum(len(effects) for effects in found.queries[0].heads.values()) == 8


def test_no_query_no_work(detector: Detector) -> None:
    settings = EvaluationSettings(parse_methods("raw"), threshold=1.0)
    assert Examiner(detector, settings, 4).examine(drawn_picture()).queries == ()


def test_a_map_is_taken_from_explain(detector: Detector) -> None:
    settings = EvaluationSettings(parse_methods("raw:2@0"), has_controls=False, heads=(), shares=(), threshold=0.0)
    query = Examiner(detector, settings, 4).examine(drawn_picture()).queries[0]
    trace = detector.trace(drawn_picture())
    shown = explain(trace, head=2, layer=0, queries=[query.query])
    left, top, right, bottom = query.box
    peak_x, peak_y = shown.peak(0)
    assert query.maps["raw:2@0"].places["pointing"] == float(left <= peak_x <= right and top <= peak_y <= bottom)


def test_a_layer_that_is_not_there_names_the_method(detector: Detector) -> None:
    settings = EvaluationSettings(parse_methods("raw@7"), threshold=0.0)
    with pytest.raises(ChoiceError, match=r"raw@7 cannot be evaluated: no layer 7.*leave it out of --methods"):
        Examiner(detector, settings, 4).examine(drawn_picture())
