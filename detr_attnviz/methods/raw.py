"""Attention as the model computed it, heads reduced by a named rule."""

from collections.abc import Callable, Sequence

from torch import Tensor

from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction
from detr_attnviz.trace import Point, Trace

Head = str | int

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean(dim=0),
    "max": lambda maps: maps.amax(dim=0),
}


def raw(
    trace: Trace,
    site: str,
    *,
    head: Head = "mean",
    queries: int | Sequence[int] | None = None,
    points: Point | Sequence[Point] | None = None,
    direction: Direction = "from",
) -> Tensor:
    """Maps ``[chosen rows cols]`` (decoder self-attention: ``[chosen all_queries]``) of one site.

    ``head`` is a head's number, "mean" (maps still sum to 1) or "max" (the largest of the heads, cell by cell).

    Raises: ChoiceError for a head, query, point or site that is not there.
    """
    reduce, heads = _reduction(head)
    return reduce(trace.attention(site, queries=queries, points=points, heads=heads, direction=direction))


def _reduction(head: Head) -> tuple[Callable[[Tensor], Tensor], list[int] | None]:
    text = str(head)
    if text in REDUCTIONS:
        return REDUCTIONS[text], None
    if text.isdecimal():
        return REDUCTIONS["mean"], [int(text)]
    raise ChoiceError(f"head is {head!r}: it must be mean, max or a head's number")
