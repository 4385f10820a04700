"""Callbacks of a module's owner that do what they should not."""

from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from torch import Tensor

from detr_attnviz.errors import ChoiceError, ImageError
from detr_attnviz.families.own_code import OwnCode
from tests.tiny import drawn_picture

LOGITS, BOXES = torch.randn(1, 7, 6), torch.rand(1, 7, 4)


class Named(NamedTuple):
    pred_boxes: Tensor
    pred_logits: Tensor


@pytest.mark.parametrize(
    "answer",
    [
        (LOGITS, BOXES),
        [LOGITS, BOXES],
        {"logits": LOGITS, "boxes": BOXES},
        {"pred_logits": LOGITS, "pred_boxes": BOXES, "aux": 1},
        Named(BOXES, LOGITS),
    ],
)
def test_logits_and_boxes_are_found(answer: Any) -> None:
    for code in (OwnCode(postprocess=lambda output: answer), OwnCode()):
        found = code.prediction(answer)
        assert found.logits is LOGITS
        assert found.boxes is BOXES


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((LOGITS[0], BOXES), r"logits in what postprocess gave are \[7, 6\]: expected a tensor \[1 queries classes\]"),
        ((LOGITS, LOGITS), r"boxes in what postprocess gave are \[1, 7, 6\]: expected a tensor \[1 queries 4\]"),
        ((LOGITS.tolist(), BOXES), r"logits in what postprocess gave are list: expected a tensor"),
        ((LOGITS[:, :5], BOXES), r"logits \[1, 5, 6\] and boxes \[1, 7, 4\]: as many rows of each"),
        ({"scores": LOGITS}, r"what postprocess gave has no pred_logits or logits: found dict; let it return \(logits"),
        (None, r"what postprocess gave has no pred_logits or logits: found NoneType"),
    ],
)
def test_other_answers_of_postprocess_are_described(answer: Any, words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        OwnCode(postprocess=lambda output: answer).prediction({})


def test_an_output_without_boxes_asks_for_postprocess() -> None:
    with pytest.raises(ChoiceError, match=r"module's output has no pred_boxes or boxes.*postprocess=…"):
        OwnCode().prediction({"pred_logits": LOGITS})


def test_a_callback_that_raises_is_named_and_its_error_chained() -> None:
    def broken(given: Any) -> Any:
        raise KeyError("pixels")

    code = OwnCode(preprocess=broken, postprocess=broken)
    with pytest.raises(ChoiceError, match="^preprocess failed: KeyError: 'pixels'$") as caught:
        code.given(drawn_picture())
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ChoiceError, match="^postprocess failed: KeyError: 'pixels'$"):
        code.prediction({})


@pytest.mark.parametrize("error", [ImageError("too small"), MemoryError(), torch.OutOfMemoryError("full")])
def test_what_a_caller_can_handle_stays_what_it_is(error: Exception) -> None:
    def refuse(image: Image.Image) -> Tensor:
        raise error

    with pytest.raises(type(error)) as caught:
        OwnCode(preprocess=refuse).given(drawn_picture())
    assert caught.value is error


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"preprocess": "resize"}, "preprocess must be a function; found str"),
        ({"postprocess": 3}, "postprocess must be a function; found int"),
        ({"score": "focal"}, "score is 'focal': it must be 'softmax' .* or 'sigmoid'"),
    ],
)
def test_what_is_no_code_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        OwnCode(**said)
