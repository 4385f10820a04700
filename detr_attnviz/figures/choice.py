"""What a figure is of: which queries, which one query, or which places."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Integral

import numpy as np

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.grid import Grid
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK, chosen_detections, select
from detr_attnviz.trace import Point, Trace, as_points

Label = str | int | Sequence[str | int]


@dataclass(frozen=True)
class Choice:
    """Object queries, best first, and what is to be said of how they were chosen."""

    queries: tuple[int, ...]
    notes: tuple[str, ...] = ()


def chosen_queries(
    trace: Trace,
    *,
    queries: int | Sequence[int] | None = None,
    threshold: float | None = None,
    label: Label | None = None,
    top_k: int | None = None,
    fallback: int = FALLBACK,
) -> Choice:
    """The queries named, or those that pass the threshold, or the ``fallback`` best when none does.

    Raises: ChoiceError for a query, label or threshold that does not exist, or when nothing is left.
    """
    if queries is not None:
        named = (int(queries),) if isinstance(queries, (int, Integral)) else tuple(map(int, queries))
        chosen_detections(trace, named)
        if not named:
            raise ChoiceError("no query is named: name at least one, or leave queries out")
        return Choice(tuple(dict.fromkeys(named)))
    sure = select(trace, threshold=threshold, label=label, top_k=top_k)
    if sure:
        return Choice(sure)
    best = select(trace, threshold=threshold, label=label, top_k=top_k, fallback=fallback)
    wanted = trace.detector.threshold if threshold is None else threshold
    if not best:
        raise ChoiceError(f"no detection reaches {wanted:g}{_of(label)}: lower the threshold or name queries")
    how_many = "the best one is" if len(best) == 1 else f"the best {len(best)} are"
    return Choice(best, (f"no detection reaches {wanted:g}{_of(label)}: {how_many} drawn",))


def chosen_query(
    trace: Trace, *, query: int | None = None, threshold: float | None = None, label: Label | None = None
) -> Choice:
    """The query named, or the best detection."""
    return chosen_queries(trace, queries=query, threshold=threshold, label=label, top_k=1, fallback=1)


def chosen_points(trace: Trace, points: Point | Sequence[Point] | None) -> tuple[Point, ...]:
    """The places named, in original pixels.

    Raises: ChoiceError when there is none, or one outside the picture.
    """
    named = () if points is None else as_points(points)
    if not named:
        raise ChoiceError("no point is named: give points=[(x, y), …] in original pixels, or auto=True")
    for x, y in named:
        trace.grid.token_at(x, y)
    return named


def points_inside(trace: Trace, queries: Sequence[int]) -> tuple[Point, ...]:
    """For each query the middle of the cell in its box that the last layer's cross-attention is largest at.

    No cell is taken twice while there is another one in the box.
    """
    found = explain(trace, queries=queries)
    taken: list[int] = []
    for values, detection in zip(found.maps, found.detections, strict=True):
        weights = np.nan_to_num(values.ravel())
        inside = _cells_inside(found.grid, detection)
        taken.append(min(inside, key=lambda cell: (cell in taken, -weights[cell])))
    return tuple(found.grid.center_of(cell) for cell in taken)


def _cells_inside(grid: Grid, detection: Detection) -> list[int]:
    """The cells whose middles lie in the box, or that of its own middle when it is smaller than a cell.

    All cells for a box that is not finite.
    """
    left, top, right, bottom = detection.box
    if not all(map(isfinite, detection.box)):
        return list(range(grid.tokens))
    middles = [grid.center_of(token) for token in range(grid.tokens)]
    inside = [token for token, (x, y) in enumerate(middles) if left <= x <= right and top <= y <= bottom]
    x, y = (left + right) / 2, (top + bottom) / 2
    near = (min(max(x, 0), grid.width_px - 1), min(max(y, 0), grid.height_px - 1))
    return inside or [grid.token_at(*near)]


def _of(label: Label | None) -> str:
    return "" if label is None else f" among {label if isinstance(label, (str, int)) else ', '.join(map(str, label))}"
