"""The fused model against the plain one."""

import copy
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from detr_attnviz.errors import ChoiceError
from detr_attnviz.models import kernels
from detr_attnviz.models.detr import DETR
from detr_attnviz.models.fuse import fuse
from detr_attnviz.models.resnet import ResNetShape
from tests.tiny import tiny_model


def fused(model: DETR, precision: Any = "fp32") -> DETR:
    other = copy.deepcopy(model).requires_grad_(False)
    fuse(other, precision)
    return other


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"backbone": ResNetShape(blocks=(2, 1, 1, 2), dilation=True)},
        {"backbone": ResNetShape(blocks=(1, 1, 1, 1), groups=2, width_per_group=32)},
        {"pre_norm": True},
        {"positions": "learned"},
        {"notebook": True},
    ],
)
def test_fused_is_plain_but_for_rounding(changes: dict[str, Any]) -> None:
    plain, images = tiny_model(**changes), torch.randn(2, 3, 96, 130)
    is_padding = torch.zeros(2, 96, 130, dtype=torch.bool)
    is_padding[1, :, 100:] = True
    with torch.inference_mode():
        for padding in (None, is_padding):
            expected, found = plain(images, padding), fused(plain)(images, padding)
            assert_close(found.logits, expected.logits, atol=2e-5, rtol=1e-5)
            assert_close(found.boxes, expected.boxes, atol=2e-5, rtol=1e-5)


def test_fused_shares_the_transformers_weights() -> None:
    model = tiny_model().requires_grad_(False)
    weight = model.transformer.encoder.layers[0].linear1.weight  # type: ignore[union-attr]
    fuse(model)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = model(images).logits
        weight.zero_()  # type: ignore[operator]
        assert not torch.equal(model(images).logits, before)


def test_gradients_reach_the_picture() -> None:
    model, images = fused(tiny_model()), torch.randn(1, 3, 64, 64, requires_grad=True)
    model(images).logits.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_bf16_is_the_backbones_alone() -> None:
    if not kernels.gains_from(torch.bfloat16, torch.device("cpu")):
        pytest.skip("this processor computes no faster in bf16")
    plain, images = tiny_model(), torch.randn(1, 3, 96, 130)
    model = fused(plain, "bf16")
    assert {value.dtype for value in model.transformer.parameters()} == {torch.float32}
    assert {value.dtype for value in model.backbone[0].parameters()} == {torch.bfloat16}
    with torch.inference_mode():
        found, expected = model(images).logits, plain(images).logits
    assert found.dtype is torch.float32
    assert_close(found, expected, atol=0.1, rtol=0.1)  # bf16 keeps 8 bits
    assert not torch.equal(found, expected)


def test_unknown_precision() -> None:
    with pytest.raises(ChoiceError, match="no precision 'int8': choose official, fp32, bf16, fp16"):
        fuse(tiny_model(), "int8")  # type: ignore[arg-type]


def test_precision_without_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "gains_from", lambda dtype, device: dtype is torch.bfloat16)
    with pytest.raises(ChoiceError, match="fp16 is not faster on this cpu: choose fp32 or bf16"):
        fuse(tiny_model(), "fp16")


@pytest.mark.parametrize(
    "name", ["backbone.0.body.layer1.0.conv1.weight", "transformer.encoder.layers.0.self_attn.in_proj_weight"]
)
@pytest.mark.parametrize("precision", ["fp32", "official"])
def test_weights_that_are_not_finite_show_in_the_output(name: str, precision: Any) -> None:
    model = tiny_model()
    model.state_dict()[name][0] = float("nan")
    with torch.inference_mode():
        assert fused(model, precision)(torch.randn(1, 3, 64, 64)).logits.isnan().all()


def test_a_variance_that_makes_no_number_is_not_folded_away() -> None:
    model = tiny_model()
    model.state_dict()["backbone.0.body.bn1.running_var"][0] = -1
    with torch.inference_mode():
        assert fused(model)(torch.randn(1, 3, 64, 64)).logits.isnan().all()


def test_the_plain_attention_of_such_weights_is_the_same_attention() -> None:
    model, images = tiny_model(), torch.randn(2, 3, 96, 130)
    is_padding = torch.zeros(2, 96, 130, dtype=torch.bool)
    is_padding[1, :, 100:] = True
    model.state_dict()["class_embed.bias"][0] = float("nan")  # boxes do not hang on it
    with torch.inference_mode():
        assert_close(fused(model)(images, is_padding).boxes, model(images, is_padding).boxes, atol=2e-5, rtol=1e-5)
