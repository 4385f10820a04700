"""How kinds of models name and store their attention projections: tables that `attention.py` looks keys up in."""

from collections.abc import Mapping
from typing import NamedTuple


class Layout(NamedTuple):
    """How a kind of module names its weights: the endings of q, k, v (one if fused) and of the output projection.

    ``{module}`` stands for what comes before those endings, ``{parent}`` for that without its last part. ``part`` is
    added to the module's name where the weights are a part of it only, and ``left_out`` names the other parts.
    """

    name: str
    weights: tuple[str, ...]
    biases: tuple[str, ...]
    outputs: tuple[str, ...]
    part: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def is_fused(self) -> bool:
        """Whether Wq, Wk and Wv are the thirds of one matrix."""
        return len(self.weights) == 1


def _separate(name: str, linears: tuple[str, str, str], outputs: tuple[str, ...]) -> Layout:
    weights, biases = (tuple(f"{linear}.{kind}" for linear in linears) for kind in ("weight", "bias"))
    return Layout(name, weights, biases, outputs)


def _fused(name: str, outputs: tuple[str, ...]) -> Layout:
    return Layout(name, (f"{name}.weight",), (f"{name}.bias",), outputs)


def _content(linears: tuple[str, str, str], outputs: tuple[str, ...], part: str, positions: tuple[str, ...]) -> Layout:
    """Attention whose queries and keys have a content and a position part, each with a projection of its own."""
    return _separate(f"{linears[0]} …", linears, outputs)._replace(part=part, left_out=positions)


PACKED = "in_proj_weight"

LAYOUTS = (
    Layout("packed", (PACKED,), ("in_proj_bias",), ("{module}.out_proj",)),
    Layout("separate", ("q_proj_weight", "k_proj_weight", "v_proj_weight"), ("in_proj_bias",), ("{module}.out_proj",)),
    _separate("q_proj", ("q_proj", "k_proj", "v_proj"), ("{module}.out_proj", "{module}.o_proj", "{module}.proj")),
    _separate(
        "query",
        ("query", "key", "value"),
        ("{parent}.output.dense", "{module}.output.dense", "{module}.proj", "{module}.out"),
    ),
    _separate("to_q", ("to_q", "to_k", "to_v"), ("{module}.to_out.0", "{module}.to_out")),
    _separate("q_lin", ("q_lin", "k_lin", "v_lin"), ("{module}.out_lin",)),
    _fused("qkv", ("{module}.proj", "{module}.out_proj")),
    _fused("Wqkv", ("{module}.out_proj", "{module}.Wo")),
    _fused("to_qkv", ("{module}.to_out.0", "{module}.to_out")),
    _fused("c_attn", ("{module}.c_proj",)),
    _content(  # Conditional and DAB DETR, self-attention of the decoder
        ("sa_qcontent_proj", "sa_kcontent_proj", "sa_v_proj"),
        ("{module}.self_attn.out_proj",),
        "sa_content",
        ("sa_qpos_proj", "sa_kpos_proj"),
    ),
    _content(  # the same, cross-attention
        ("ca_qcontent_proj", "ca_kcontent_proj", "ca_v_proj"),
        ("{module}.cross_attn.out_proj", "{module}.encoder_attn.out_proj"),
        "ca_content",
        ("ca_qpos_proj", "ca_kpos_proj", "ca_qpos_sine_proj"),
    ),
    _content(  # Conditional DETR as transformers 5 keeps it in memory
        ("q_content_proj", "k_content_proj", "v_proj"),
        ("{module}.o_proj", "{module}.out_proj"),
        "content",
        ("q_pos_proj", "k_pos_proj", "q_pos_sine_proj"),
    ),
    _content(  # DAB DETR of transformers
        ("self_attn_query_content_proj", "self_attn_key_content_proj", "self_attn_value_proj"),
        ("{module}.self_attn.output_proj",),
        "self_attn_content",
        ("self_attn_query_pos_proj", "self_attn_key_pos_proj"),
    ),
    _content(
        ("cross_attn_query_content_proj", "cross_attn_key_content_proj", "cross_attn_value_proj"),
        ("{module}.cross_attn.output_proj",),
        "cross_attn_content",
        ("cross_attn_query_pos_proj", "cross_attn_key_pos_proj", "cross_attn_query_pos_sine_proj"),
    ),
)

UNTOLD: Mapping[str, str] = {
    "query_key_value.weight": "query_key_value is in thirds in some models and goes head by head in others",
    "qkv_proj.weight": "qkv_proj is in another order in every model",
    "kv.weight": "keys and values share one matrix",
    "to_kv.weight": "keys and values share one matrix",
    "kv_proj.weight": "keys and values share one matrix",
    "sampling_offsets.weight": "deformable attention has no Wq and Wk: it samples points",
}
"""Endings of attention weights that cannot be told apart into Wq, Wk and Wv without knowing the model, and why."""
