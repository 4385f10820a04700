"""Finds the attention weights of any state dict, split into Wq, Wk, Wv and Wo.

No model is built and none is known: modules are recognised by how their keys end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from detr_attnviz.checkpoints.packed import split_in_proj
from detr_attnviz.checkpoints.prefixes import strip_prefixes

AttentionKind = Literal["encoder-self", "decoder-self", "decoder-cross", "attention"]


class Layout(NamedTuple):
    """How a kind of module names its weights: the endings of q, k, v (one if packed) and of the output projection.

    ``{parent}`` stands for the module's name without its last part.
    """

    name: str
    weights: tuple[str, ...]
    biases: tuple[str, ...]
    outputs: tuple[str, ...]


LAYOUTS = (
    Layout("packed", ("in_proj_weight",), ("in_proj_bias",), ("{module}.out_proj",)),
    Layout(
        "separate",
        ("q_proj_weight", "k_proj_weight", "v_proj_weight"),
        ("in_proj_bias",),
        ("{module}.out_proj",),
    ),
    Layout(
        "q_proj",
        ("q_proj.weight", "k_proj.weight", "v_proj.weight"),
        ("q_proj.bias", "k_proj.bias", "v_proj.bias"),
        ("{module}.out_proj", "{module}.o_proj", "{module}.proj"),
    ),
    Layout(
        "query",
        ("query.weight", "key.weight", "value.weight"),
        ("query.bias", "key.bias", "value.bias"),
        ("{parent}.output.dense", "{module}.output.dense", "{module}.proj", "{module}.out"),
    ),
    Layout(
        "to_q",
        ("to_q.weight", "to_k.weight", "to_v.weight"),
        ("to_q.bias", "to_k.bias", "to_v.bias"),
        ("{module}.to_out.0", "{module}.to_out"),
    ),
    Layout("qkv", ("qkv.weight",), ("qkv.bias",), ("{module}.proj", "{module}.out_proj")),
    Layout("Wqkv", ("Wqkv.weight",), ("Wqkv.bias",), ("{module}.out_proj", "{module}.Wo")),
    Layout("to_qkv", ("to_qkv.weight",), ("to_qkv.bias",), ("{module}.to_out.0", "{module}.to_out")),
)


@dataclass(frozen=True)
class AttentionWeights:
    """One attention module's weights, split; ``name`` is empty for a bare module, ``layer`` comes from it."""

    name: str
    kind: AttentionKind
    layer: int | None
    layout: str
    q_weight: Tensor
    k_weight: Tensor
    v_weight: Tensor
    q_bias: Tensor | None = None
    k_bias: Tensor | None = None
    v_bias: Tensor | None = None
    out_weight: Tensor | None = None
    out_bias: Tensor | None = None

    @property
    def parts(self) -> dict[str, Tensor]:
        """Every tensor that is there, by name: ``q_weight`` … ``out_bias``."""
        names = ("q_weight", "k_weight", "v_weight", "q_bias", "k_bias", "v_bias", "out_weight", "out_bias")
        return {name: tensor for name in names if (tensor := getattr(self, name)) is not None}


def find_attention(tensors: Mapping[str, Tensor]) -> tuple[AttentionWeights, ...]:
    """Every attention module of a state dict, packed or separate, in natural order of their names."""
    found = []
    for layout in LAYOUTS:
        first = "." + layout.weights[0]
        for key in tensors:
            if ("." + key).endswith(first):
                module = key.removesuffix(layout.weights[0]).removesuffix(".")
                if (weights := _module(module, layout, tensors)) is not None:
                    found.append(weights)
    return tuple(sorted(found, key=lambda weights: _natural(weights.name)))


def _module(module: str, layout: Layout, tensors: Mapping[str, Tensor]) -> AttentionWeights | None:
    prefix = f"{module}." if module else ""
    weights = [tensors.get(prefix + ending) for ending in layout.weights]
    matrices = [_as_matrix(weight) for weight in weights if weight is not None]
    if len(matrices) < len(layout.weights) or any(matrix is None for matrix in matrices):
        return None
    q, k, v = _three([matrix for matrix in matrices if matrix is not None])
    if q is None or k is None or v is None:
        return None
    biases = _biases([tensors.get(prefix + ending) for ending in layout.biases])
    out_weight, out_bias = _output(module, layout, tensors)
    return AttentionWeights(
        module, kind_of(module), layer_of(module), layout.name, q, k, v, *biases, out_weight, out_bias
    )


def _as_matrix(weight: Tensor) -> Tensor | None:
    """A linear layer's weight; a 1×1 convolution's counts as one. ``None`` for anything else."""
    if not weight.is_floating_point():
        return None
    if weight.ndim > 2 and all(size == 1 for size in weight.shape[2:]):
        weight = weight.flatten(1)
    return weight if weight.ndim == 2 and weight.numel() else None


def _three(matrices: list[Tensor]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if len(matrices) == 3:
        return matrices[0], matrices[1], matrices[2]
    if matrices[0].shape[0] % 3:
        return None, None, None
    return split_in_proj(matrices[0]).weights


def _biases(biases: list[Tensor | None]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of q, k, v; some models leave out k's alone."""
    if len(biases) == 3:
        return biases[0], biases[1], biases[2]
    if biases[0] is None or biases[0].ndim != 1 or biases[0].shape[0] % 3:
        return None, None, None
    q, k, v = biases[0].chunk(3)
    return q, k, v


def _output(module: str, layout: Layout, tensors: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    for ending in layout.outputs:
        name = ending.format(module=module, parent=module.rpartition(".")[0]).removeprefix(".")
        weight = tensors.get(f"{name}.weight")
        matrix = None if weight is None else _as_matrix(weight)
        if matrix is not None:
            return matrix, tensors.get(f"{name}.bias")
    return None, None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts ``layers.10`` after ``layers.9`` and otherwise as a forward goes: encoder, decoder; self before cross."""
    ordered = re.sub(r"(decoder|multihead_attn|encoder_attn|cross)", r"~\1", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", ordered)]


def kind_of(name: str) -> AttentionKind:
    """What a module attends to, guessed from its name; ``attention`` where the name does not tell."""
    lower = name.lower()
    is_cross = re.search(r"multihead_attn|encoder_attn|cross|enc_dec|ca_attn", lower) is not None
    if "decoder" in lower:
        return "decoder-cross" if is_cross else "decoder-self"
    if "encoder" in lower and not is_cross:
        return "encoder-self"
    return "attention"


def layer_of(name: str) -> int | None:
    """The number of the layer a module lies in: the last number among the parts of its name."""
    numbers = [part for part in strip_prefixes(name).split(".") if part.isdecimal()]
    return int(numbers[-1]) if numbers else None
