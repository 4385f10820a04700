"""Attention modules are found by their keys in checkpoints of any model; what is not certain is left out, named."""

import re

import pytest
import torch
from torch import Tensor, nn

from detr_attnviz.checkpoints.attention import find_attention, kind_of, layer_of, survey
from tests.checkpoints.states import hugging_face_state, official_state


def linear(name: str, rows: int = 6, width: int = 6) -> dict[str, Tensor]:
    return {f"{name}.weight": torch.randn(rows, width), f"{name}.bias": torch.randn(rows)}


def test_detr_modules_in_the_order_of_the_forward() -> None:
    found = find_attention(official_state())
    assert [(weights.kind, weights.layer) for weights in found] == [
        ("encoder-self", 0),
        ("decoder-self", 0),
        ("decoder-cross", 0),
        ("decoder-self", 1),
        ("decoder-cross", 1),
    ]
    assert found[0].name == "transformer.encoder.layers.0.self_attn"
    assert set(found[0].parts) == {
        *("q_weight", "k_weight", "v_weight", "q_bias", "k_bias", "v_bias", "out_weight", "out_bias")
    }


def test_packed_and_separate_names_give_the_same_weights() -> None:
    state = official_state()
    packed, separate = find_attention(state), find_attention(hugging_face_state(state))
    assert [weights.layout for weights in separate] == ["q_proj"] * 5
    for one, other in zip(packed, separate, strict=True):
        assert one.kind == other.kind
        assert all(torch.equal(one.parts[name], other.parts[name]) for name in one.parts)


@pytest.mark.parametrize(
    ("layout", "names", "out"),
    [
        ("q_proj", ("q_proj", "k_proj", "v_proj"), "blocks.3.attn.o_proj"),
        ("query", ("self.query", "self.key", "self.value"), "blocks.3.attn.output.dense"),
        ("query", ("attention.query", "attention.key", "attention.value"), "blocks.3.attn.output.dense"),
        ("to_q", ("to_q", "to_k", "to_v"), "blocks.3.attn.to_out.0"),
        ("q_lin", ("q_lin", "k_lin", "v_lin"), "blocks.3.attn.out_lin"),
    ],
)
def test_separate_layouts(layout: str, names: tuple[str, ...], out: str) -> None:
    state = linear(out)
    for name in names:
        state |= linear(f"blocks.3.attn.{name}")
    (found,) = find_attention(state)
    assert (found.layout, found.layer) == (layout, 3)
    assert torch.equal(found.k_weight, state[f"blocks.3.attn.{names[1]}.weight"])
    assert found.out_weight is not None
    assert torch.equal(found.out_weight, state[f"{out}.weight"])


@pytest.mark.parametrize("layout", ["qkv", "Wqkv", "to_qkv"])
def test_fused_layouts(layout: str) -> None:
    state = linear(f"blocks.0.attn.{layout}", rows=18)
    (found,) = find_attention(state)
    assert found.layout == layout
    assert torch.equal(found.v_weight, state[f"blocks.0.attn.{layout}.weight"][12:])
    assert found.v_bias is not None
    assert torch.equal(found.v_bias, state[f"blocks.0.attn.{layout}.bias"][12:])
    assert found.out_weight is None


def test_module_with_keys_and_values_of_other_widths() -> None:
    module = nn.MultiheadAttention(8, 2, kdim=5, vdim=7)
    (found,) = find_attention(dict(module.state_dict()))
    assert (found.layout, found.name) == ("separate", "")
    assert (found.k_weight.shape, found.v_weight.shape) == ((8, 5), (8, 7))
    assert found.q_bias is not None
    assert torch.equal(found.q_bias, module.in_proj_bias[:8])


def test_module_without_biases() -> None:
    (found,) = find_attention(dict(nn.MultiheadAttention(8, 2, bias=False).state_dict()))
    assert set(found.parts) == {"q_weight", "k_weight", "v_weight", "out_weight"}


def test_one_by_one_convolutions_count_as_matrices() -> None:
    (found,) = find_attention({"attn.to_qkv.weight": torch.randn(12, 4, 1, 1)})
    assert found.q_weight.shape == (4, 4)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"fc.weight": torch.zeros(3, 3)},
        {"attn.qkv.weight": torch.zeros(10, 4)},
        {"attn.qkv.weight": torch.zeros(9, 4, 3, 3)},
        {"attn.in_proj_weight": torch.zeros(6, 2, dtype=torch.int8)},
        {"attn.q_proj.weight": torch.zeros(3, 3), "attn.k_proj.weight": torch.zeros(3, 3)},
    ],
)
def test_what_is_no_attention_is_not_found(state: dict[str, Tensor]) -> None:
    assert find_attention(state) == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("transformer.encoder.layers.3.self_attn", "encoder-self"),
        ("transformer.decoder.layers.3.self_attn", "decoder-self"),
        ("transformer.decoder.layers.3.multihead_attn", "decoder-cross"),
        ("model.decoder.layers.3.encoder_attn", "decoder-cross"),
        ("decoder.layers.0.cross_attn", "decoder-cross"),
        ("bert.encoder.layer.0.attention.self", "encoder-self"),
        ("blocks.0.attn", "attention"),
        ("", "attention"),
    ],
)
def test_kind_is_guessed_from_the_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_layer_is_the_last_number_in_the_name() -> None:
    assert layer_of("layers.2.blocks.11.attn") == 11
    assert layer_of("attn") is None


def test_layer_ten_comes_after_layer_nine() -> None:
    state = {f"blocks.{number}.attn.qkv.weight": torch.zeros(3, 1) for number in (10, 9, 2)}
    assert [weights.layer for weights in find_attention(state)] == [2, 9, 10]


@pytest.mark.parametrize(
    ("sa", "ca", "outs"),
    [
        ("sa_qcontent_proj sa_kcontent_proj sa_v_proj", "ca_qcontent_proj ca_kcontent_proj ca_v_proj", "out_proj"),
        (
            "self_attn.q_content_proj self_attn.k_content_proj self_attn.v_proj",
            "encoder_attn.q_content_proj encoder_attn.k_content_proj encoder_attn.v_proj",
            "o_proj",
        ),
        (
            "self_attn.self_attn_query_content_proj self_attn.self_attn_key_content_proj "
            "self_attn.self_attn_value_proj",
            "cross_attn.cross_attn_query_content_proj cross_attn.cross_attn_key_content_proj "
            "cross_attn.cross_attn_value_proj",
            "output_proj",
        ),
    ],
)
def test_content_projections_of_conditional_and_dab_detr(sa: str, ca: str, outs: str) -> None:
    layer = "transformer.decoder.layers.2"
    sites = ("self_attn", "encoder_attn" if outs == "o_proj" else "cross_attn")
    between = {f: f".{f}" if outs == "output_proj" else "" for f in sites}
    state: dict[str, Tensor] = {}
    for name in (*sa.split(), *ca.split(), "sa_qpos_proj", "sa_kpos_proj", "ca_kpos_proj", "ca_qpos_sine_proj"):
        state |= linear(f"{layer}.{name}")
    for site in sites:
        state |= linear(f"{layer}.{site}{between[site]}.{outs}")
    own, cross = find_attention(state)
    assert [(weights.kind, weights.layer) for weights in (own, cross)] == [("decoder-self", 2), ("decoder-cross", 2)]
    assert own.name.endswith("content")
    assert cross.name.endswith("content")
    for weights, names, site in ((own, sa.split(), sites[0]), (cross, ca.split(), sites[1])):
        for part, name in zip("qkv", names, strict=True):
            assert weights.parts[f"{part}_weight"] is state[f"{layer}.{name}.weight"]
            assert weights.parts[f"{part}_bias"] is state[f"{layer}.{name}.bias"]
        assert weights.out_weight is state[f"{layer}.{site}{between[site]}.{outs}.weight"]


def test_gpt2_stores_its_matrices_the_other_way_round() -> None:
    state = {
        "h.0.attn.c_attn.weight": torch.randn(6, 18),
        "h.0.attn.c_attn.bias": torch.randn(18),
        "h.0.attn.c_proj.weight": torch.randn(6, 6),
    }
    (found,) = find_attention(state)
    x = torch.randn(6)
    q, k, v = (x @ state["h.0.attn.c_attn.weight"] + state["h.0.attn.c_attn.bias"]).split(6)
    assert found.q_bias is not None
    assert found.k_bias is not None
    assert found.v_bias is not None
    assert found.out_weight is not None
    torch.testing.assert_close(found.q_weight @ x + found.q_bias, q)
    torch.testing.assert_close(found.k_weight @ x + found.k_bias, k)
    torch.testing.assert_close(found.v_weight @ x + found.v_bias, v)
    torch.testing.assert_close(found.out_weight @ x, x @ state["h.0.attn.c_proj.weight"])


def test_linear_of_that_name_is_not_turned() -> None:
    state = linear("h.0.attn.c_attn", rows=18) | linear("h.0.attn.c_proj")
    (found,) = find_attention(state)
    assert torch.equal(found.k_weight, state["h.0.attn.c_attn.weight"][6:12])
    assert found.out_weight is state["h.0.attn.c_proj.weight"]


def test_inner_width_may_differ_from_the_width_if_the_output_projection_agrees() -> None:
    state = {"attn.to_qkv.weight": torch.randn(24, 6), "attn.to_out.0.weight": torch.randn(6, 8)}
    (found,) = find_attention(state)
    assert torch.equal(found.v_weight, state["attn.to_qkv.weight"][16:])


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (linear("qkv", rows=12) | linear("proj"), r"\[12, 6\] does not have 3·width rows"),  # 4 heads, 2 shared
        (linear("qkv", rows=18) | linear("proj", width=12), "3·width rows"),  # thirds only by chance
        ({"to_qkv.weight": torch.zeros(24, 6)}, "3·width rows"),
        ({"in_proj_weight": torch.zeros(12, 6)}, "3·width rows"),
        ({"c_attn.weight": torch.zeros(6, 12)}, "3·width rows"),
        ({"qkv.weight": torch.zeros(18, 6, 1, 1)}, "head by head"),
        ({"in_proj_weight": torch.zeros(6, 2, dtype=torch.int8)}, "floating-point"),
        (linear("q_proj") | linear("k_proj"), r"v_proj\.weight missing"),
        (linear("query_key_value", rows=18), "head by head"),
        (linear("qkv_proj", rows=18), "another order"),
        (linear("q") | linear("kv", rows=12), "share one matrix"),
        (linear("sampling_offsets") | linear("value_proj"), "samples points"),
    ],
)
@pytest.mark.parametrize("module", ["", "layers.0.attn."])
def test_what_cannot_be_told_apart_is_left_out_with_its_reason(
    module: str, state: dict[str, Tensor], reason: str
) -> None:
    found = survey({module + key: tensor for key, tensor in state.items()})
    assert found.modules == ()
    ((name, why),) = found.skipped
    assert name == module.removesuffix(".")
    assert re.search(reason, why)


def test_a_key_that_ends_like_attention_by_chance_is_nothing() -> None:
    assert survey({"embeddings.query.weight": torch.zeros(3, 3)}) == ((), ())


@pytest.mark.parametrize("shape", [(100_000, 12), (12, 100_000)])
def test_a_matrix_that_no_projection_is_like_is_left_out(shape: tuple[int, int]) -> None:
    state = linear("q_proj") | linear("v_proj") | {"k_proj.weight": torch.zeros(()).expand(shape)}
    assert survey(state) == ((), (("", "k_proj.weight is far longer one way than the other"),))


def test_an_output_that_no_projection_is_like_is_not_taken() -> None:
    state = linear("q_proj") | linear("k_proj") | linear("v_proj")
    (found,) = find_attention(state | {"out_proj.weight": torch.zeros(()).expand(6, 100_000)})
    assert found.out_weight is None


def test_numbers_of_thousands_of_digits_are_no_layers() -> None:
    names = [f"blocks.{number}.attn" for number in ("9" * 5000, "10", "9")]
    found = find_attention({f"{name}.in_proj_weight": torch.zeros(6, 2) for name in names})
    assert [weights.layer for weights in found] == [None, 9, 10]
