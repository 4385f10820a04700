"""Finds the attention weights of any state dict, split into Wq, Wk, Wv and Wo.

No model is built and none is known: modules are recognised by how their keys end.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from detr_attnviz.checkpoints.layouts import LAYOUTS, UNTOLD, Layout
from detr_attnviz.checkpoints.packed import split_in_proj
from detr_attnviz.checkpoints.prefixes import strip_prefixes

MOST_FEATURES = 4096
MOST_TIMES_LONGER = 16
"""Above so many features a matrix may be so many times longer one way than the other."""

AttentionKind = Literal["encoder-self", "decoder-self", "decoder-cross", "attention"]


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


class Skipped(NamedTuple):
    """A module that has attention weights from which Wq, Wk and Wv cannot be told, and why."""

    name: str
    reason: str


class Survey(NamedTuple):
    """Every attention module of a state dict, split or skipped, each in natural order of the names."""

    modules: tuple[AttentionWeights, ...]
    skipped: tuple[Skipped, ...]


def survey(tensors: Mapping[str, Tensor]) -> Survey:
    """Looks for attention modules, packed or separate; only what is certain is split."""
    found: list[AttentionWeights] = []
    skipped: dict[str, str] = {}
    for layout in LAYOUTS:
        for module in _modules_with(layout.weights[0], tensors):
            try:
                if (weights := _split(module, layout, tensors)) is not None:
                    found.append(weights)
            except _UntoldError as error:
                skipped[module] = str(error)
    for ending, reason in UNTOLD.items():
        skipped = dict.fromkeys(_modules_with(ending, tensors), reason) | skipped
    names = {weights.name for weights in found}
    return Survey(
        tuple(sorted(found, key=lambda weights: _natural(weights.name))),
        tuple(Skipped(name, skipped[name]) for name in sorted(skipped.keys() - names, key=_natural)),
    )


def find_attention(tensors: Mapping[str, Tensor]) -> tuple[AttentionWeights, ...]:
    """Every attention module of a state dict whose Wq, Wk and Wv are certain, in natural order of their names."""
    return survey(tensors).modules


class _UntoldError(Exception):
    """Wq, Wk and Wv cannot be told apart; the message says why."""


def _modules_with(ending: str, tensors: Iterable[str]) -> Iterator[str]:
    for key in tensors:
        if f".{key}".endswith(f".{ending}"):
            yield key.removesuffix(ending).removesuffix(".")


def _split(module: str, layout: Layout, tensors: Mapping[str, Tensor]) -> AttentionWeights | None:
    """The module's weights; ``None`` where a first ending is a coincidence, as nothing else of the layout is there."""
    prefix = f"{module}." if module else ""
    given = {ending: tensors.get(prefix + ending) for ending in layout.weights}
    missing = [ending for ending, weight in given.items() if weight is None]
    if missing and len(missing) == len(layout.weights) - 1:
        return None
    if missing:
        raise _UntoldError(f"{' and '.join(missing)} missing")
    out_weight, out_bias = _output(module, layout, tensors)
    matrices = tuple(_checked_matrix(ending, weight) for ending, weight in given.items() if weight is not None)
    if layout.is_fused:
        matrix = matrices[0]
        if layout.name == "c_attn" and matrix.shape[1] == 3 * matrix.shape[0]:  # GPT-2's Conv1D: [features in, out]
            matrix, out_weight = matrix.T, None if out_weight is None else out_weight.T
        matrices = _thirds(matrix, out_weight, layout.weights[0])
    q, k, v = matrices
    biases = _biases([tensors.get(prefix + ending) for ending in layout.biases], (q, k, v))
    name = prefix + layout.part if layout.part else module
    return AttentionWeights(name, kind_of(name), layer_of(name), layout.name, q, k, v, *biases, out_weight, out_bias)


def _checked_matrix(ending: str, weight: Tensor) -> Tensor:
    matrix = _as_matrix(weight)
    if matrix is None:
        raise _UntoldError(f"{ending} is no matrix of floating-point numbers")
    if _is_lopsided(weight):
        raise _UntoldError(f"{ending} is far longer one way than the other")
    if weight.ndim > 2 and ending == "qkv.weight":
        raise _UntoldError("qkv as a convolution is in thirds in some models and goes head by head in others")
    return matrix


def _as_matrix(weight: Tensor) -> Tensor | None:
    """A linear layer's weight; a 1×1 convolution's counts as one. ``None`` for anything else."""
    if not weight.is_floating_point():
        return None
    if weight.ndim > 2 and all(size == 1 for size in weight.shape[2:]):
        weight = weight.flatten(1)
    return weight if weight.ndim == 2 and weight.numel() else None


def _is_lopsided(weight: Tensor) -> bool:
    """Whether a small file could ask for giant products with itself; no projection of a known model comes near."""
    short, long = sorted(weight.flatten(1).shape)
    return long > MOST_FEATURES and long > MOST_TIMES_LONGER * short


def _thirds(matrix: Tensor, out: Tensor | None, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Wq, Wk, Wv, if a third of the rows is what the output projection reads (or the width, where there is none)."""
    rows, cols = matrix.shape
    if rows != 3 * (cols if out is None else out.shape[1]):
        raise _UntoldError(f"{name} {[rows, cols]} does not have 3·width rows (heads that share keys and values?)")
    return split_in_proj(matrix).weights


def _biases(
    biases: list[Tensor | None], weights: tuple[Tensor, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of q, k, v; some models leave out k's alone."""
    if len(biases) == 3:
        return biases[0], biases[1], biases[2]
    rows = [weight.shape[0] for weight in weights]
    if biases[0] is None or biases[0].shape != (sum(rows),):
        return None, None, None
    q, k, v = biases[0].split(rows)
    return q, k, v


def _output(module: str, layout: Layout, tensors: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    for ending in layout.outputs:
        name = ending.format(module=module, parent=module.rpartition(".")[0]).removeprefix(".")
        weight = tensors.get(f"{name}.weight")
        matrix = None if weight is None else _as_matrix(weight)
        if matrix is not None and not _is_lopsided(matrix):
            return matrix, tensors.get(f"{name}.bias")
    return None, None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts ``layers.10`` after ``layers.9`` and otherwise as a forward goes: encoder, decoder; self before cross."""
    ordered = re.sub(r"(decoder|multihead_attn|encoder_attn|cross|ca_content)", r"~\1", name)
    return [(int(part), "") if _is_number(part) else (-1, part) for part in re.split(r"(\d+)", ordered)]


def kind_of(name: str) -> AttentionKind:
    """What a module attends to, guessed from its name; ``attention`` where the name does not tell."""
    lower = name.lower()
    is_cross = re.search(r"multihead_attn|encoder_attn|cross|enc_dec|ca_attn|ca_content", lower) is not None
    if "decoder" in lower:
        return "decoder-cross" if is_cross else "decoder-self"
    if "encoder" in lower and not is_cross:
        return "encoder-self"
    return "attention"


def layer_of(name: str) -> int | None:
    """The number of the layer a module lies in: the last number among the parts of its name."""
    numbers = [part for part in strip_prefixes(name).split(".") if _is_number(part)]
    return int(numbers[-1]) if numbers else None


def _is_number(part: str) -> bool:
    return part.isdecimal() and len(part) < 10  # int() refuses thousands of digits
