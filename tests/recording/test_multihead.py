"""Maps computed from what went in equal the module's own weights, whatever the module's options."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from detr_attnviz.recording.hooks import capture


@dataclass(frozen=True)
class Case:
    """One configuration of nn.MultiheadAttention and of its call."""

    heads: int
    dim: int
    batch: int  # 0 is unbatched
    queries: int
    tokens: int
    batch_first: bool
    bias: bool
    add_bias_kv: bool
    add_zero_attn: bool
    kdim: int | None
    vdim: int | None
    mask: str
    padding: str
    sharing: str
    need_weights: bool
    seed: int


cases = st.builds(
    Case,
    heads=st.integers(1, 4),
    dim=st.integers(1, 6),
    batch=st.integers(0, 3),
    queries=st.integers(1, 5),
    tokens=st.integers(1, 6),
    batch_first=st.booleans(),
    bias=st.booleans(),
    add_bias_kv=st.booleans(),
    add_zero_attn=st.booleans(),
    kdim=st.sampled_from([None, 3, 7]),
    vdim=st.sampled_from([None, 3, 5]),
    mask=st.sampled_from(["none", "bool 2-D", "bool 3-D", "float 2-D", "float 3-D"]),
    padding=st.sampled_from(["none", "bool", "float"]),
    sharing=st.sampled_from(["q is k is v", "k is v", "all different"]),
    need_weights=st.booleans(),
    seed=st.integers(0, 10_000),
)


def module_of(case: Case) -> nn.MultiheadAttention:
    is_separate = case.sharing == "all different"
    module = nn.MultiheadAttention(
        case.heads * case.dim,
        case.heads,
        bias=case.bias,
        add_bias_kv=case.add_bias_kv,
        add_zero_attn=case.add_zero_attn,
        kdim=case.kdim if is_separate else None,
        vdim=case.vdim if is_separate else None,
        batch_first=case.batch_first,
    ).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=module.embed_dim**-0.5)  # logits of the size that models have
    return module


def sequence(case: Case, length: int, width: int) -> Tensor:
    if case.batch == 0:
        return torch.randn(length, width)
    return torch.randn(case.batch, length, width) if case.batch_first else torch.randn(length, case.batch, width)


def inputs_of(case: Case, module: nn.MultiheadAttention) -> tuple[Tensor, Tensor, Tensor]:
    width = case.heads * case.dim
    query = sequence(case, case.queries, width)
    if case.sharing == "q is k is v":
        return query, query, query
    key = sequence(case, case.tokens, module.kdim)
    return query, key, key if case.sharing == "k is v" else sequence(case, case.tokens, module.vdim)


def masks_of(case: Case, queries: int, tokens: int) -> dict[str, Tensor]:
    batch = max(case.batch, 1)
    masks = {}
    if case.mask != "none":
        shape = (queries, tokens) if "2-D" in case.mask else (batch * case.heads, queries, tokens)
        is_blocked = torch.rand(shape) < 0.3
        is_blocked[..., 0] = False
        masks["attn_mask"] = is_blocked if "bool" in case.mask else torch.randn(shape)
    if case.padding != "none":
        is_padding = torch.rand(batch, tokens) < 0.3
        is_padding[:, 0] = False
        mask = is_padding if case.padding == "bool" else torch.zeros(batch, tokens).masked_fill(is_padding, -math.inf)
        masks["key_padding_mask"] = mask if case.batch else mask[0]
    if {value.dtype for value in masks.values()} == {torch.bool, torch.float32}:
        masks = {
            name: torch.zeros(value.shape).masked_fill(value, -math.inf) if value.dtype == torch.bool else value
            for name, value in masks.items()
        }
    return masks


@given(case=cases)
@settings(max_examples=200, deadline=None)
def test_map_equals_the_modules_own_weights(case: Case) -> None:
    torch.manual_seed(case.seed)
    module = module_of(case)
    query, key, value = inputs_of(case, module)
    tokens = case.queries if case.sharing == "q is k is v" else case.tokens
    masks = masks_of(case, case.queries, tokens)
    with torch.no_grad():
        _, expected = module(query, key, value, **masks, need_weights=True, average_attn_weights=False)
        plain, _ = module(query, key, value, **masks, need_weights=case.need_weights)
        with capture(module) as records:
            captured, _ = module(query, key, value, **masks, need_weights=case.need_weights)
    found = records["MultiheadAttention"].map()
    assert torch.equal(plain, captured)
    assert_close(found, expected if case.batch else expected[None], atol=1e-6, rtol=0)
    assert_close(found.sum(-1), torch.ones(found.shape[:-1]))


@given(case=cases)
@settings(max_examples=100, deadline=None)
def test_map_times_values_through_out_is_what_the_module_gives(case: Case) -> None:
    torch.manual_seed(case.seed)
    module = module_of(case)
    query, key, value = inputs_of(case, module)
    masks = masks_of(case, case.queries, case.queries if case.sharing == "q is k is v" else case.tokens)
    with torch.no_grad(), capture(module) as records:
        output, _ = module(query, key, value, **masks)
    record = records["MultiheadAttention"]
    written = (record.map() @ record.values @ record.out).sum(1)  # [batch queries width]
    if module.out_proj.bias is not None:
        written = written + module.out_proj.bias
    expected = output if case.batch == 0 or case.batch_first else output.transpose(0, 1)
    assert_close(written.detach().squeeze(0) if case.batch == 0 else written.detach(), expected, atol=1e-5, rtol=1e-5)


@given(case=cases)
@settings(max_examples=50, deadline=None)
def test_inputs_projected_are_the_calls_heads(case: Case) -> None:
    torch.manual_seed(case.seed)
    module = module_of(case)
    query, key, value = inputs_of(case, module)
    with torch.no_grad(), capture(module) as records:
        module(query, key, value)
    record = records["MultiheadAttention"]
    tokens = record.inputs.key.shape[1]
    assert_close(record.project(record.inputs.query, "q"), record.call.query)
    assert_close(record.project(record.inputs.key, "k"), record.call.key[:, :, :tokens])
    assert_close(record.project(record.inputs.value, "v"), record.values[:, :, :tokens])
    if case.bias and module.in_proj_bias is not None:
        offset = module.in_proj_bias.detach().chunk(3)[0].view(case.heads, 1, -1)
        without = record.project(record.inputs.query, "q", bias=False)
        assert_close(without + offset, record.call.query, atol=1e-5, rtol=1e-5)


def test_map_by_hand() -> None:
    module = nn.MultiheadAttention(1, 1, bias=False)
    with torch.no_grad():
        module.in_proj_weight.copy_(torch.tensor([[2.0], [1.0], [5.0]]))
        with capture(module) as records:
            module(torch.tensor([[[1.0]]]), torch.tensor([[[0.0]], [[1.0]]]), torch.zeros(2, 1, 1))
    share = math.exp(2) / (1 + math.exp(2))  # logits 2·1·0 and 2·1·1, dim 1
    assert_close(records["MultiheadAttention"].map(), torch.tensor([[[[1 - share, share]]]]))


def test_masked_tokens_get_exactly_nothing() -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 5, 8)
    padding = torch.tensor([[False] * 5, [False, False, True, True, True]])
    with torch.no_grad(), capture(module) as records:
        module(x, x, x, key_padding_mask=padding)
    assert records["MultiheadAttention"].map()[1, :, :, 2:].abs().max() == 0


def test_row_without_any_token_is_nan_as_in_the_module() -> None:
    module = nn.MultiheadAttention(8, 2)
    x = torch.randn(3, 1, 8)
    blocked = torch.tensor([[True] * 3, [False] * 3, [False] * 3])
    with torch.no_grad(), capture(module) as records:
        _, own = module(x, x, x, attn_mask=blocked, average_attn_weights=False)
    found = records["MultiheadAttention"].map()
    assert found[:, :, 0].isnan().all()
    assert_close(found, own, equal_nan=True)


def test_causal_hint_counts_as_the_mask_it_stands_for() -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(1, 4, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    with torch.no_grad(), capture(module) as records:
        module(x, x + 0, x, attn_mask=mask, is_causal=True, need_weights=False)
    found = records["MultiheadAttention"].map()
    assert found.triu(1).abs().max() == 0
    assert_close(found, module(x, x + 0, x, attn_mask=mask, average_attn_weights=False)[1].detach())


@pytest.mark.parametrize("add_bias_kv", [False, True])
@pytest.mark.parametrize("add_zero_attn", [False, True])
def test_causal_hint_by_the_output_it_gives(add_bias_kv: bool, add_zero_attn: bool) -> None:
    module = nn.MultiheadAttention(8, 2, add_bias_kv=add_bias_kv, add_zero_attn=add_zero_attn, batch_first=True)
    x, value = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    with torch.no_grad(), capture(module) as records:
        output, _ = module(x, x, value, attn_mask=mask, is_causal=True, need_weights=False)
        v = value @ module.in_proj_weight[16:].T + module.in_proj_bias[16:]
        if module.bias_v is not None:
            v = torch.cat((v, module.bias_v), dim=1)
        if add_zero_attn:
            v = torch.cat((v, torch.zeros(1, 1, 8)), dim=1)
        mixed = records["MultiheadAttention"].map() @ v.unflatten(-1, (2, 4)).transpose(1, 2)
        assert_close(module.out_proj(mixed.transpose(1, 2).flatten(2)), output)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_map_uses_the_projections_the_model_used(dtype: torch.dtype) -> None:
    module = nn.MultiheadAttention(16, 2, batch_first=True)
    query, key = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype), capture(module) as records:
        module(query, key, key, need_weights=False)
    record = records["MultiheadAttention"]
    assert record.map().dtype == torch.float32
    rounded = (query.to(dtype) @ module.in_proj_weight[:16].T.to(dtype) + module.in_proj_bias[:16].to(dtype)).detach()
    assert_close(record.call.query, rounded.float().unflatten(-1, (2, 8)).transpose(1, 2), atol=2e-2, rtol=2e-2)


def test_float64_stays_float64() -> None:
    module = nn.MultiheadAttention(8, 2).double()
    x = torch.randn(3, 1, 8, dtype=torch.float64)
    with torch.no_grad(), capture(module) as records:
        _, own = module(x, x, x, average_attn_weights=False)
    assert_close(records["MultiheadAttention"].map(), own, atol=1e-14, rtol=0)
