"""From a trace to an Explanation: the one call that every method is reached by."""

from collections.abc import Sequence
from typing import get_args

import numpy as np

from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Direction, Explanation, Kind
from detr_attnviz.methods.raw import Head, raw
from detr_attnviz.methods.select import FALLBACK, chosen_detections, select
from detr_attnviz.sites import SiteKind
from detr_attnviz.trace import Point, Trace, as_points

METHODS = ("raw",)
_SITE_KINDS: dict[Kind, SiteKind] = {
    "cross": "decoder-cross",
    "encoder": "encoder-self",
    "decoder-self": "decoder-self",
}


def explain(
    trace: Trace,
    *,
    method: str = "raw",
    kind: Kind = "cross",
    layer: int = -1,
    head: Head = "mean",
    queries: int | Sequence[int] | None = None,
    points: Point | Sequence[Point] | None = None,
    direction: Direction = "from",
) -> Explanation:
    """Maps of chosen queries by one method, with the picture and where they came from.

    ``kind`` is "cross" (object queries over the picture), "encoder" (cells over the picture, at ``points`` in
    original pixels) or "decoder-self" (object queries over object queries). ``layer`` counts from 0, −1 is
    the last. ``queries`` defaults to ``select(trace)``, or the three best when none is sure.

    Raises: ChoiceError for a method, kind, layer, head, query or point that does not exist.
    """
    if method not in METHODS:
        raise ChoiceError(f"no method {method!r}: methods are {', '.join(METHODS)}")
    site, number = find_site(trace, kind, layer)
    chosen, places = _targets(trace, kind, queries, points)
    maps = raw(trace, site, head=head, queries=None if places else chosen, points=places or None, direction=direction)
    return Explanation(
        image=trace.image,
        grid=trace.grid,
        maps=maps.cpu().numpy().astype(np.float32, copy=False),
        kind=kind,
        site=site,
        layer=number,
        head=str(head),
        method=method,
        detections=chosen_detections(trace, chosen),
        points=places,
        direction=direction,
        everyone=trace.detections if kind == "decoder-self" else (),
        provenance=trace.detector.provenance | ({"picture": trace.source} if trace.source else {}),
    )


def _targets(
    trace: Trace, kind: Kind, queries: int | Sequence[int] | None, points: Point | Sequence[Point] | None
) -> tuple[Sequence[int], tuple[Point, ...]]:
    """The object queries, or the places, that are to be explained: one of the two is empty."""
    if kind != "encoder":
        if points is not None:
            raise ChoiceError(f"points belong to kind 'encoder'; kind is {kind!r}")
        if queries is None:
            return select(trace, fallback=FALLBACK), ()
        return ([queries] if isinstance(queries, int) else queries), ()
    places = as_points(points) if points is not None else ()
    if queries is not None or not places:
        raise ChoiceError("encoder self-attention is shown at points: give points=[(x, y), …] in original pixels")
    return (), places


def find_site(trace: Trace, kind: Kind, layer: int) -> tuple[str, int]:
    """(site name, layer counted from 0) of a kind's layer.

    Raises: ChoiceError naming the kinds or the range of layers.
    """
    if kind not in get_args(Kind):
        raise ChoiceError(f"no kind {kind!r}: kinds are {', '.join(get_args(Kind))}")
    layers = [site for site in trace.detector.sites if site.kind == _SITE_KINDS[kind]]
    if not -len(layers) <= layer < len(layers):
        room = "encoder" if kind == "encoder" else "decoder"
        if not layers:
            raise ChoiceError(f"this checkpoint has no {room} attention of kind {kind}")
        raise ChoiceError(
            f"no layer {layer}: this checkpoint's {room} has {len(layers)} layers, 0–{len(layers) - 1} (−1 is the last)"
        )
    return layers[layer].name, layer % len(layers)
