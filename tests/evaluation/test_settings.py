"""What an evaluation can be asked."""

import json

import pytest

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.choice import MethodChoice, parse_methods
from detr_attnviz.evaluation.settings import EvaluationSettings
from tests.evaluation.fakes import PixelFamily
from tests.methods.sampling import sampling_detector
from tests.tiny import tiny_detector


def test_the_whole_and_the_empty_picture_are_always_among_the_shares() -> None:
    assert EvaluationSettings(shares=(0.5, 0.1, 0.5)).shares == (0.0, 0.1, 0.5, 1.0)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_beyond_the_picture_are_refused(share: float) -> None:
    with pytest.raises(ChoiceError, match="not in 0–1"):
        EvaluationSettings(shares=(share,))


def test_unknown_kinds_of_heads_are_refused() -> None:
    with pytest.raises(ChoiceError, match="kinds are cross, encoder, decoder-self"):
        EvaluationSettings(heads=("all",))


def test_the_same_method_twice_is_refused() -> None:
    with pytest.raises(ChoiceError, match="twice"):
        EvaluationSettings(methods=(MethodChoice("raw"), MethodChoice("raw")))


def test_controls_come_after_the_methods() -> None:
    settings = EvaluationSettings(parse_methods("raw,raw:max"))
    assert settings.maps == ("raw", "raw:max", "random", "shuffled weights")
    assert EvaluationSettings(parse_methods("raw"), has_controls=False).maps == ("raw",)


def test_forwards_are_counted_ahead() -> None:
    settings = EvaluationSettings(parse_methods("raw"), has_controls=True, shares=(0.2, 0.5))
    # 2 queries × 3 maps × 2 directions × 2 shares, and the wholly removed picture; each over two baselines
    assert settings.most_forwards(2) == (2 * 3 * 2 * 2 + 1) * 2


def test_as_plain_data() -> None:
    row = EvaluationSettings(parse_methods("raw:max,raw@3+5"), labels=("cat",)).as_row()
    assert row["methods"] == ["raw:max", "raw@3+5"]
    assert json.loads(json.dumps(row)) == row


def test_threshold_is_the_detectors_unless_it_is_given() -> None:
    detector = Detector(PixelFamily())
    assert EvaluationSettings().settled(detector).threshold == PixelFamily.threshold
    assert EvaluationSettings(threshold=0.2).settled(detector).threshold == 0.2


def test_methods_and_heads_that_the_detector_does_not_allow_are_left_out_by_default() -> None:
    asked = EvaluationSettings()
    settled = asked.settled(sampling_detector())
    assert [choice.name for choice in settled.methods] == ["raw"]
    assert settled.heads == ()
    assert set(asked.without(settled)) >= {"rollout", "relevance", "silencing heads"}
    named = EvaluationSettings(methods=parse_methods("raw,relevance"), heads=("cross", "decoder-self"))
    assert named.settled(sampling_detector()).methods == named.methods
    assert asked.settled(tiny_detector()).methods == asked.methods
