"""Building is strict, and says everything at once."""

from dataclasses import replace

import pytest
import torch

from detr_attnviz.checkpoints.config import infer
from detr_attnviz.checkpoints.naming import canonical
from detr_attnviz.errors import CheckpointKeysError
from detr_attnviz.models.build import build
from tests.tiny import tiny_model


@pytest.mark.parametrize(
    "changes", [{}, {"pre_norm": True}, {"positions": "learned"}, {"encoder_layers": 2, "decoder_layers": 1}]
)
def test_what_was_saved_is_built_again(changes: dict[str, object]) -> None:
    model = tiny_model(**changes)
    renamed = canonical(model.state_dict())
    config = infer(renamed, args={}, file_name="x.pth", nheads=4)
    again = build(config, renamed.tensors)
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(again(images).logits, model(images).logits)
    assert not again.training


def test_half_precision_tensors_become_float32() -> None:
    renamed = canonical({name: value.half() for name, value in tiny_model().state_dict().items()})
    model = build(infer(renamed, args={}, file_name="x.pth", nheads=4), renamed.tensors)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_mismatches_are_gathered() -> None:
    renamed = canonical(tiny_model().state_dict())
    config = replace(infer(renamed, args={}, file_name="x.pth", nheads=4), queries=11)
    tensors = dict(renamed.tensors)
    del tensors["input_proj.bias"]
    tensors["extra.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointKeysError, match=r"mine\.pth.*1 missing.*1 unexpected.*1 of another shape") as caught:
        build(config, tensors, source="mine.pth")
    assert caught.value.missing == ("input_proj.bias",)
    assert caught.value.wrong_shape == ("query_embed.weight [10, 32] instead of [11, 32]",)
