"""The same picture with some of its cells removed: blurred away, or filled with the picture's mean colour."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from detr_attnviz.evaluation.settings import BASELINES
from detr_attnviz.grid import Grid

BLUR = 0.1
"""The Gaussian's standard deviation as a part of the picture's shorter side."""


def baselines(pixels: Float[Tensor, "1 3 height width"]) -> Mapping[str, Tensor]:
    """What takes the place of removed cells, by name: ``[1 3 height width]`` each."""
    mean = pixels.cpu().double().mean(dim=(2, 3), keepdim=True).to(pixels).expand_as(pixels)
    return dict(zip(BASELINES, (_blurred(pixels), mean), strict=True))


def disturbed(
    pixels: Float[Tensor, "1 3 height width"],
    instead: Float[Tensor, "1 3 height width"],
    kept: Bool[Tensor, "batch height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """``pixels`` where they are kept, ``instead`` elsewhere."""
    return torch.where(kept[:, None], pixels, instead)


def in_pixels(kept: NDArray[np.bool_], grid: Grid, device: torch.device) -> Bool[Tensor, "batch height width"]:
    """Cells ``[batch rows cols]`` as pixels of the input; cells at the picture's edge are cut there, padding stays."""
    rows = _cell_of_pixels(grid.input_height_px, grid.stride_px, grid.rows)
    cols = _cell_of_pixels(grid.input_width_px, grid.stride_px, grid.cols)
    pixels = torch.from_numpy(kept[:, rows][:, :, cols]).to(device)
    if grid.canvas_px is None:
        return pixels
    below, beside = grid.canvas_px[0] - grid.input_height_px, grid.canvas_px[1] - grid.input_width_px
    return F.pad(pixels, (0, beside, 0, below), value=True)


def _cell_of_pixels(side_px: int, stride_px: float, cells: int) -> NDArray[np.int64]:
    return np.minimum((np.arange(side_px) / stride_px).astype(np.int64), cells - 1)


def _blurred(pixels: Tensor) -> Tensor:
    """A Gaussian over rows, then columns; at the edges over what there is of the picture."""
    height, width = pixels.shape[-2:]
    deviation = BLUR * min(height, width)
    down, across = (_gaussian(side, deviation).to(pixels) for side in (height, width))
    return down @ pixels @ across.T


def _gaussian(side: int, deviation: float) -> Tensor:
    """``[side side]``: every row is a Gaussian around its pixel, and sums to 1."""
    place = torch.arange(side, dtype=torch.float64)
    weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * deviation**2))
    return weights / weights.sum(1, keepdim=True)
