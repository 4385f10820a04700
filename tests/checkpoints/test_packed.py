"""Splitting and joining are exact inverses, and agree with PyTorch's own packing to the last bit."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from detr_attnviz.checkpoints.packed import (
    SplitProjections,
    in_projection,
    join_heads,
    join_in_proj,
    per_head,
    per_head_out,
    projections_of,
    split_in_proj,
)
from detr_attnviz.errors import CheckpointError, ChoiceError

sizes = st.integers(1, 6)
dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


def same_bits(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and one.dtype == other.dtype and bool((one == other).all())


def test_two_wide_example_by_hand() -> None:
    weight = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]])
    split = split_in_proj(weight, torch.arange(6.0))
    assert split.q_weight.tolist() == [[1, 2], [3, 4]]
    assert split.k_weight.tolist() == [[5, 6], [7, 8]]
    assert split.v_weight.tolist() == [[9, 10], [11, 12]]
    assert split.k_bias is not None
    assert split.k_bias.tolist() == [2, 3]


@given(rows=sizes, width=sizes, has_bias=st.booleans(), dtype=dtypes)
def test_split_then_join_is_bit_exact(rows: int, width: int, has_bias: bool, dtype: torch.dtype) -> None:
    weight = torch.randn(3 * rows, width).to(dtype)
    bias = torch.randn(3 * rows).to(dtype) if has_bias else None
    joined, joined_bias = join_in_proj(split_in_proj(weight, bias))
    assert same_bits(joined, weight)
    assert same_bits(joined_bias, bias)


@given(rows=sizes, width=sizes, has_bias=st.booleans(), dtype=dtypes)
def test_join_then_split_is_bit_exact(rows: int, width: int, has_bias: bool, dtype: torch.dtype) -> None:
    weights = [torch.randn(rows, width).to(dtype) for _ in range(3)]
    biases = [torch.randn(rows).to(dtype) if has_bias else None for _ in range(3)]
    parts = SplitProjections(*weights, *biases)
    again = split_in_proj(*join_in_proj(parts))
    assert all(same_bits(one, other) for one, other in zip(parts, again, strict=True))


@given(heads=sizes, dim=sizes, width=sizes)
def test_heads_split_then_join_is_bit_exact(heads: int, dim: int, width: int) -> None:
    weight = torch.randn(heads * dim, width)
    blocks = per_head(weight, heads)
    assert blocks.shape == (heads, dim, width)
    assert same_bits(blocks[-1], weight[-dim:])
    assert same_bits(join_heads(blocks), weight)
    bias = weight[:, 0].clone()
    assert same_bits(join_heads(per_head(bias, heads)), bias)


def test_split_parts_are_views() -> None:
    weight, bias = torch.randn(12, 4), torch.randn(12)
    split = split_in_proj(weight, bias)
    weight[4, 0] = 77.0
    bias[11] = 88.0
    assert split.k_weight[0, 0] == 77.0
    assert split.v_bias is not None
    assert split.v_bias[-1] == 88.0
    assert per_head(split.k_weight, 2).untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()


def test_heads_of_the_output_projection_add_up_to_the_whole() -> None:
    weight, values = torch.randn(6, 8), torch.randn(8)
    by_head = per_head_out(weight, 4)  # [heads width dim]
    assert torch.allclose(
        sum(block @ part for block, part in zip(by_head, values.chunk(4), strict=True)), weight @ values
    )


def test_rows_that_do_not_divide_by_three() -> None:
    with pytest.raises(CheckpointError, match=r"\[700, 256\].*3·width"):
        split_in_proj(torch.zeros(700, 256))


def test_join_of_different_shapes_names_them() -> None:
    parts = SplitProjections(torch.zeros(4, 4), torch.zeros(4, 6), torch.zeros(4, 4))
    with pytest.raises(CheckpointError, match=r"\[4, 6\]"):
        join_in_proj(parts)


def test_join_of_some_biases_only() -> None:
    parts = SplitProjections(torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(4))
    with pytest.raises(CheckpointError, match="all three or none"):
        join_in_proj(parts)


@pytest.mark.parametrize("heads", [3, 0, -1, 512])
def test_heads_that_do_not_divide_name_those_that_do(heads: int) -> None:
    with pytest.raises(ChoiceError, match=r"width 256.*1, 2, 4, 8, 16"):
        per_head(torch.zeros(256, 4), heads)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("wide", [{}, {"kdim": 5}, {"vdim": 7}, {"kdim": 5, "vdim": 7}])
def test_projections_of_a_module(bias: bool, wide: dict[str, int]) -> None:
    module = nn.MultiheadAttention(8, 2, bias=bias, **wide)
    parts = projections_of(module)
    assert parts.q_weight.shape == (8, 8)
    assert parts.k_weight.shape == (8, wide.get("kdim", 8))
    assert parts.v_weight.shape == (8, wide.get("vdim", 8))
    assert (parts.biases is None) == (not bias)
    parts.k_weight.sum().backward()
    packed = module.in_proj_weight if not wide else module.k_proj_weight
    assert packed is not None
    assert packed.grad is not None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", ["self", "cross", "apart"])
def test_in_projection_equals_pytorch(case: str, bias: bool) -> None:
    module = nn.MultiheadAttention(16, 4, bias=bias)
    query, other, third = torch.randn(5, 2, 16), torch.randn(7, 2, 16), torch.randn(7, 2, 16)
    inputs = {"self": (query, query, query), "cross": (query, other, other), "apart": (query, other, third)}[case]
    expected = F._in_projection_packed(*inputs, module.in_proj_weight, module.in_proj_bias)  # type: ignore[attr-defined]
    for found, wanted in zip(in_projection(*inputs, projections_of(module)), expected, strict=True):
        assert torch.equal(found, wanted)


def test_in_projection_with_key_and_value_of_other_widths() -> None:
    module = nn.MultiheadAttention(8, 2, kdim=5, vdim=7)
    query, key, value = torch.randn(3, 8), torch.randn(4, 5), torch.randn(4, 7)
    q, k, v = in_projection(query, key, value, projections_of(module))
    parts = projections_of(module)
    assert torch.equal(k, F.linear(key, parts.k_weight, parts.k_bias))
    assert (q.shape, v.shape) == ((3, 8), (4, 8))


def test_in_projection_with_one_tensor_for_key_and_value_of_another_width() -> None:
    module = nn.MultiheadAttention(8, 2, kdim=5, vdim=5)
    query, memory = torch.randn(3, 8), torch.randn(4, 5)
    q, k, v = in_projection(query, memory, memory, projections_of(module))
    assert (q.shape, k.shape, v.shape) == ((3, 8), (4, 8), (4, 8))
