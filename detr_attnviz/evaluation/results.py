"""What was measured in one picture, and how it is written down and read again without losing a bit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr_attnviz.evaluation.settings import BASELINES, DIRECTIONS, QUANTITIES, EvaluationSettings

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

    def fits(self, settings: EvaluationSettings) -> bool:
        """Whether it holds all that these settings ask for: somebody may have edited the file that it is from."""
        shape = (len(BASELINES), len(DIRECTIONS), len(settings.shares), len(QUANTITIES))
        return all(
            name in query.maps and query.maps[name].curves.shape == shape
            for query in self.queries
            for name in settings.maps
        )

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
    heads = {site: np.array(effects, dtype=np.float64) for site, effects in row["heads"].items()}
    if any(effects.ndim != 2 or effects.shape[1] != len(QUANTITIES) for effects in heads.values()):
        raise ValueError("heads have other quantities")
    return QueryResult(
        query=int(row["query"]),
        label=int(row["label"]),
        name=str(row["name"]),
        score=float(row["score"]),
        box=(left, top, right, bottom),
        chance=_at_places(row["chance"]),
        maps={name: _map(one) for name, one in row["maps"].items()},
        heads=heads,
    )


def _map(row: Mapping[str, Any]) -> MapResult:
    sanity = None if row["sanity"] is None else float(row["sanity"])
    curves = np.array(row["curves"], dtype=np.float64)
    return MapResult(bool(row["is_empty"]), _at_places(row["places"]), sanity, curves)


def _at_places(row: Mapping[str, Any]) -> dict[str, float]:
    return {place: float(row[place]) for place in PLACES}
