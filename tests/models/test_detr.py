"""The native DETR where parity with the official results does not reach."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.models.detr import Attention
from detr_attnviz.models.positions import LearnedPositions, SinePositions
from tests.tiny import tiny_model


def test_sine_positions_by_hand() -> None:
    found = SinePositions(4)(torch.zeros(1, 1, 2, dtype=torch.bool))[0, :, 0]
    y, half, full = (2 * math.pi * part / (1 + 1e-6) for part in (1, 0.5, 1))
    # width 4: y half (sin, cos of period 1), then x half; x runs 1, 2 of 2
    expected = [
        [math.sin(y)] * 2,
        [math.cos(y)] * 2,
        [math.sin(half), math.sin(full)],
        [math.cos(half), math.cos(full)],
    ]
    assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)


def test_learned_positions_put_columns_first() -> None:
    positions = LearnedPositions(4)
    found = positions(torch.zeros(2, 3, 5, dtype=torch.bool))
    assert found.shape == (2, 4, 3, 5)
    assert torch.equal(found[1, :2, 2, 4], positions.col_embed.weight[4])
    assert torch.equal(found[1, 2:, 2, 4], positions.row_embed.weight[2])


@pytest.mark.parametrize("padded", [False, True])
def test_attention_is_multihead_attention(padded: bool) -> None:
    ours, theirs = Attention(16, 4), nn.MultiheadAttention(16, 4)
    nn.init.normal_(ours.in_proj_bias)
    theirs.load_state_dict(ours.state_dict())
    q, k, v = torch.randn(5, 2, 16), torch.randn(7, 2, 16), torch.randn(7, 2, 16)
    mask = torch.arange(7)[None] >= torch.tensor([[7], [4]]) if padded else None
    expected, weights = theirs(q, k, v, key_padding_mask=mask, average_attn_weights=False)
    assert_close(ours(q, k, v, key_padding_mask=mask, need_weights=False)[0], expected)
    assert_close(ours(q, k, v, key_padding_mask=mask, average_attn_weights=False)[1], weights)


def transformer_of_torch(width: int) -> nn.Transformer:
    """PyTorch's own transformer as the official demo notebook builds it."""
    return nn.Transformer(width, 4, 1, 2, 64, dropout=0.0).eval()


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
def test_notebook_model_is_the_notebooks_forward() -> None:
    model = tiny_model(notebook=True, positions="learned", box_layers=1)
    reference = transformer_of_torch(32)
    reference.load_state_dict(model.transformer.state_dict())
    images = torch.randn(1, 3, 96, 160)
    with torch.inference_mode():
        features = model.input_proj(model.backbone[0](images))
        positions = model.backbone[1](torch.zeros(1, 3, 5, dtype=torch.bool)).flatten(2).permute(2, 0, 1)
        state = reference(positions + 0.1 * features.flatten(2).permute(2, 0, 1), model.query_embed.weight[:, None])
        found = model(images)
        assert_close(found.logits, model.class_embed(state.transpose(0, 1)), atol=1e-5, rtol=1e-5)
        assert_close(found.boxes, model.bbox_embed.layers[0](state.transpose(0, 1)).sigmoid())


@pytest.mark.parametrize("pre_norm", [False, True])
def test_encoder_layers_agree_with_torchs(pre_norm: bool) -> None:
    ours = tiny_model(pre_norm=pre_norm).transformer.encoder
    theirs = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, norm_first=pre_norm).eval()
    theirs.load_state_dict(ours.layers[0].state_dict())
    x = torch.randn(6, 2, 32)
    assert_close(ours.layers[0](x, torch.zeros_like(x), None), theirs(x))


@pytest.mark.parametrize("pre_norm", [False, True])
def test_decoder_layers_agree_with_torchs(pre_norm: bool) -> None:
    ours = tiny_model(pre_norm=pre_norm).transformer.decoder
    theirs = nn.TransformerDecoderLayer(32, 4, 64, dropout=0.0, norm_first=pre_norm).eval()
    theirs.load_state_dict(ours.layers[0].state_dict())
    x, memory = torch.randn(4, 2, 32), torch.randn(6, 2, 32)
    assert_close(ours.layers[0](x, torch.zeros_like(x), memory, memory, None), theirs(x, memory))


def test_norm_of_the_encoder_exists_only_with_pre_norm() -> None:
    assert not [name for name in tiny_model().state_dict() if name.startswith("transformer.encoder.norm")]
    assert [name for name in tiny_model(pre_norm=True).state_dict() if name.startswith("transformer.encoder.norm")]


def test_padding_changes_nothing_but_what_convolutions_see_at_the_edge() -> None:
    model = tiny_model()
    features = torch.randn(1, 32, 3, 4)
    wide = torch.zeros(1, 32, 5, 6)
    wide[:, :, :3, :4] = features
    is_padding = torch.ones(1, 5, 6, dtype=torch.bool)
    is_padding[:, :3, :4] = False

    def last_state(x: Tensor, mask: Tensor | None) -> Tensor:
        cells = torch.zeros(1, *x.shape[2:], dtype=torch.bool) if mask is None else mask
        return model._transform(x, model.backbone[1](cells), None if mask is None else mask.flatten(1))[-1]

    with torch.inference_mode():
        assert_close(last_state(wide, is_padding), last_state(features, None), atol=1e-5, rtol=1e-5)


def test_all_layers_end_with_the_prediction() -> None:
    with torch.inference_mode():
        output = tiny_model()(torch.randn(1, 3, 64, 64), all_layers=True)
    assert len(output.layer_logits) == len(output.layer_boxes) == 2
    assert torch.equal(output.layer_boxes[-1], output.boxes)
    assert not torch.equal(output.layer_logits[0], output.logits)
