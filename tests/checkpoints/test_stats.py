"""The numbers equal those of a singular value decomposition, and nothing makes them fail."""

import math

import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.checkpoints import stats
from detr_attnviz.checkpoints.attention import AttentionWeights, find_attention
from detr_attnviz.checkpoints.packed import per_head, per_head_out
from detr_attnviz.checkpoints.stats import module_stats


def attention_of(width: int = 24, heads: int = 4, dtype: torch.dtype = torch.float32) -> AttentionWeights:
    return find_attention(dict(nn.MultiheadAttention(width, heads).to(dtype).state_dict()))[0]


def stable_rank(matrix: Tensor) -> float:
    values = torch.linalg.svdvals(matrix)
    return float(values.square().sum() / values[0].square())


def test_one_head_of_two_dims_by_hand() -> None:
    state = {"in_proj_weight": torch.tensor([[3.0, 0], [0, 4], [1, 0], [0, 1], [2, 0], [0, 0]])}
    found = module_stats(find_attention(state)[0], heads=1)
    assert (found.q_norm, found.q_spectral) == (5.0, 4.0)
    assert found.qk_stable_rank == pytest.approx(25 / 16)  # QK = diag(3, 4)
    assert found.per_head[0].qk_norm == pytest.approx(5.0)
    assert math.isnan(found.ov_stable_rank)  # there is no Wo
    assert math.isnan(found.per_head[0].out_norm)


def test_module_numbers_equal_a_decomposition() -> None:
    weights = attention_of()
    found = module_stats(weights)
    assert weights.out_weight is not None
    matrices = (weights.q_weight, weights.k_weight, weights.v_weight, weights.out_weight)
    q, k, v, out = (matrix.double() for matrix in matrices)
    assert found.v_norm == pytest.approx(float(v.norm()))
    assert found.k_spectral == pytest.approx(float(torch.linalg.svdvals(k)[0]))
    assert found.out_spectral == pytest.approx(float(torch.linalg.svdvals(out)[0]))
    assert found.qk_stable_rank == pytest.approx(stable_rank(q.T @ k))
    assert found.ov_stable_rank == pytest.approx(stable_rank(out @ v))
    assert (found.heads, found.per_head, found.qk_similarity) == (None, (), ())


def test_head_numbers_equal_a_decomposition() -> None:
    weights = attention_of()
    assert weights.out_weight is not None
    found = module_stats(weights, heads=4)
    q, k, v = (per_head(part.double(), 4) for part in (weights.q_weight, weights.k_weight, weights.v_weight))
    out = per_head_out(weights.out_weight.double(), 4)
    qk, ov = q.mT @ k, out @ v  # [heads width width]
    for head, row in enumerate(found.per_head):
        assert row.head == head
        assert row.q_norm == pytest.approx(float(q[head].norm()))
        assert row.out_norm == pytest.approx(float(out[head].norm()))
        assert row.qk_norm == pytest.approx(float(qk[head].norm()))
        assert row.ov_norm == pytest.approx(float(ov[head].norm()))
        assert row.qk_stable_rank == pytest.approx(stable_rank(qk[head]))
        assert row.ov_stable_rank == pytest.approx(stable_rank(ov[head]))
    flat = nn.functional.normalize(qk.flatten(1), dim=1)
    assert torch.allclose(torch.tensor(found.qk_similarity).double(), flat @ flat.T, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_every_precision_is_promoted(dtype: torch.dtype) -> None:
    weights = attention_of(dtype=dtype)
    found = module_stats(weights, heads=4)
    assert found.dtype == str(dtype).removeprefix("torch.")
    assert found.q_norm == pytest.approx(float(weights.q_weight.double().norm()))


@pytest.mark.parametrize("heads", [5, 0, -1, None])
def test_heads_that_do_not_divide_leave_the_head_rows_out(heads: int | None) -> None:
    found = module_stats(attention_of(), heads=heads)
    assert (found.heads, found.per_head) == (None, ())
    assert found.qk_stable_rank >= 1


def test_nan_and_inf_are_counted_and_touch_only_their_own_numbers() -> None:
    weights = attention_of()
    weights.q_weight[0, 0] = math.nan
    assert weights.out_bias is not None
    weights.out_bias[0] = math.inf
    found = module_stats(weights, heads=4)
    assert (found.nan, found.inf) == (1, 1)
    assert math.isnan(found.q_spectral)
    assert math.isnan(found.qk_stable_rank)
    assert found.k_spectral > 0
    assert math.isnan(found.per_head[0].qk_stable_rank)
    assert found.per_head[1].qk_stable_rank >= 1
    assert math.isnan(found.qk_similarity[0][1])
    assert found.qk_similarity[2][2] == pytest.approx(1.0)


def test_weights_of_zeros() -> None:
    found = module_stats(find_attention({"in_proj_weight": torch.zeros(12, 4)})[0], heads=2)
    assert found.q_spectral == 0
    assert math.isnan(found.qk_stable_rank)


def test_weights_of_low_rank_equal_a_decomposition() -> None:
    weights = attention_of()
    weights.q_weight[2:] = 0
    found = module_stats(weights, heads=4)
    qk = weights.q_weight.double().T @ weights.k_weight.double()
    assert found.qk_stable_rank == pytest.approx(stable_rank(qk))
    assert found.per_head[0].qk_stable_rank == pytest.approx(found.qk_stable_rank)
    assert math.isnan(found.per_head[1].qk_stable_rank)


def test_key_and_value_widths_of_their_own() -> None:
    module = nn.MultiheadAttention(8, 2, kdim=5, vdim=7)
    found = module_stats(find_attention(dict(module.state_dict()))[0], heads=2)
    assert found.per_head[1].ov_stable_rank >= 1
    assert found.shapes["k_weight"] == (8, 5)


def test_query_heads_that_share_keys_and_values() -> None:
    state = {
        "attn.q_proj.weight": torch.randn(12, 6),
        "attn.k_proj.weight": torch.randn(6, 6),
        "attn.v_proj.weight": torch.randn(6, 6),
        "attn.o_proj.weight": torch.randn(6, 12),
    }
    found = module_stats(find_attention(state)[0], heads=4)
    assert found.per_head[0].k_norm == found.per_head[1].k_norm != found.per_head[2].k_norm
    assert found.per_head[3].ov_stable_rank >= 1


def test_large_matrices_are_iterated_to_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = attention_of(48)
    exact = module_stats(weights, heads=2)
    monkeypatch.setattr(stats, "EXACT_SIZE", 8)
    iterated = module_stats(weights, heads=2)
    assert iterated.q_spectral == pytest.approx(exact.q_spectral, rel=1e-4)
    assert iterated.qk_stable_rank == pytest.approx(exact.qk_stable_rank, rel=1e-4)
    assert iterated.per_head[0].ov_stable_rank == pytest.approx(exact.per_head[0].ov_stable_rank, rel=1e-4)
