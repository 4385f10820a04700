"""Attention as the model computed it."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from detr_attnviz.explanation import Direction
from detr_attnviz.methods.catalogue import MEAN, Head
from detr_attnviz.methods.heads import Chosen, mean_of_layers
from detr_attnviz.trace import Point, Trace


def raw(
    trace: Trace,
    sites: str | Sequence[str],
    *,
    head: Head = MEAN,
    queries: int | Sequence[int] | None = None,
    points: Point | Sequence[Point] | None = None,
    direction: Direction = "from",
    term: str = "",
    level: int | None = None,
    point_level: int = 0,
) -> Float[Tensor, "chosen *place"]:
    """Maps ``[chosen rows cols]`` (decoder self-attention: ``[chosen all_queries]``) of one site, or several's mean.

    ``head`` is a head's number, "mean", "max" (the largest of the heads, cell by cell) or "entropy-weighted" (the mean
    in which sharp heads count more, see ``heads.focus_of``). All but "max" still sum to 1, less what of sampled
    attention falls outside the picture. ``term``, ``level`` and ``point_level`` are as in ``Trace.attention``.

    Raises: ChoiceError for a head, query, point, site, term or level that is not there.
    """
    chosen = Chosen(head, queries, points, direction, term, level, point_level)
    return mean_of_layers(trace, sites, chosen, lambda site, attention: attention)
