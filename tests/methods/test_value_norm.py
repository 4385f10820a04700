"""What is written, against plain arithmetic on the model's own weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.errors import CaptureError
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.value_norm import value_norm, written_lengths
from detr_attnviz.recording.hooks import capture
from detr_attnviz.trace import Trace
from tests.methods.detectors import with_biases, with_own_reader
from tests.tiny import drawn_picture, tiny_detector


@pytest.fixture(scope="module")
def trace() -> Trace:
    return with_biases(tiny_detector()).trace(drawn_picture())


def lengths_by_hand(trace: Trace, site: str) -> Tensor:
    """‖(Wv_h x + bv_h) Wo_hᵀ‖ as ``[heads tokens]``, head by head from rows and columns of the packed weights."""
    module = trace.site(site).module
    assert isinstance(module, nn.MultiheadAttention)
    x, width, dim = trace.records[site].inputs.value[0], module.embed_dim, module.head_dim
    lengths = []
    for head in range(module.num_heads):
        rows = slice(2 * width + head * dim, 2 * width + (head + 1) * dim)
        value = x @ module.in_proj_weight.detach()[rows].T + module.in_proj_bias.detach()[rows]
        written = value @ module.out_proj.weight.detach()[:, head * dim : (head + 1) * dim].T
        lengths.append(torch.linalg.vector_norm(written, dim=1))
    return torch.stack(lengths)


def test_lengths_by_hand() -> None:
    module = nn.MultiheadAttention(2, 1)
    with torch.no_grad():
        module.in_proj_weight[4:] = torch.tensor([[1.0, 0.0], [0.0, 2.0]])  # v = (x₀ + 1, 2 x₁)
        module.in_proj_bias[4:] = torch.tensor([1.0, 0.0])
        module.out_proj.weight[:] = torch.tensor([[3.0, 0.0], [0.0, 2.0]])  # written: (3 v₀, 2 v₁)
        module.out_proj.bias[:] = 100  # belongs to no token
        x = torch.tensor([[[0.0, 1.0]], [[-1.0, 0.0]], [[0.0, 0.0]]])
        with capture(module) as records:
            module(x, x, x)
    found = written_lengths(records["MultiheadAttention"])
    assert_close(found, torch.tensor([[5.0, 0.0, 3.0]]))  # (3, 4), (0, 0), (3, 0)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("site", ["encoder.0.self", "decoder.1.self", "decoder.1.cross"])
def test_from_a_query_each_token_counts_by_what_it_adds(site: str, pre_norm: bool) -> None:
    trace = with_biases(tiny_detector(pre_norm=pre_norm)).trace(drawn_picture())
    each = trace.attention(site, queries=[3, 7]).flatten(2) * lengths_by_hand(trace, site)[:, None]
    found = {head: value_norm(trace, site, head=head, queries=[3, 7]).flatten(1) for head in ("mean", "max", 2)}
    assert_close(found["mean"], each.mean(0))
    assert_close(found["max"], each.amax(0))
    assert_close(found[2], each[2])


def test_to_a_point_it_is_what_the_point_adds_to_every_cell(trace: Trace) -> None:
    site, cells = "encoder.0.self", [trace.grid.token_at(70, 20), trace.grid.token_at(5, 60)]
    lengths, whole = lengths_by_hand(trace, site), trace.records[site].map()[0]
    expected = torch.stack([whole[:, :, cell] * lengths[:, [cell]] for cell in cells], dim=1).mean(0)
    found = value_norm(trace, site, points=[(70, 20), (5, 60)], direction="to")
    assert_close(found.flatten(1), expected)
    assert_close(found, value_norm(trace, site, queries=cells, direction="to"))
    assert_close(value_norm(trace, site, direction="to")[cells], found)
    one_head = value_norm(trace, site, head=1, points=[(70, 20)], direction="to")
    assert_close(one_head.flatten(), whole[1, :, cells[0]] * lengths[1, cells[0]])


def test_entropy_weighted_weighs_by_attention_alone(trace: Trace) -> None:
    site = "decoder.1.cross"
    each = trace.attention(site, queries=[4])[:, 0].flatten(1)
    focus = torch.log(torch.tensor(24.0)) + (each * each.log()).sum(1)
    expected = ((focus / focus.sum())[:, None] * each * lengths_by_hand(trace, site)).sum(0)
    assert_close(value_norm(trace, site, head="entropy-weighted", queries=[4]).flatten(), expected)


def test_several_layers_are_averaged(trace: Trace) -> None:
    sites = ["decoder.0.cross", "decoder.1.cross"]
    each = [value_norm(trace, site, queries=[4]) for site in sites]
    assert_close(value_norm(trace, sites, queries=[4]), (each[0] + each[1]) / 2)


def test_a_reader_that_gives_no_values_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    trace: Any = with_own_reader(tiny_detector(), monkeypatch).trace(drawn_picture())
    assert explain(trace, queries=[1]).maps.shape == (1, 4, 6)
    with pytest.raises(CaptureError, match=r"reader of Attention does not say what attention carries.*value="):
        explain(trace, method="value-norm", queries=[1])
