"""What was measured in one picture, and how it is written down and read again without losing a bit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr_attnviz.evaluation.settings import EvaluationSettings

Box = tuple[float, float, float, float]
Curves = NDArray[np.float64]
"""One map's of one query: ``[baselines directions shares quantities]``, in the order of ``settings``."""
HeadEffects = NDArray[np.float64]
"""One query's at one site, ``[heads quantities]``: with the head silenced minus as it was."""
PLACES = ("energy", "pointing", "pointing_near")
"""Of a map and a box: mass inside; peak inside; peak inside or at most a cell away."""


@dataclass(frozen=True, eq=False)
class MapResult:
    """One map of one query.

    ``is_empty`` when it holds all cells equal, and so ranks none. ``sanity`` is its rank correlation with the same
    method's map on the shuffled model, if there is one.
    """

    is_empty: bool
    places: Mapping[str, float]
    sanity: float | None
    curves: Curves = field(repr=False)


@dataclass(frozen=True, eq=False)
class QueryResult:
    """One chosen query. ``chance`` is what a map that is equal everywhere has in its box; ``heads`` are by site."""

    query: int
    label: int
    name: str
    score: float
    box: Box
    chance: Mapping[str, float]
    maps: Mapping[str, MapResult]
    heads: Mapping[str, HeadEffects]


@dataclass(frozen=True, eq=False)
class PictureResult:
    """One picture: its location below the inputs' folder, the file's sha256, its queries, and what it took."""

    picture: str
    sha256: str
    queries: tuple[QueryResult, ...]
    forwards: int

    def as_row(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**_fields(self), "queries": [_query_row(query) for query in self.queries]}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "PictureResult":
        """The inverse of ``as_row``.

        Raises: KeyError, TypeError or ValueError for anything else.
        """
        queries = tuple(_query(query) for query in row["queries"])
        return cls(str(row["picture"]), str(row["sha256"]), queries, int(row["forwards"]))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that was measured, picture by picture; ``summary`` makes means of it.

    ``failures`` are (picture, why) of those that could not be read. ``resumed`` counts those whose results an earlier
    run had left.
    """

    settings: EvaluationSettings
    provenance: Mapping[str, str]
    pictures: tuple[PictureResult, ...] = field(repr=False)
    failures: tuple[tuple[str, str], ...] = ()
    resumed: int = 0

    @property
    def queries(self) -> int:
        """How many queries were evaluated."""
        return sum(len(picture.queries) for picture in self.pictures)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _query_row(query: QueryResult) -> dict[str, Any]:
    maps = {name: {**_fields(one), "curves": one.curves.tolist()} for name, one in query.maps.items()}
    heads = {site: effects.tolist() for site, effects in query.heads.items()}
    return {**_fields(query), "box": list(query.box), "maps": maps, "heads": heads}


def _query(row: Mapping[str, Any]) -> QueryResult:
    left, top, right, bottom = map(float, row["box"])
    maps = {
        name: MapResult(one["is_empty"], one["places"], one["sanity"], np.array(one["curves"], dtype=np.float64))
        for name, one in row["maps"].items()
    }
    heads = {site: np.array(effects, dtype=np.float64) for site, effects in row["heads"].items()}
    known = {name: row[name] for name in ("query", "label", "name", "score", "chance")}
    return QueryResult(**known, box=(left, top, right, bottom), maps=maps, heads=heads)
