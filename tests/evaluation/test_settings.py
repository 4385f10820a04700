"""What an evaluation can be asked."""

import json

import pytest

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError
from detr_attnviz.evaluation.choice import MethodChoice, parse_methods
from detr_attnviz.evaluation.settings import EvaluationSettings
from tests.evaluation.fakes import PixelFamily


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
