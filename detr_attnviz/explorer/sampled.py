"""One site of sampled attention on the page: where each query reads and how much, and how far its maps are off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from detr_attnviz.explorer.arrays import (
    TOLERANCE,
    Arrays,
    Packed,
    Row,
    array_of,
    as_floats,
    as_integers,
    as_shares,
    largest_part,
)
from detr_attnviz.explorer.grids import grid_row, sampled_grid_row
from detr_attnviz.recording.sampled import corners
from detr_attnviz.sites import SampledCall
from detr_attnviz.trace import Trace

_CHUNK_VALUES = 4_000_000  # 32 MB of float64 while a site's rows are compared
_Canvases = Sequence[tuple[int | None, tuple[int, int]]]


def sampled_site(trace: Trace, name: str, arrays: Arrays, point_levels: tuple[int, ...]) -> Row:
    """The document's entry of a site of sampled attention; of an encoder's cells those of ``point_levels``."""
    site, call = trace.site(name), trace.records.sampled(name).call
    rows, levels = _embedded(trace, call, point_levels) if site.kind == "encoder-self" else (slice(None), None)
    locations, weights, reference = (part[0].cpu() for part in (call.locations, call.weights, call.reference))
    read = _Read(locations[:, rows].double(), weights[:, rows].double(), reference[rows].float())
    canvases = [(None, trace.grid_of(name).canvas), *((level, call.shapes[level]) for level in set(call.levels))]
    twin, error = _closest(read, call.levels, canvases)
    return {
        "name": name,
        "layer": site.layer,
        "form": "sampled",
        "heads": read.weights.shape[0],
        "queries": read.weights.shape[1],
        "samples": read.weights.shape[2],
        "levels": list(call.levels),
        "shapes": [list(shape) for shape in call.shapes],
        "strides_px": [grid.stride_px for grid in trace.levels],
        "grid": sampled_grid_row(trace.grid_of(name)),
        "level_grids": [sampled_grid_row(grid) for grid in trace.levels],
        "rows": levels,
        "locations": twin.offsets.entry(arrays),
        "weights": twin.weights.entry(arrays),
        "reference": arrays.add(array_of(read.reference)),
        "error": error,
    }


def _embedded(trace: Trace, call: SampledCall, levels: tuple[int, ...]) -> tuple[list[int], list[Row]]:
    """The rows of an encoder's map that the page has, and where each level's cells begin among them."""
    sizes = [rows * cols for rows, cols in call.shapes]
    starts = [0, *accumulate(sizes)]
    rows: list[int] = []
    entries: list[Row] = []
    for level in levels:
        entries.append({"level": level, "first": len(rows), "grid": grid_row(trace.levels[level])})
        rows += range(starts[level], starts[level + 1])
    return rows, entries


@dataclass(frozen=True, eq=False)
class _Read:
    """What the record has: ``locations [heads rows samples 2]``, ``weights [heads rows samples]``, ``reference``."""

    locations: Tensor
    weights: Tensor
    reference: Tensor

    @property
    def offsets(self) -> Tensor:
        """``[heads rows samples·2]`` from the reference."""
        return (self.locations - self.reference[:, None]).flatten(2)

    def part(self, rows: slice, samples: list[int]) -> "_Read":
        """Some rows and samples."""
        return _Read(self.locations[:, rows][..., samples, :], self.weights[:, rows][..., samples], self.reference)

    def mean(self) -> "_Read":
        """The mean of all heads: their samples together."""
        locations, weights = (values.transpose(0, 1).flatten(1, 2)[None] for values in (self.locations, self.weights))
        return _Read(locations, weights / len(self.weights), self.reference)

    def corners(self, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The four cells around each sample and their shares, ``[heads rows samples·4]`` both; −1, 0 outside."""
        _, cells, shares = zip(*corners(self.locations, self.weights, canvas), strict=True)
        return torch.cat(cells, -1), torch.cat(shares, -1)


@dataclass(frozen=True, eq=False)
class _Twin:
    """What the page has of it."""

    offsets: Packed
    weights: Packed
    reference: Tensor

    @property
    def read(self) -> _Read:
        """What that comes to."""
        locations = self.offsets.restored.double().unflatten(2, (-1, 2)) + self.reference[:, None]
        return _Read(locations, self.weights.restored.double(), self.reference)


def _closest(read: _Read, levels: tuple[int, ...], canvases: _Canvases) -> tuple[_Twin, float]:
    """In 16 bits what is close enough in them, else in 32; and how far that is."""
    twin, error = None, float("inf")
    for twin in _twins(read):
        error = max(_apart(read, twin.read, levels, level, canvas) for level, canvas in canvases)
        if error <= TOLERANCE:
            break
    assert twin is not None
    return twin, error


def _twins(read: _Read) -> Iterator[_Twin]:
    offsets, weights = read.offsets, read.weights
    if bool(offsets.isfinite().all() & weights.isfinite().all()):
        shares = as_shares(weights)
        yield _Twin(as_integers(offsets), shares, read.reference)
        yield _Twin(as_floats(offsets), shares, read.reference)
    yield _Twin(as_floats(offsets), as_floats(weights), read.reference)


def _apart(true: _Read, own: _Read, levels: tuple[int, ...], level: int | None, canvas: tuple[int, int]) -> float:
    """The largest difference of two readings on a grid, as a part of a row's peak there; of one level's samples or all.

    Only the cells that are touched are compared: there are few of them.
    """
    chosen = [index for index, of in enumerate(levels) if level in (None, of)]
    step = max(1, _CHUNK_VALUES // (true.weights.shape[0] * len(chosen) * 8))
    worst = [0.0]
    for start in range(0, true.weights.shape[1], step):
        there, here = (read.part(slice(start, start + step), chosen) for read in (true, own))
        worst += [_apart_in(there, here, canvas), _apart_in(there.mean(), here.mean(), canvas)]
    return max(worst)


def _apart_in(true: _Read, own: _Read, canvas: tuple[int, int]) -> float:
    (cells, there), (own_cells, here) = true.corners(canvas), own.corners(canvas)
    order = (both := torch.cat((cells, own_cells), -1)).argsort(-1)
    ordered = both.gather(-1, order)
    run = F.pad(ordered[..., 1:] != ordered[..., :-1], (1, 0)).cumsum(-1)  # which of the cells touched it is
    maps = [
        torch.zeros_like(order, dtype=here.dtype).scatter_add_(-1, run, torch.cat(shares, -1).gather(-1, order))
        for shares in ((there, torch.zeros_like(here)), (torch.zeros_like(there), here))
    ]
    return largest_part((maps[0] - maps[1]).abs().amax(-1), maps[0].amax(-1))
