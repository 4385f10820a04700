"""Attention Grad-CAM: one decoder layer's attention, heads weighted by what they did for the class score.

As a baseline in Chefer, Gur and Wolf 2021 (arXiv 2103.15679), after Selvaraju et al. 2017 (arXiv 1610.02391), whose
eq. 1 and 2 it takes over with heads in the place of channels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.methods.gradients import (
    most_at_once,
    outputs_of,
    rows_of,
    taped_scores,
    weight_gradients,
)
from detr_attnviz.methods.layers import find_sites
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.trace import Trace


def attn_gradcam(trace: Trace, queries: Sequence[int], *, layer: int = -1) -> Float[Tensor, "queries rows cols"]:
    """Each query's attention in one layer, a head's share weighted by the mean gradient of its map; not negative.

    Raises: ChoiceError for a query or layer that does not exist; CaptureError when gradients do not reach attention,
    or a site's reader does not tell what attention carries.
    """
    (name,) = find_sites(trace, "cross", layer).names
    site = trace.site(name)
    taped = taped_scores(trace, queries, outputs_of([site]))
    record = taped.records.dense(site.name)
    most = most_at_once(8 * record.queries * record.tokens)
    weights = torch.cat([_head_weights(record, rows_of(found[site.name])) for _, found in taped.gradients(most)])
    maps = record.map(queries)[0]  # [heads queries tokens]
    return trace.on_grid(site.name, (weights.T[..., None] * maps).mean(0).clamp(min=0))  # eq. 2


def _head_weights(
    record: DenseRecord, gradients: Float[Tensor, "scores queries width"]
) -> Float[Tensor, "scores heads"]:
    """Eq. 1: the mean of each head's gradient over its map, without what is masked."""
    return torch.stack([_mean_gradient(record, gradients, head) for head in range(record.heads)], dim=1)


def _mean_gradient(
    record: DenseRecord, gradients: Float[Tensor, "scores queries width"], head: int
) -> Float[Tensor, " scores"]:
    effects = weight_gradients(record, gradients, head)
    if record.is_seen is None:
        return effects.mean((1, 2))
    is_seen = record.is_seen[head if len(record.is_seen) > 1 else 0].expand(effects.shape[1:])
    return effects[:, is_seen].mean(1)
