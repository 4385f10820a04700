"""What one site of deformable attention saw in one forward: where each query read the feature maps, and how much.

A record keeps what went in; locations and weights are computed when asked. On a grid, a sample's weight goes to the
four cells around its place in the shares that bilinear interpolation reads them in. So the map of one level, on that
level's own cells, is exactly the weight that each cell's value had in the output; what interpolation would read beyond
the feature map is zero to the model, and counts as outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.recording.kept import KeptCall, checked, wide
from detr_attnviz.sites import SampledCall, SampledReader

_CHUNK_VALUES = 16_000_000  # 64 MB of float32 while samples are spread
_IS_SAMPLED = "has no query × token weights: it reads a few places a query, see SampledRecord.map"


class Splat(NamedTuple):
    """Weights on a grid, ``maps [batch heads queries rows cols]``, and what lies ``outside [batch heads queries]``."""

    maps: Tensor
    outside: Tensor


class SampledRecord:
    """One call of deformable attention, whose inputs are kept as ``DenseRecord`` keeps them."""

    def __init__(
        self,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        read: SampledReader,
        copy: bool = True,
    ) -> None:
        names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
        self._kept = KeptCall(module, args, kwargs, names, copy)
        self._read = read

    @cached_property
    def call(self) -> SampledCall:
        """Locations, weights, levels and shapes, in float32 or wider.

        Raises: CaptureError if inputs or weights were changed in place since and no copies were kept, or when the
        reader's shapes do not fit together.
        """
        call = self._kept.asked(self._read, self._kept.args, self._kept.kwargs)
        batch, heads, queries, samples = call.weights.shape if call.weights.dim() == 4 else (0, 0, 0, 0)
        fits = (
            call.locations.shape == (batch, heads, queries, samples, 2)
            and len(call.levels) == samples > 0
            and call.reference.shape == (batch, queries, 2)
            and all(0 <= level < len(call.shapes) for level in call.levels)
        )
        if not fits:
            raise CaptureError(
                f"the reader of {type(self._kept.module).__name__} gave locations {list(call.locations.shape)}, "
                f"weights {list(call.weights.shape)}, reference {list(call.reference.shape)}, {len(call.levels)} "
                f"levels and {len(call.shapes)} shapes: expected [batch heads queries samples 2], [batch heads queries "
                "samples], [batch queries 2], a level per sample and a shape per level"
            )
        return SampledCall(wide(call.locations), wide(call.weights), call.levels, call.shapes, wide(call.reference))

    @property
    def batch(self) -> int:
        """Pictures in the batch."""
        return self.call.weights.shape[0]

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.call.weights.shape[1]

    @property
    def queries(self) -> int:
        """Queries that read the feature maps; in an encoder the cells of all levels, one level after the other."""
        return self.call.weights.shape[2]

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(rows, cols) of each level, padding included."""
        return self.call.shapes

    @property
    def locations(self) -> Float[Tensor, "batch heads queries samples 2"]:
        """(x, y) of every sample in 0–1 of the padded input; it may lie outside."""
        return self.call.locations

    @property
    def weights(self) -> Float[Tensor, "batch heads queries samples"]:
        """How much each sample counts: they sum to 1 over a query's samples."""
        return self.call.weights

    @property
    def nbytes(self) -> int:
        """Bytes of the inputs that the record holds on to, each counted once."""
        return self._kept.nbytes

    def map(
        self,
        queries: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        *,
        level: int | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Splat:
        """The weights of chosen queries and heads on a grid; together with ``outside`` they sum to 1.

        ``shape`` is the grid's (rows, cols) over the padded input, by default the first level's, which is the finest.
        With ``level`` it is that one's samples alone, by default on its own cells, and they sum to what that level has
        of the whole.

        Raises: ChoiceError for an index out of range; CaptureError if inputs or weights changed since.
        """
        call = self.call
        rows, chosen = checked(queries, self.queries, "query"), checked(heads, self.heads, "head")
        samples = self._samples_of(level)
        shape = shape or call.shapes[0 if level is None else level]
        step = max(1, _CHUNK_VALUES // max(1, self.batch * len(chosen) * (len(samples) * 8 + shape[0] * shape[1])))
        parts = []
        for start in range(0, max(1, len(rows)), step):
            some = rows[start : start + step]
            locations = call.locations[:, chosen][:, :, some][..., samples, :]
            parts.append(splat(locations, call.weights[:, chosen][:, :, some][..., samples], shape))
        return Splat(torch.cat([part.maps for part in parts], 2), torch.cat([part.outside for part in parts], 2))

    def columns(self, *_: Any, **__: Any) -> Tensor:
        """Raises: ChoiceError, as who looks at a cell is not told by where each query looks."""
        raise ChoiceError(f"{type(self._kept.module).__name__} {_IS_SAMPLED}")

    def picture(self, index: int) -> "SampledRecord":
        """The record of one picture of the batch alone: its batch axis is 1. Computes nothing yet."""
        return _PictureRecord(self, index)

    def _samples_of(self, level: int | None) -> list[int]:
        if level is None:
            return list(range(len(self.call.levels)))
        checked(level, len(self.call.shapes), "level")
        return [index for index, own in enumerate(self.call.levels) if own == level]


class _PictureRecord(SampledRecord):
    """One picture out of a batch's record, whose locations are computed once for all."""

    def __init__(self, whole: SampledRecord, index: int) -> None:
        self._whole = whole
        self._index = index
        self._kept = whole._kept

    @cached_property
    def call(self) -> SampledCall:
        call = self._whole.call
        own = checked(self._index, self._whole.batch, "picture")
        return SampledCall(call.locations[own], call.weights[own], call.levels, call.shapes, call.reference[own])

    @property
    def nbytes(self) -> int:
        return self._whole.nbytes // self._whole.batch


def splat(
    locations: Float[Tensor, "*leading samples 2"], weights: Float[Tensor, "*leading samples"], shape: tuple[int, int]
) -> Splat:
    """Weights at (x, y) in 0–1 on a grid of ``shape`` (rows, cols), bilinear; the reverse of how they were read.

    Source: torch.nn.functional.grid_sample with align_corners=False and zeros beyond the edge, transposed.
    """
    maps = weights.new_zeros(*weights.shape[:-1], shape[0] * shape[1])
    for is_inside, cells, shares in corners(locations, weights, shape):
        maps.scatter_add_(-1, torch.where(is_inside, cells, 0), shares)
    return Splat(maps.unflatten(-1, shape), weights.sum(-1) - maps.sum(-1))


def corners(
    locations: Float[Tensor, "*leading samples 2"], weights: Float[Tensor, "*leading samples"], shape: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The four cells around every sample, one corner after the other: whether it is one, its number, its share.

    All are ``[*leading samples]``; beyond the edge there is no cell, and the share is 0.
    """
    rows, cols = shape
    x, y = locations[..., 0] * cols - 0.5, locations[..., 1] * rows - 0.5
    left, top = x.floor(), y.floor()
    for col, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            is_inside = (col >= 0) & (col < cols) & (row >= 0) & (row < rows)
            cells = torch.where(is_inside, row * cols + col, -1).long()
            yield is_inside, cells, torch.where(is_inside, weights * across * down, 0)
