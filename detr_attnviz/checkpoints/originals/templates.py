"""Expands tables of name templates into whole lists of names, and moves tensors from one list to the other.

A template's ``{n}``, ``{e}``, … stand for the numbers that the caller gives, ``{p}`` for weight and bias, ``{stat}``
for the four statistics of a batch norm. ``{qkv}`` in a target marks a packed tensor that is kept there in three parts.
"""

import itertools
import string
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from detr_attnviz.errors import CheckpointKeysError

Rows = Mapping[str, str]
"""Template of the original name → template of the name in transformers."""

COUNTER = "num_batches_tracked"
"""A batch norm's counter, which no prediction needs; older files have none."""

PROFILED = ("total_ops", "total_params")
"""Last parts of names that profilers leave in a state dict."""

_ALWAYS: Mapping[str, Collection[str]] = {
    "p": ("weight", "bias"),
    "stat": ("weight", "bias", "running_mean", "running_var"),
}


def expand(rows: Rows, **numbers: Collection[int]) -> dict[str, str]:
    """Every original name of a table and its target."""
    values: dict[str, Collection[object]] = {**_ALWAYS, **numbers}
    names: dict[str, str] = {}
    for old, new in rows.items():
        fields = list(dict.fromkeys(field for _, field, _, _ in string.Formatter().parse(old) if field))
        for chosen in itertools.product(*(values[field] for field in fields)):
            filled = dict(zip(fields, map(str, chosen), strict=True))
            names[old.format(**filled)] = new.format(**filled, qkv="{qkv}")
    return names


def move(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], *, source: str, dropped: Iterable[str] = ()
) -> dict[str, Tensor]:
    """The tensors under their targets; ``dropped`` are names that have none on purpose.

    Raises:
        CheckpointKeysError: lists every tensor that is missing, has no place, or cannot be kept in three parts.
    """
    unexpected = tensors.keys() - names.keys() - set(dropped)
    unexpected = {name for name in unexpected if name.rpartition(".")[2] not in PROFILED}
    missing = {name for name in names.keys() - tensors.keys() if not name.endswith(COUNTER)}
    if missing or unexpected:
        raise CheckpointKeysError(source, missing=missing, unexpected=unexpected)
    uneven = {old for old, new in names.items() if "{qkv}" in new and not _has_thirds(tensors[old])}
    if uneven:
        raise CheckpointKeysError(
            source, wrong_shape=(f"{old} {list(tensors[old].shape)} instead of [3·width, …]" for old in uneven)
        )
    moved: dict[str, Tensor] = {}
    for old, new in names.items():
        tensor = tensors[old] if old in tensors else torch.zeros((), dtype=torch.int64)
        if "{qkv}" in new:
            moved |= {new.format(qkv=part): rows for part, rows in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            moved[new] = tensor
    return moved


def _has_thirds(tensor: Tensor) -> bool:
    return tensor.ndim > 0 and tensor.shape[0] > 0 and tensor.shape[0] % 3 == 0
