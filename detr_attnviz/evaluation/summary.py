"""What the pictures say together: every map's mean for every measure, its spread, and which differences hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

from detr_attnviz.evaluation.bootstrap import Array, Bootstrap, Drawn, Estimate
from detr_attnviz.evaluation.results import PLACES, Evaluation, MapResult, QueryResult
from detr_attnviz.evaluation.settings import BASELINES, CONTROLS, DIRECTIONS, QUANTITIES

KEPT, AREA, EMPTY, SANITY = "kept", "area", "empty", "sanity"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a number is of.

    "area" is the area under the mean curve of a ``quantity`` over the share of cells, in the quantity's own unit.
    "kept" is that of the logit on a scale where 0 is the logit with every cell removed and 1 the undisturbed one (both
    in the mean over queries). "empty" is the share of maps that hold all cells equal; the others are "sanity" and the
    names in ``PLACES``.
    """

    name: str
    quantity: str = ""
    direction: str = ""
    baseline: str = ""

    @property
    def better(self) -> int:
        """1 where more is better, -1 where less is; 0 for what tells where a map lies, but not whether it is right."""
        return {"deletion": -1, "insertion": 1}.get(self.direction, 0)


@dataclass(frozen=True, slots=True)
class Score:
    """One map's number for one measure.

    ``versus_best`` is its paired difference from the best method's, where there is a better and a worse; controls are
    never the best. ``is_best`` when it is the best method or, by the interval of that difference, may be as good; never
    with so few pictures that there are no intervals.
    """

    estimate: Estimate
    versus_best: Estimate | None = None
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A map's mean of one quantity at each of the settings' shares."""

    map: str
    quantity: str
    direction: str
    baseline: str
    points: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class HeadEffect:
    """What silencing one head changes in the mean over queries: the class logit, and the IoU with the box it had."""

    site: str
    head: int
    logit: Estimate
    iou: Estimate


@dataclass(frozen=True)
class Summary:
    """All means over the ``queries`` of the ``pictures`` that have any.

    ``scores`` are by measure and map, ``chance`` by measure: what a map that is equal everywhere has. ``copies`` counts
    the pictures that were left out because the same file stands among them already.
    """

    pictures: int
    queries: int
    scores: Mapping[Measure, Mapping[str, Score]]
    chance: Mapping[Measure, Estimate]
    curves: tuple[Curve, ...]
    heads: tuple[HeadEffect, ...]
    copies: int = 0


def _sanity(found: MapResult) -> float:
    """No number for an empty map, which has no order that could be like another."""
    return nan if found.is_empty or found.sanity is None else found.sanity


def summarise(evaluation: Evaluation) -> Summary:
    """The means of an evaluation; nothing but counts when no query was chosen in any picture."""
    distinct = {picture.sha256: picture for picture in reversed(evaluation.pictures)}  # a copy is no further witness
    each = [picture.queries for picture in reversed(distinct.values()) if picture.queries]
    queries = [query for of_picture in each for query in of_picture]
    if not queries:
        return Summary(0, 0, {}, {}, (), ())
    copies = len(evaluation.pictures) - len(distinct)
    bootstrap = Bootstrap(np.repeat(np.arange(len(each)), [len(of_picture) for of_picture in each]))
    table = _Table(evaluation, queries, bootstrap)
    return Summary(len(each), len(queries), table.scores(), table.chance(), table.curves(), table.heads(), copies)


def trapezoid(shares: tuple[float, ...]) -> Array:
    """Weights ``[shares]`` by which a curve's points add up to the area under it."""
    steps = np.diff(np.array(shares))
    weights: Array = np.append(steps, 0) / 2 + np.append(0, steps) / 2
    return weights


class _Table:
    """The results of all queries as arrays whose first axis is the query."""

    def __init__(self, evaluation: Evaluation, queries: list[QueryResult], bootstrap: Bootstrap) -> None:
        self.settings = evaluation.settings
        self.queries = queries
        self.bootstrap = bootstrap
        self.names = evaluation.settings.maps
        # [queries maps baselines directions shares quantities]
        self.values = np.array([[query.maps[name].curves for name in self.names] for query in queries])
        self.areas = np.moveaxis(self.values, 4, -1) @ trapezoid(self.settings.shares)

    def scores(self) -> dict[Measure, dict[str, Score]]:
        places = np.array([[[q.maps[m].places[p] for m in self.names] for p in PLACES] for q in self.queries])
        scores = {
            Measure(name, quantity, direction, baseline): self._compared(name, quantity, direction, baseline)
            for name, quantity in ((KEPT, "logit"), (AREA, "iou"), (AREA, "logit"), (AREA, "score"))
            for direction in DIRECTIONS
            for baseline in BASELINES
        }
        for place, name in enumerate(PLACES):
            drawn = self.bootstrap.mean(places[:, place])
            scores[Measure(name)] = {one: Score(drawn.estimate(column)) for column, one in enumerate(self.names)}
        empty = self.bootstrap.mean(np.array([[q.maps[m].is_empty for m in self.names] for q in self.queries], float))
        scores[Measure(EMPTY)] = {one: Score(empty.estimate(column)) for column, one in enumerate(self.names)}
        if self.settings.has_controls:
            methods = [name for name in self.names if name not in CONTROLS]
            alike = np.array([[_sanity(query.maps[name]) for name in methods] for query in self.queries])
            drawn = self.bootstrap.mean_of_known(alike)
            scores[Measure(SANITY)] = {one: Score(drawn.estimate(column)) for column, one in enumerate(methods)}
        return scores

    def chance(self) -> dict[Measure, Estimate]:
        drawn = self.bootstrap.mean(np.array([[query.chance[place] for place in PLACES] for query in self.queries]))
        return {Measure(name): drawn.estimate(place) for place, name in enumerate(PLACES)}

    def curves(self) -> tuple[Curve, ...]:
        drawn = self.bootstrap.mean(self.values)
        return tuple(
            Curve(
                name,
                quantity,
                direction,
                baseline,
                tuple(drawn.estimate(m, b, d, share, q) for share in range(len(self.settings.shares))),
            )
            for q, quantity in enumerate(QUANTITIES)
            for d, direction in enumerate(DIRECTIONS)
            for b, baseline in enumerate(BASELINES)
            for m, name in enumerate(self.names)
        )

    def heads(self) -> tuple[HeadEffect, ...]:
        effects = []
        for site in self.queries[0].heads:
            drawn = self.bootstrap.mean(np.array([query.heads[site] for query in self.queries]))
            effects += [
                HeadEffect(site, head, *(drawn.estimate(head, QUANTITIES.index(name)) for name in ("logit", "iou")))
                for head in range(drawn.values.shape[0])
            ]
        return tuple(effects)

    def _compared(self, name: str, quantity: str, direction: str, baseline: str) -> dict[str, Score]:
        b, d, q = BASELINES.index(baseline), DIRECTIONS.index(direction), QUANTITIES.index(quantity)
        areas = self.areas[:, :, b, d, q]
        if name == KEPT:
            whole, removed = self._ends(b, q)
            drawn = self.bootstrap.ratio(areas - removed, whole - removed)
        else:
            drawn = self.bootstrap.mean(areas)
        return self._scored(drawn, Measure(name, quantity, direction, baseline).better)

    def _ends(self, baseline: int, quantity: int) -> tuple[Array, Array]:
        """The quantity ``[queries 1]`` in the undisturbed picture, and with every cell removed."""
        deletion = self.values[:, :1, baseline, DIRECTIONS.index("deletion"), :, quantity]
        return deletion[..., 0], deletion[..., -1]

    def _scored(self, drawn: Drawn, better: int) -> dict[str, Score]:
        methods = [place for place, name in enumerate(self.names) if name not in CONTROLS]
        ranks = np.nan_to_num(better * drawn.values[methods], nan=-np.inf)
        best = methods[int(ranks.argmax())]
        versus = drawn.minus(best)
        scores = {}
        for place, name in enumerate(self.names):
            difference = versus.estimate(place)
            may_be_best = place == best or not difference.is_surely_not_zero
            is_best = drawn.has_intervals and place in methods and may_be_best
            scores[name] = Score(drawn.estimate(place), difference, is_best)
        return scores
