"""Where the outlines of the drawn shapes run, as seen from the model's cells.

The owner map of a drawing says which object owns each sample. From it follow, per cell of any grid,
whose outline passes through it and whether that object's leftmost, topmost, rightmost or bottommost
visible point lies in it.
Axes: B pictures, R C samples of the owner map, M objects, rows cols the model's cells.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from draw import MAX_OBJECTS
from torch import Tensor

_FROM_EDGE = 1  # samples: how near to an object's farthest sample still counts as its extremity


@dataclass(frozen=True)
class CellTargets:
    """What each cell shows; `[B rows cols]` each."""

    owner: Tensor  # index of the object whose outline or extremity is in the cell, else -1
    extremes: Tensor  # [B 4 rows cols], bool: left, top, right, bottom extremity of the owner
    shares: Tensor  # [B M rows cols], the part of the cell that each object's outline fills


def objects_of(owners: Tensor) -> Tensor:
    """The owner map as one mask per object: `[B R C] → [B M R C]`, bool."""
    return owners[:, None] == torch.arange(1, MAX_OBJECTS + 1, dtype=owners.dtype)[:, None, None]


def contours(owners: Tensor) -> Tensor:
    """Samples that lie on an object's outline: `[B R C]`, bool.

    An outline belongs to the object in front: a sample is on it when a neighbour lies behind.
    The picture's own border is no outline.
    """
    around = F.pad(owners[:, None].float(), (1, 1, 1, 1), mode="replicate")
    lowest = -F.max_pool2d(-around, kernel_size=3, stride=1)[:, 0]
    return lowest < owners.float()


def extremities(objects: Tensor) -> Tensor:
    """Samples at the left, top, right and bottom end of each object: `[B M R C] → [B 4 M R C]`."""
    cols, rows = objects.any(dim=2), objects.any(dim=3)
    left, right = _near_first(cols), _near_first(cols.flip(-1)).flip(-1)
    top, bottom = _near_first(rows), _near_first(rows.flip(-1)).flip(-1)
    bands = (left[:, :, None], top[..., None], right[:, :, None], bottom[..., None])
    return torch.stack([objects & band for band in bands], dim=1)


def cell_targets(owners: Tensor, rows: int, cols: int) -> CellTargets:
    """The outlines and extremities of every object, cell by cell."""
    objects = objects_of(owners)
    ends = extremities(objects)
    lines = objects & contours(owners)[:, None]
    shares = F.adaptive_avg_pool2d((lines | ends.any(dim=1)).float(), (rows, cols))
    largest, owner = shares.max(dim=1)
    in_cell = F.adaptive_avg_pool2d(ends.flatten(1, 2).float(), (rows, cols)) > 0
    in_cell = in_cell.view(-1, 4, MAX_OBJECTS, rows, cols)
    chosen = owner[:, None, None].expand(-1, 4, 1, -1, -1)
    extremes = in_cell.gather(2, chosen)[:, :, 0] & (largest > 0)[:, None]
    return CellTargets(owner.masked_fill(largest == 0, -1), extremes, shares)


def _near_first(is_used: Tensor) -> Tensor:
    """Places up to _FROM_EDGE after the first used one, along the last axis."""
    places = torch.arange(is_used.shape[-1])
    first = torch.where(is_used, places, len(places)).amin(dim=-1, keepdim=True)
    return places <= first + _FROM_EDGE
