"""From a trace to an Explanation: the one call that every method is reached by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction, Explanation, Kind, Samples
from detr_attnviz.grid import Grid
from detr_attnviz.methods.attn_gradcam import attn_gradcam
from detr_attnviz.methods.catalogue import ALL, LAST, MEAN, RAW, Head, Layers, checked_facts
from detr_attnviz.methods.decompose import TERMS, decompose
from detr_attnviz.methods.gradcam import gradcam
from detr_attnviz.methods.heads import Chosen
from detr_attnviz.methods.layers import ChosenSites, check_form, find_sites
from detr_attnviz.methods.raw import raw
from detr_attnviz.methods.relevance import relevance
from detr_attnviz.methods.rollout import rollout
from detr_attnviz.methods.samples import rest_of, samples_of
from detr_attnviz.methods.select import FALLBACK, chosen_detections, select
from detr_attnviz.methods.value_norm import value_norm
from detr_attnviz.recording.records import DenseRecord
from detr_attnviz.trace import Point, Trace, as_points

_T = TypeVar("_T")


def explain(
    trace: Trace,
    *,
    method: str = RAW,
    kind: Kind = "cross",
    layer: Layers = LAST,
    head: Head = MEAN,
    queries: int | Sequence[int] | None = None,
    points: Point | Sequence[Point] | None = None,
    direction: Direction = "from",
    term: str = "",
    level: int | None = None,
    point_level: int = 0,
) -> Explanation:
    """Maps of chosen queries by one method, with the picture and where they came from.

    ``method`` is one of ``methods.catalogue.METHODS``, which says what each leaves to choose. ``kind`` is "cross"
    (object queries over the picture), "encoder" (cells over the picture, at ``points`` in original pixels) or
    "decoder-self" (object queries over object queries). ``layer`` counts from 0, −1 is the last; several numbers or
    "all" give the mean of those layers. ``head`` is a head's number, "mean", "max" or "entropy-weighted". ``queries``
    defaults to ``select(trace)``, or the three best when none is sure. ``term`` is "content" or "spatial" where logits
    are made of these; ``level`` one feature map of sampled attention, and ``point_level`` the one whose cell at
    ``points`` looks, both from 0, the finest.

    Raises: ChoiceError for a method, kind, layer, head, query, point, term or level that does not exist, that the
    method does not leave to choose, or that this detector lacks.
    """
    facts = checked_facts(method, kind, layer, head, direction, term, level, point_level)
    chosen, places = _targets(trace, kind, queries, points)
    detections = chosen_detections(trace, chosen)
    sites = _BACKBONE if method == "gradcam" else find_sites(trace, kind, ALL if facts.layers == "none" else layer)
    if method != RAW:
        check_form([trace.site(name) for name in sites.names], method)
    what = Chosen(head, None if places else chosen, places or None, direction, term, level, point_level)
    found = _METHODS[method](_Asked(trace, sites, what))
    maps_each = len(set(found.terms)) or 1
    return Explanation(
        image=trace.image,
        grid=_grid(trace, sites, level),
        maps=found.maps.cpu().numpy().astype(np.float32, copy=False),
        kind=kind,
        site=sites.name,
        layers=sites.layers,
        head=str(head) if facts.has_heads else "",
        method=method,
        form="sampled" if _is_sampled(trace, sites) else "dense",
        is_part=method == RAW and any(_is_part(trace, name) for name in sites.names),
        quantity=facts.quantity,
        is_signed=facts.is_signed,
        terms=found.terms,
        shares=found.shares,
        detections=_repeated(detections, maps_each),
        points=_repeated(places, maps_each),
        direction=direction,
        everyone=trace.detections if kind == "decoder-self" else (),
        term=term,
        level=level,
        point_level=point_level if places and _is_sampled(trace, sites) else None,
        rest=found.rest,
        rest_where=found.rest_where,
        samples=found.samples,
        provenance=trace.detector.provenance | ({"picture": trace.source} if trace.source else {}),
    )


def _grid(trace: Trace, sites: ChosenSites, level: int | None) -> Grid:
    if not sites.names:
        return trace.grid
    grid = trace.grid_of(sites.names[-1], level)
    return grid.filled() if _is_sampled(trace, sites) else grid


def _is_sampled(trace: Trace, sites: ChosenSites) -> bool:
    return any(trace.site(name).form == "sampled" for name in sites.names)


def _is_part(trace: Trace, site: str) -> bool:
    """Whether the softmax also ran over tokens that maps have no place for."""
    record = trace.records[site]
    return isinstance(record, DenseRecord) and (trace.site(site).is_part or record.call.shown is not None)


@dataclass(frozen=True)
class _Asked:
    """A question that the catalogue allows."""

    trace: Trace
    sites: ChosenSites
    chosen: Chosen

    @property
    def queries(self) -> tuple[int, ...]:
        """The object queries that are meant, none for points."""
        return tuple(self.chosen.queries or ())  # type: ignore[arg-type]  # explain gives a sequence


@dataclass(frozen=True, eq=False)
class _Found:
    maps: Tensor
    terms: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    rest: tuple[float, ...] = ()
    rest_where: str = ""
    samples: Samples | None = None


_Run = Callable[[_Asked], _Found]


def _raw(asked: _Asked) -> _Found:
    chosen, names = asked.chosen, asked.sites.names
    maps = raw(asked.trace, names, **_as_arguments(chosen))
    samples = samples_of(asked.trace, names, chosen)
    rest, where = rest_of(asked.trace, names, chosen, maps, samples)
    return _Found(maps, rest=rest, rest_where=where, samples=samples)


def _value_norm(asked: _Asked) -> _Found:
    about = _as_arguments(asked.chosen)
    wanted = {name: about[name] for name in ("head", "queries", "points", "direction")}
    return _Found(value_norm(asked.trace, asked.sites.names, **wanted))


def _as_arguments(chosen: Chosen) -> dict[str, Any]:
    return {field.name: getattr(chosen, field.name) for field in fields(chosen)}


def _of_queries(run: Callable[[Trace, Sequence[int]], Tensor]) -> _Run:
    """A method of object queries that leaves nothing else to choose."""

    def found(asked: _Asked) -> _Found:
        grid = asked.trace.grid
        return _Found(run(asked.trace, asked.queries) if asked.queries else torch.zeros(0, grid.rows, grid.cols))

    return found


def _attn_gradcam(asked: _Asked) -> _Found:
    (layer,) = asked.sites.layers
    return _of_queries(lambda trace, queries: attn_gradcam(trace, queries, layer=layer))(asked)


def _decompose(asked: _Asked) -> _Found:
    (site,) = asked.sites.names
    record = asked.trace.records.dense(site)
    if not record.is_multihead:
        instead = f"choose term {' or '.join(record.terms)} instead" if record.terms else "choose raw or value-norm"
        raise ChoiceError(f"method decompose tells terms of nn.MultiheadAttention only, and {site} is none: {instead}")
    about = asked.chosen
    found = decompose(asked.trace, site, head=about.head, queries=about.queries, points=about.points)
    return _Found(found.maps, TERMS * (len(found.maps) // len(TERMS)), found.shares)


_BACKBONE = ChosenSites("backbone")
_METHODS: Mapping[str, _Run] = {
    RAW: _raw,
    "rollout": _of_queries(rollout),
    "attn-gradcam": _attn_gradcam,
    "relevance": _of_queries(relevance),
    "value-norm": _value_norm,
    "decompose": _decompose,
    "gradcam": _of_queries(gradcam),
}


def _targets(
    trace: Trace, kind: Kind, queries: int | Sequence[int] | None, points: Point | Sequence[Point] | None
) -> tuple[tuple[int, ...], tuple[Point, ...]]:
    """The object queries, or the places, that are to be explained: one of the two is empty."""
    if kind != "encoder":
        if points is not None:
            raise ChoiceError(f"points belong to kind 'encoder'; kind is {kind!r}")
        if queries is None:
            return select(trace, fallback=FALLBACK), ()
        return ((int(queries),) if isinstance(queries, (int, Integral)) else tuple(map(int, queries))), ()
    places = as_points(points) if points is not None else ()
    if queries is not None or not places:
        raise ChoiceError("encoder self-attention is shown at points: give points=[(x, y), …] in original pixels")
    return (), places


def _repeated(items: Iterable[_T], times: int) -> tuple[_T, ...]:
    return tuple(item for item in items for _ in range(times))
