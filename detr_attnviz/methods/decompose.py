"""The logits of attention as four exact terms: what of them is content, what position, of query and of cell.

DETR adds positions to queries and keys before they are projected, so that ``Wq (t + p) + bq`` is a content part
``Wq t + bq`` and a position part ``Wq p``, keys likewise, and their product has four terms. Values are content without
positions: that is how the two are told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from detr_attnviz.errors import ChoiceError
from detr_attnviz.methods.catalogue import MEAN, Head, head_number
from detr_attnviz.methods.layers import sites_of
from detr_attnviz.recording.kept import checked
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.trace import Point, Trace

TERMS = ("content · content", "content · position", "position · content", "position · position")
"""In the order of the maps; the first word is the query's side."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Four maps a query, query by query in the order of ``TERMS``, and each map's share in the whole."""

    maps: Float[Tensor, "maps rows cols"]
    shares: tuple[float, ...]


def decompose(
    trace: Trace,
    site: str,
    *,
    head: Head = MEAN,
    queries: int | Sequence[int] | None = None,
    points: Point | Sequence[Point] | None = None,
) -> Decomposition:
    """Four maps a query (or point) that add up to its logits: those of one head, or the mean of all heads'.

    Biases count as content. A share is a term's covariance with the whole logit over the cells, of all chosen heads
    together, divided by the whole's variance, as what is equal for all cells changes no attention. The four sum to 1; a
    term that works against the others has less than 0; all are 0 where logits are equal everywhere. A cell that a mask
    hides counts for nothing and is 0 in every map.

    Raises: ChoiceError for a head, query, point or site that is not there, or when positions cannot be told from
    content; CaptureError for attention of another class than ``nn.MultiheadAttention``.
    """
    record = trace.records.dense(site)
    if points is not None:
        queries = trace.cells_at(points, site)
    rows = checked(queries, record.queries, "query")
    heads = checked(head_number(head, (MEAN,)), record.heads, "head")
    query_position, key_position = _positions(trace, site)
    query = _parts(record.call.query, query_position)[:, heads][:, :, rows] * record.call.scale
    key = _parts(record.call.key, key_position)[:, heads]
    terms = (query[:, None] @ key[None].mT).flatten(0, 1)  # [4 heads chosen tokens]
    hidden = _hidden(record, heads, rows)
    if hidden is not None:
        terms = terms.masked_fill(hidden, 0)
    maps = trace.on_grid(site, terms.mean(1).transpose(0, 1).flatten(0, 1))
    shares = _shares(terms.cpu(), None if hidden is None else hidden.cpu())  # not every device has float64
    return Decomposition(maps, tuple(shares.T.flatten().tolist()))


def _parts(
    projected: Float[Tensor, "1 heads tokens dim"], position: Float[Tensor, "1 heads tokens dim"]
) -> Float[Tensor, "2 heads tokens dim"]:
    """Content and position of what was projected: their sum is it."""
    return torch.cat((projected - position, position))


def _positions(
    trace: Trace, site: str
) -> tuple[Float[Tensor, "1 heads queries dim"], Float[Tensor, "1 heads tokens dim"]]:
    """The position parts of query and key, projected.

    Raises: ChoiceError when what tells them from content is not recorded.
    """
    record = trace.records.dense(site)
    inputs = record.inputs
    query, content = inputs.query, inputs.value
    if trace.site(site).kind == "decoder-cross":
        # Queries here have no values of their own; the self-attention before has the same positions in it.
        before = trace.records.dense(_self_attention_before(trace, site)).inputs
        query, content = before.query, before.value
    if query.shape != content.shape or inputs.key.shape != inputs.value.shape or record.tokens != inputs.key.shape[1]:
        raise ChoiceError(
            f"positions of {site} cannot be told from content: {record.tokens} tokens, keys {list(inputs.key.shape)}, "
            f"values {list(inputs.value.shape)}, queries {list(query.shape)} and their content {list(content.shape)} "
            "should be of one shape each side; method raw does without"
        )
    return (
        record.project(query - content, "q", bias=False),
        record.project(inputs.key - inputs.value, "k", bias=False),
    )


def _self_attention_before(trace: Trace, site: str) -> str:
    layer = trace.site(site).layer
    for before in sites_of(trace.detector, "decoder-self"):
        if before.layer == layer:
            return before.name
    raise ChoiceError(
        f"method decompose needs decoder self-attention in layer {layer}, which tells a query's position from its "
        "content, and this detector has none that is recorded: choose another method, such as raw"
    )


def _hidden(record: DenseRecord, heads: list[int], rows: list[int]) -> Tensor | None:
    """Where a mask lets no query look: broadcasts to ``[heads chosen tokens]``; None without a mask."""
    is_seen = record.is_seen
    if is_seen is None:
        return None
    is_seen = is_seen if len(is_seen) == 1 else is_seen[heads]
    return ~(is_seen if is_seen.shape[1] == 1 else is_seen[:, rows])


def _shares(terms: Float[Tensor, "4 heads chosen tokens"], hidden: Tensor | None) -> Float[Tensor, "4 chosen"]:
    terms = terms.double()
    seen = torch.ones_like(terms[0]) if hidden is None else (~hidden).double().expand(terms.shape[1:])
    means = (terms * seen).sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)
    spread = (terms - means) * seen
    together = spread.sum(0)
    covariances = (spread * together).sum((1, 3))
    variances = covariances.sum(0)
    return torch.where(variances == 0, 0, covariances / variances)  # of NaN the share is NaN, not nothing
