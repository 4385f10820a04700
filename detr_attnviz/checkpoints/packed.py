"""Splits packed attention projections into q, k and v and per-head blocks, and joins them again.

``nn.MultiheadAttention`` keeps three matrices in one ``in_proj_weight [3·width, width]``: the first ``width``
rows are Wq, the next Wk, the last Wv, and head ``h`` owns the rows ``h·dim … (h+1)·dim`` of each. Splitting
returns views where PyTorch can give one, so nothing is copied and gradients still reach the module; joining
what was split gives back the same bits.

Axes: ``three_width`` 3·width, ``rows`` output features, ``width`` model features, ``heads``, ``dim`` = width / heads.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from detr_attnviz.errors import CheckpointError, ChoiceError


class SplitProjections(NamedTuple):
    """Wq, Wk, Wv as ``[width, features in]``, and their biases ``[width]`` or ``None`` where there are none."""

    q_weight: Tensor
    k_weight: Tensor
    v_weight: Tensor
    q_bias: Tensor | None = None
    k_bias: Tensor | None = None
    v_bias: Tensor | None = None

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Wq, Wk, Wv."""
        return self.q_weight, self.k_weight, self.v_weight

    @property
    def biases(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """The three biases, or ``None`` unless all three are there."""
        if self.q_bias is None or self.k_bias is None or self.v_bias is None:
            return None
        return self.q_bias, self.k_bias, self.v_bias


def split_in_proj(
    weight: Float[Tensor, "three_width width"], bias: Float[Tensor, " three_width"] | None = None
) -> SplitProjections:
    """Wq, Wk, Wv (and their biases) as views of a packed ``in_proj_weight`` (and ``in_proj_bias``).

    Raises:
        CheckpointError: the rows do not divide by three, or the bias has another length.

    Source: the row order of ``torch.nn.functional._in_projection_packed``.
    """
    if weight.ndim != 2 or weight.shape[0] % 3:
        raise CheckpointError(
            f"in_proj_weight has shape {list(weight.shape)}; expected [3·width, width], q rows before k before v"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"in_proj_bias has shape {list(bias.shape)}; expected [{weight.shape[0]}], one value per row of the weight"
        )
    biases: tuple[Tensor | None, ...] = (None, None, None) if bias is None else bias.chunk(3)
    return SplitProjections(*weight.chunk(3), *biases)


def join_in_proj(
    projections: SplitProjections,
) -> tuple[Float[Tensor, "three_width width"], Float[Tensor, " three_width"] | None]:
    """The packed ``in_proj_weight`` and ``in_proj_bias``: the exact inverse of ``split_in_proj``.

    Raises:
        CheckpointError: the three matrices differ in shape (a module built with ``kdim`` or ``vdim`` has no
            packed form), or only some of the biases are there.
    """
    shapes = [list(part.shape) for part in projections.weights]
    if any(shape != shapes[0] for shape in shapes):
        raise CheckpointError(f"Wq, Wk, Wv have shapes {shapes}; only equal shapes can be packed into one")
    if projections.biases is None and projections[3:] != (None, None, None):
        raise CheckpointError("only some of the q, k, v biases are there; expected all three or none")
    bias = None if projections.biases is None else torch.cat(projections.biases)
    return torch.cat(projections.weights), bias


def projections_of(module: nn.MultiheadAttention) -> SplitProjections:
    """The split projections of a module: packed, or separate because it was built with ``kdim``/``vdim``.

    The result is made of views of the module's parameters; gradients flow through them.
    """
    if module.in_proj_weight is not None:
        return split_in_proj(module.in_proj_weight, module.in_proj_bias)
    weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    biases: tuple[Tensor | None, ...] = (None, None, None)
    if module.in_proj_bias is not None:
        biases = module.in_proj_bias.chunk(3)
    return SplitProjections(*weights, *biases)


def in_projection(
    query: Float[Tensor, "*lead_q q_width"],
    key: Float[Tensor, "*lead_k k_width"],
    value: Float[Tensor, "*lead_k v_width"],
    projections: SplitProjections,
) -> tuple[Float[Tensor, "*lead_q width"], Float[Tensor, "*lead_k width"], Float[Tensor, "*lead_k width"]]:
    """q, k and v as ``nn.MultiheadAttention`` projects them, before the split into heads and the scaling.

    The same matrix products as PyTorch's: one for self-attention (query *is* key *is* value), two for
    encoder–decoder attention (key *is* value), else three. They agree in exact arithmetic; taking the same
    one keeps the last bit too.

    Source: ``torch.nn.functional._in_projection_packed`` and ``_in_projection``.
    """
    if key is value and _is_packable(projections):
        weight, bias = join_in_proj(projections)
        if query is key:
            q, k, v = F.linear(query, weight, bias).chunk(3, dim=-1)
            return q, k, v
        width = projections.q_weight.shape[0]
        kv = F.linear(key, weight[width:], None if bias is None else bias[width:])
        k, v = kv.chunk(2, dim=-1)
        return F.linear(query, projections.q_weight, projections.q_bias), k, v
    return (
        F.linear(query, projections.q_weight, projections.q_bias),
        F.linear(key, projections.k_weight, projections.k_bias),
        F.linear(value, projections.v_weight, projections.v_bias),
    )


def _is_packable(projections: SplitProjections) -> bool:
    return projections.q_weight.shape == projections.k_weight.shape == projections.v_weight.shape


def per_head(weight: Float[Tensor, "rows *width"], heads: int) -> Float[Tensor, "heads dim *width"]:
    """Each head's block of rows of Wq, Wk or Wv (or of one of their biases), as a view.

    Raises:
        ChoiceError: the head count does not divide the rows.
    """
    check_heads(weight.shape[0], heads)
    return weight.unflatten(0, (heads, -1))  # type: ignore[no-any-return]


def join_heads(blocks: Float[Tensor, "heads dim *width"]) -> Float[Tensor, "rows *width"]:
    """The matrix (or bias) whose rows the heads' blocks are: the exact inverse of ``per_head``."""
    return blocks.flatten(0, 1)


def per_head_out(weight: Float[Tensor, "width cols"], heads: int) -> Float[Tensor, "heads width dim"]:
    """Each head's block of columns of the output projection Wo, as a view: what the head writes back.

    Raises:
        ChoiceError: the head count does not divide the columns.
    """
    check_heads(weight.shape[1], heads)
    return weight.unflatten(1, (heads, -1)).transpose(0, 1)  # type: ignore[no-any-return]


def check_heads(width: int, heads: int) -> None:
    """Refuse a head count that does not divide the width, naming those that do.

    Raises:
        ChoiceError: as said.
    """
    if heads < 1 or width % heads:
        fitting = ", ".join(str(count) for count in range(1, min(width, 64) + 1) if width % count == 0)
        raise ChoiceError(f"{heads} heads do not divide the width {width}; head counts that do: {fitting}")
