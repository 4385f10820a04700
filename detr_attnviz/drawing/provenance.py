"""What a picture carries inside: which map it shows, how that peaks, and which method, model and settings made it."""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from detr_attnviz.explanation import Explanation
from detr_attnviz.plain import encodable

Row = dict[str, Any]
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


def target_of(explanation: Explanation, index: int) -> Row:
    """The object query (or the point) that map ``index`` is of, which term if there are several, and its peak."""
    about: Row = {"peak": _peak(explanation, index)}
    if holes := explanation.holes(index):
        about["not_finite"] = holes
    if explanation.terms:
        about |= {"term": explanation.terms[index], "share": _number(explanation.shares[index])}
    if explanation.rest:
        about["rest"] = _number(explanation.rest[index])
    if explanation.kind == "encoder":
        return {"point": [_number(value) for value in explanation.points[index]], **about}
    seen = explanation.detections[index]
    return {
        "query": seen.index,
        "label": seen.label,
        "name": seen.name,
        "score": _number(seen.score),
        "box": [_number(value) for value in seen.box],
        **about,
    }


def origin_of(explanation: Explanation, settings: Mapping[str, Any] = NO_SETTINGS) -> Row:
    """What all maps of an explanation share: site, method, the model they come from, and ``settings``."""
    known = {name: value for name, value in explanation.provenance.items() if name not in ("picture", "note")}
    return {
        "kind": explanation.kind,
        "site": explanation.site,
        "layer": explanation.layers[0] if len(explanation.layers) == 1 else list(explanation.layers),
        "head": explanation.head,
        "method": explanation.method,
        "quantity": explanation.quantity,
        **({"direction": explanation.direction} if explanation.kind == "encoder" else {}),
        **({"term": explanation.term} if explanation.term else {}),
        **({"level": explanation.level} if explanation.level is not None else {}),
        **({"point_level": explanation.point_level} if explanation.point_level is not None else {}),
        **({"rest_where": explanation.rest_where} if explanation.rest else {}),
        "checkpoint": known.pop("checkpoint", ""),
        "checkpoint_sha256": known.pop("checkpoint_sha256", ""),
        "settings": {**settings, **known},
    }


def text_of(explanation: Explanation, index: int | None = None) -> dict[str, str]:
    """What a picture file carries inside: provenance, site and method, and the query of a picture of one map."""
    origin = origin_of(explanation) | (target_of(explanation, index) if index is not None else {})
    origin.pop("settings")
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in origin.items()}
    return {name: encodable(value).replace("\0", "") for name, value in {**explanation.provenance, **text}.items()}


def _peak(explanation: Explanation, index: int) -> list[float | None] | None:
    values = explanation.maps[index]
    if not values.max() > values.min():  # nor with NaN
        return None
    return [_number(value) for value in explanation.peak(index)]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
