"""Where the deformable attention of transformers' models reads their feature maps.

Every query reads a few places of every feature map, bilinearly, around the place or box that it starts from. Modules
hand neither places nor weights out, so readers compute both from what went in, by the module's own projections and in
the order of its own operations: the same numbers to the bit.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, CheckpointError
from detr_attnviz.sites import AttentionSite, Note, SampledCall, SampledReader

_NEEDED = ("hidden_states", "position_embeddings", "reference_points", "spatial_shapes_list")
_OPTIONAL = "position_embeddings"
_METHODS = ("default", "discrete")
_PLACE = re.compile(r"(?:^|\.)(encoder|decoder)\.layers\.(\d+)\.")


@dataclass(frozen=True)
class _Kind:
    """A formula, and how a family's module calls what it needs; ``method`` and ``scale`` are "" where it has none."""

    read: Callable[[Any, Mapping[str, Any], "_Kind"], SampledCall]
    points: str
    method: str = ""
    scale: str = ""

    @property
    def attributes(self) -> tuple[str, ...]:
        own = (self.points, self.method, self.scale, "offset_scale" if self.scale else "")
        return ("sampling_offsets", "attention_weights", "n_heads", "n_levels", *filter(None, own))

    def points_of(self, part: Any) -> Sequence[int]:
        """Samples of one head at each level."""
        points = getattr(part, self.points)
        return [points] * part.n_levels if isinstance(points, int) else points

    def reader(self) -> SampledReader:
        return lambda part, args, kwargs: self.read(part, kwargs, self)


def sampled_sites(model: nn.Module) -> tuple[AttentionSite, ...]:
    """Every place of deformable attention in a transformers model, in the order of the forward.

    ``encoder.N.self`` has a query for every cell, one level after the other; ``decoder.N.cross`` one for every object.

    Raises: CheckpointError for a configuration that reads feature maps in a way that is not known here; CaptureError
    for a family or a module that is not.
    """
    parts = {name: part for name, part in model.named_modules() if _is_sampled(part)}
    if not parts:
        return ()
    kind = _kind_of(model)
    for part in parts.values():
        _refuse_unknown(part, kind)
    return tuple(sorted((_site(name, part, kind) for name, part in parts.items()), key=_order))


def _is_sampled(part: nn.Module) -> bool:
    return isinstance(getattr(part, "sampling_offsets", None), nn.Linear)


def _kind_of(model: nn.Module) -> _Kind:
    model_type = str(getattr(getattr(model, "config", None), "model_type", type(model).__name__))
    if model_type not in _KINDS:
        raise CaptureError(
            f"{model_type} has deformable attention, whose formula is not known for this model; it is known for "
            f"{', '.join(sorted(_KINDS))}"
        )
    return _KINDS[model_type]


def _refuse_unknown(part: Any, kind: _Kind) -> None:
    what = type(part).__name__
    missing = [name for name in kind.attributes if not hasattr(part, name)]
    if missing:
        raise CaptureError(
            f"{what} has no {', '.join(missing)}, which its places are computed from: this version of transformers "
            "builds it in a way that is not known here; known are versions from 5.4"
        )
    method = getattr(part, kind.method) if kind.method else "default"
    if method not in _METHODS:
        raise CheckpointError(
            f"the configuration's decoder_method is {method!r}, by which {what} is not known to read feature maps: it "
            f"must be one of {', '.join(_METHODS)}"
        )
    points = list(kind.points_of(part))
    found, expected = part.sampling_offsets.out_features, 2 * part.n_heads * sum(points)
    if found != expected or len(points) != part.n_levels:
        raise CaptureError(
            f"{what} has {found} offsets for {part.n_heads} heads, {part.n_levels} levels and {points} points, "
            f"expected {expected}: its samples lie in a way that is not known here"
        )


def _site(name: str, part: nn.Module, kind: _Kind) -> AttentionSite:
    place = _PLACE.search(f"{name}.")
    if place is None:
        raise CaptureError(f"{type(part).__name__} at {name} is in no numbered layer of an encoder or a decoder")
    stack, layer = place[1], int(place[2])
    if stack == "encoder":
        return AttentionSite(f"encoder.{layer}.self", "encoder-self", layer, part, kind.reader(), "sampled", 0, _listen)
    return AttentionSite(f"decoder.{layer}.cross", "decoder-cross", layer, part, kind.reader(), "sampled", 0, _listen)


def _order(site: AttentionSite) -> tuple[bool, int]:
    return site.kind == "decoder-cross", site.layer


def _listen(module: nn.Module, note: Note) -> Callable[[], None]:
    """A forward hook that passes on what places depend on, so that no record holds on to the feature maps."""
    form = signature(module.forward)
    rest = next((name for name, each in form.parameters.items() if each.kind is Parameter.VAR_KEYWORD), "")

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        named = form.bind(*args, **kwargs).arguments
        given = {**named, **named.get(rest, {})}
        missing = [name for name in _NEEDED if name != _OPTIONAL and name not in given]
        if missing:
            raise CaptureError(
                f"{type(module).__name__} was called without {', '.join(missing)} by name, which its places are "
                "computed from: name them in its forward, or pass them by name"
            )
        note((), {name: given[name] for name in _NEEDED if name in given})

    return module.register_forward_hook(hook, with_kwargs=True).remove


def _read_equal_points(part: Any, kwargs: Mapping[str, Any], kind: _Kind) -> SampledCall:
    """As many points at every level: offsets in cells from a point; from a box, in halves of its sides ÷ points.

    Source: Zhu et al. 2021, arXiv 2010.04159, eq. 3 and appendix A.4 (box refinement).
    """
    queries, shapes, reference = _queries(kwargs), _shapes(kwargs), kwargs["reference_points"]
    levels, points = part.n_levels, part.n_points
    offsets = part.sampling_offsets(queries).unflatten(-1, (part.n_heads, levels, points, 2))
    if reference.shape[-1] == 2:
        steps = offsets / _sizes(shapes, reference)[:, None]
    else:
        steps = offsets / points * reference[:, :, None, :, None, 2:] * 0.5
    locations = reference[:, :, None, :, None, :2] + steps
    return _call(part, queries, locations.flatten(3, 4), [points] * levels, shapes, reference)


def _read_own_points(part: Any, kwargs: Mapping[str, Any], kind: _Kind) -> SampledCall:
    """A number of points for each level: offsets in shares of a box's sides ÷ points; "discrete" reads whole cells.

    Source: Lv et al. 2024, arXiv 2407.17140 (RT-DETRv2).
    """
    queries, shapes, reference = _queries(kwargs), _shapes(kwargs), kwargs["reference_points"]
    points = kind.points_of(part)
    offsets = part.sampling_offsets(queries).unflatten(-1, (part.n_heads, sum(points), 2))
    scale = getattr(part, kind.scale).to(queries.dtype)[:, None]
    steps = offsets * scale * reference[:, :, None, :, 2:] * part.offset_scale
    locations = reference[:, :, None, :, :2] + steps
    if getattr(part, kind.method) == "discrete":
        counts = torch.tensor(points, device=reference.device)
        locations = _cell_middles(locations, _sizes(shapes, reference).repeat_interleave(counts, 0))
    return _call(part, queries, locations, points, shapes, reference)


def _call(
    part: Any,
    queries: Tensor,
    locations: Tensor,
    points: Sequence[int],
    shapes: tuple[tuple[int, int], ...],
    reference: Tensor,
) -> SampledCall:
    weights = part.attention_weights(queries).unflatten(-1, (part.n_heads, sum(points))).softmax(-1)
    levels = tuple(level for level, count in enumerate(points) for _ in range(count))
    # Levels share one reference but for the rounding of how much of each is padding; the finest rounds least.
    return SampledCall(locations.transpose(1, 2), weights.transpose(1, 2), levels, shapes, reference[:, :, 0, :2])


def _queries(kwargs: Mapping[str, Any]) -> Tensor:
    hidden, positions = kwargs["hidden_states"], kwargs.get("position_embeddings")
    return hidden if positions is None else hidden + positions  # type: ignore[no-any-return]


def _shapes(kwargs: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    return tuple((int(rows), int(cols)) for rows, cols in kwargs["spatial_shapes_list"])


def _sizes(shapes: tuple[tuple[int, int], ...], like: Tensor) -> Tensor:
    """``[levels 2]``: (cols, rows), as offsets are (x, y)."""
    return torch.tensor([(cols, rows) for rows, cols in shapes], device=like.device)


def _cell_middles(locations: Tensor, sizes: Tensor) -> Tensor:
    """The middles of the cells that are read: rounded to a cell's number, not to the cell around the place."""
    cells = (locations * sizes + 0.5).to(torch.int64)
    return (torch.minimum(cells.clamp(min=0), sizes - 1) + 0.5) / sizes


_EQUAL_POINTS = _Kind(_read_equal_points, "n_points")
_OWN_POINTS = _Kind(_read_own_points, "num_points_list", "decoder_method", "num_points_scale")
_KINDS: Mapping[str, _Kind] = {
    "deformable_detr": _EQUAL_POINTS,
    "rt_detr": _EQUAL_POINTS,
    "lw_detr": _EQUAL_POINTS,
    "rf_detr": _EQUAL_POINTS,
    "pp_doclayout_v2": _EQUAL_POINTS,
    "pp_doclayout_v3": _EQUAL_POINTS,
    "pp_doclayout_v4": _EQUAL_POINTS,
    "grounding-dino": _EQUAL_POINTS,
    "mm-grounding-dino": _EQUAL_POINTS,
    "rt_detr_v2": _Kind(_read_own_points, "n_points_list", "method", "n_points_scale"),
    "d_fine": _OWN_POINTS,
    "deimv2": _OWN_POINTS,
}
