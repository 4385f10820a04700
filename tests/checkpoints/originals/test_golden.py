"""Converted originals give what the original repositories' code gives, and load without a tensor over or missing."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from detr_attnviz.checkpoints.originals.recognise import Original, original
from tests.checkpoints.originals.goldens import CASES, Golden, golden, load

PADDED = ("conditional-detr", "dab-detr", "deformable-detr")


def converted(case: Golden) -> Original:
    found = original(case.tensors, case.args)
    assert found is not None
    return found


def answer(model: torch.nn.Module, name: str, case: Golden) -> tuple[Tensor, Tensor]:
    masks = {"pixel_mask": (~case.padding).long()} if name.startswith(PADDED) else {}
    with torch.no_grad():
        output = model(pixel_values=case.picture, **masks)
    return output.logits[0], output.pred_boxes[0]


@pytest.mark.parametrize("name", CASES)
def test_converted_model_answers_as_the_original_code(name: str) -> None:
    case = golden(name)
    model, loading = load(converted(case))
    assert not any(loading.values()), loading
    logits, boxes = answer(model, name, case)
    largest = case.logits.abs().max().item()  # up to 17: rounding differs with the order of the sums
    assert_close(logits, case.logits, rtol=0, atol=1e-5 * largest)
    assert_close(boxes, case.boxes)


def test_a_setting_that_no_tensor_tells_matters() -> None:
    case = golden("dab-detr")
    found = original(case.tensors, case.args | {"pe_temperatureH": 20})
    assert found is not None
    logits, _ = answer(load(found)[0], "dab-detr", case)
    assert (logits - case.logits).abs().max() > 0.1
