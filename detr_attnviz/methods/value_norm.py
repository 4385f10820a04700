"""Attention weighted by the length of what is written: a cell that is looked at, but adds nothing, stays dark.

Kobayashi, Kuribayashi, Yokoi, Inui 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms"
(arXiv 2004.10102).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from detr_attnviz.explanation import Direction
from detr_attnviz.methods.catalogue import MEAN, Head
from detr_attnviz.methods.heads import Chosen, mean_of_layers
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.trace import Point, Trace


def value_norm(
    trace: Trace,
    sites: str | Sequence[str],
    *,
    head: Head = MEAN,
    queries: int | Sequence[int] | None = None,
    points: Point | Sequence[Point] | None = None,
    direction: Direction = "from",
) -> Float[Tensor, "chosen *place"]:
    """Maps as ``raw`` gives them, each head's attention times the length of what it writes of a token.

    From a point (or query): how much each token adds to it. To a point: how much that point adds to every cell. Lengths
    are joined, not the vectors of the heads; "entropy-weighted" weighs heads by their attention alone, as in ``raw``.

    Raises: ChoiceError for a head, query, point or site that is not there; CaptureError for attention whose reader
    does not give its values.
    """
    chosen = Chosen(head, queries, points, direction)

    def weigh(site: str, attention: Tensor) -> Tensor:
        lengths = written_lengths(trace.records.dense(site), chosen.heads)
        if direction == "to":
            lengths = lengths[:, chosen.rows(trace, site), None, None]  # all that is shown is of these
        else:
            place = lengths if attention.dim() == 3 else trace.on_grid(site, lengths)
            lengths = place.unsqueeze(1)
        return attention * lengths  # ‖α f(x)‖, as α is not negative

    return mean_of_layers(trace, sites, chosen, weigh)


def written_lengths(record: DenseRecord, heads: Sequence[int] | None = None) -> Float[Tensor, "heads tokens"]:
    """``‖f(x)‖`` of every token: a head writes ``f(x) = (x Wv + bv) Wo`` of it."""
    values, out = record.values[0], record.out
    if heads is not None:
        values, out = values[heads], out[heads]
    return (values @ out).square().sum(-1).sqrt()
