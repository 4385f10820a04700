"""What a figure is of: which queries, which one query, or which places."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Integral
from typing import Literal

import numpy as np

from detr_attnviz.detections import Detection
from detr_attnviz.errors import ChoiceError
from detr_attnviz.grid import Grid
from detr_attnviz.methods.explain import explain
from detr_attnviz.methods.select import FALLBACK, NO_SCORES, chosen_detections, has_scores, select
from detr_attnviz.trace import Point, Trace, as_points

Label = str | int | Sequence[str | int]
How = Literal["most", "next", "middle", "anywhere"]


@dataclass(frozen=True)
class Choice:
    """Object queries, best first, and what is to be said of how they were chosen.

    ``reach`` is the threshold and among which classes, "" for queries that were named; ``passing`` so many reach it.
    ``is_ranked`` unless no score is a number, so that none is the best.
    """

    queries: tuple[int, ...]
    notes: tuple[str, ...] = ()
    reach: str = ""
    passing: int = 0
    is_ranked: bool = True

    @property
    def how(self) -> str:
        """How they were chosen, for captions: "the best 12 of 25 that score at least 0.5"; "" if they were named."""
        count = len(self.queries)
        if not self.reach:
            return ""
        if not self.is_ranked:
            return f"any {count if count > 1 else 'one'}, as {NO_SCORES}"
        if not self.passing:
            best = f"the {count} best, none" if count > 1 else "the best, not"
            return f"{best} reaching the threshold {self.reach}"
        if count == self.passing:
            those = "all that score" if count > 1 else "the only one that scores"
            return f"{those} at least {self.reach}"
        return f"the best {f'{count} ' if count > 1 else ''}of {self.passing} that score at least {self.reach}"

    @property
    def in_brackets(self) -> str:
        """``how`` behind what it is of."""
        return f" ({self.how})" if self.how else ""

    def best(self, most: int, why: str) -> "Choice":
        """At most so many of them, with a note where some are left out."""
        if len(self.queries) <= most:
            return self
        note = f"{len(self.queries)} objects: the best {most} are drawn, as {why}"
        return replace(self, queries=self.queries[:most], notes=(*self.notes, note))


@dataclass(frozen=True)
class Inside:
    """The middle of a cell that stands for an object, and how it was found.

    "most" is what its query looks at most in its box, "next" the same of those that other objects have left, "middle"
    the cell nearest to the middle of a box that no cell has its middle in, and "anywhere" is of all cells, for a box
    that is not finite.
    """

    point: Point
    how: How


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

    Raises: ChoiceError for a query, label or threshold that does not exist, for a label or threshold beside queries,
        or when nothing is left.
    """
    if queries is not None:
        if threshold is not None or label is not None:
            raise ChoiceError("queries are named, and threshold and label would choose others: give one of the two")
        named = (int(queries),) if isinstance(queries, (int, Integral)) else tuple(map(int, queries))
        chosen_detections(trace, named)
        if not named:
            raise ChoiceError("no query is named: name at least one, or leave queries out")
        return Choice(tuple(dict.fromkeys(named)))
    reach = f"{trace.detector.threshold if threshold is None else threshold:g}{_of(label)}"
    best = select(trace, threshold=threshold, label=label, top_k=top_k, fallback=fallback)
    if not best:
        raise ChoiceError(f"no detection reaches {reach}: lower the threshold or name queries")
    if passing := len(select(trace, threshold=threshold, label=label)):
        return Choice(best, (), reach, passing)
    if not has_scores(chosen_detections(trace, best)):
        some = "one of them is" if len(best) == 1 else f"{len(best)} of them are"
        return Choice(best, (f"{NO_SCORES}: {some} drawn",), reach, is_ranked=False)
    how_many = "the best one is" if len(best) == 1 else f"the best {len(best)} are"
    return Choice(best, (f"no detection reaches {reach}: {how_many} drawn",), reach)


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


def points_inside(trace: Trace, queries: Sequence[int]) -> tuple[Inside, ...]:
    """For each query the cell in its box that the last layer's cross-attention, mean of heads, is largest at.

    No cell is taken twice while there is another one in the box.
    """
    found = explain(trace, queries=queries)
    taken: list[int] = []
    chosen = []
    for values, detection in zip(found.maps, found.detections, strict=True):
        weights = np.nan_to_num(values.ravel())
        cells, how = _cells_inside(found.grid, detection)
        cell = min(cells, key=lambda cell: (cell in taken, -weights[cell]))
        is_next = how == "most" and weights[cell] < max(weights[cells])
        chosen.append(Inside(found.grid.center_of(cell), "next" if is_next else how))
        taken.append(cell)
    return tuple(chosen)


def _cells_inside(grid: Grid, detection: Detection) -> tuple[list[int], How]:
    """Cells with their middles in the box, or that nearest to its own; all of them for a box that is not finite."""
    left, top, right, bottom = detection.box
    if not all(map(isfinite, detection.box)):
        return list(range(grid.tokens)), "anywhere"
    middles = [grid.center_of(token) for token in range(grid.tokens)]
    inside = [token for token, (x, y) in enumerate(middles) if left <= x <= right and top <= y <= bottom]
    if inside:
        return inside, "most"
    x, y = (left + right) / 2, (top + bottom) / 2
    return [grid.token_at(min(max(x, 0), grid.width_px - 1), min(max(y, 0), grid.height_px - 1))], "middle"


def _of(label: Label | None) -> str:
    return "" if label is None else f" among {label if isinstance(label, (str, int)) else ', '.join(map(str, label))}"
