"""A map over a picture: exact geometry, then nothing per pixel but table look-ups and integer blending.

A map is upsampled once to 256 levels at the picture's size (``levels``); colours and opacity are tables of 256
entries. In a map with values below zero the middle level is nothing, and both colours and opacity go both ways from
it. Cell (row, col) covers ``[col·stride, (col+1)·stride)`` input pixels, so the picture ends inside the last
cell wherever its size is no multiple of the stride: exactly that part of the map is drawn.
"""

import functools
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from PIL import Image

from detr_attnviz.drawing.colormap import table
from detr_attnviz.grid import Grid

Smooth = Literal["bicubic", "bilinear", "nearest"]

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# Opacity rises as x · (1 + knee) / (x + knee): weak attention is seen too (a tenth of the peak has a quarter of its
# opacity), yet the slope at 0 is finite, so that the lowest levels make no edges. Chosen by eye on sharp
# cross-attention and on diffuse encoder maps.
_KNEE = 0.6
ZERO = 128
"""The level of 0 in a map with values below zero; the colour tables' middle."""
_LOWEST_SIGNED = 1
# A diverging map is grey around 0, which would lie on the picture as a haze: where opacity tells the amount, the
# weakest values have the colour of this share of the peak. Chosen by eye on dark, light and colourful pictures.
_LEAST_COLORED = 0.4
_GROUNDS = ((236, 236, 236), (96, 96, 96))
_NO_DATA = ((150, 150, 150), (205, 205, 205))


def upsample(
    values: Float[np.ndarray, "rows cols"], grid: Grid, size: tuple[int, int], smooth: Smooth = "bicubic"
) -> Float32[np.ndarray, "height_px width_px"]:
    """The map at ``size`` (width, height), between 0 and its own peak; NaN counts as 0.

    Bicubic would swing below 0 and above the peak beside a sharp cell: it is cut there.
    """
    cells = finite(values)
    if smooth == "nearest":
        return np.asarray(cells[_cell_of_each_pixel(grid, size)])
    return np.asarray(np.clip(np.asarray(_resize(cells, grid, size, smooth)), 0, cells.max()))


def levels(
    values: Float[np.ndarray, "rows cols"],
    grid: Grid,
    size: tuple[int, int],
    ceiling: float,
    smooth: Smooth = "bicubic",
) -> Image.Image:
    """The map at ``size`` as a mode "L" picture: 0 is nothing, 255 is ``ceiling``.

    The same as ``upsample`` rounded to 256 levels, but done by Pillow alone: resampling keeps constants, so half
    a level added to the few cells makes the final cut to whole levels a rounding, and the cut at 0 and 255 is free.
    """
    cells = finite(values) * np.float32(255.0 / ceiling if ceiling > 0 else 0.0)
    cells = np.minimum(cells, np.float32(255.0))
    if smooth == "nearest":
        return Image.fromarray(np.rint(cells).astype(np.uint8)[_cell_of_each_pixel(grid, size)])
    picture = _resize(cells + np.float32(0.5), grid, size, smooth).convert("L")
    top = int(np.rint(cells.max()))
    return picture if top == 255 else picture.point([min(level, top) for level in range(256)])


def signed_levels(
    values: Float[np.ndarray, "rows cols"],
    grid: Grid,
    size: tuple[int, int],
    ceiling: float,
    smooth: Smooth = "bicubic",
) -> Image.Image:
    """The map at ``size`` as a mode "L" picture: 128 is nothing, 255 is ``ceiling`` and 1 is −``ceiling``.

    What lies above and what lies below 0 grow apart, or a sharp peak would get a ring of the other sign.
    """
    field = upsample(values, grid, size, smooth) - upsample(-values, grid, size, smooth)
    scaled = field * np.float32(127 / ceiling if ceiling > 0 else 0.0)
    return Image.fromarray((ZERO + np.rint(np.clip(scaled, -127, 127))).astype(np.uint8))


def heatmap(level_picture: Image.Image, cmap: str) -> Image.Image:
    """The levels in colour, as a palette picture (mode "P"): a third of the bytes of RGB."""
    colored = level_picture.copy()
    colored.putpalette(table(cmap).tobytes())
    return colored


def overlay(
    image: Image.Image,
    level_picture: Image.Image,
    cmap: str,
    alpha: float = 0.8,
    fade: bool = True,
    is_signed: bool = False,
) -> Image.Image:
    """The levels in colour over ``image`` (RGB, of the same size).

    ``alpha`` is the opacity at the peak; with ``fade`` it falls to 0 with attention, so that the photograph stays bit
    for bit where nothing is attended to; otherwise it is the same everywhere. ``is_signed`` takes ``signed_levels``.
    """
    shown = level_picture.point(_away_from_grey()) if is_signed and fade else level_picture
    colored = heatmap(shown, cmap).convert("RGB")
    blended = image.copy()
    blended.paste(colored, mask=level_picture.point(list(opacity(alpha, fade, is_signed))))
    return blended


def bar(
    size: tuple[int, int], cmap: str, alpha: float = 0.8, fade: bool = True, is_signed: bool = False
) -> Image.Image:
    """What ``overlay`` makes of every level, lowest to highest, left to right, over light and over dark ground."""
    ground = Image.new("RGB", size, _GROUNDS[0])
    ground.paste(_GROUNDS[1], (0, size[1] // 2, *size))
    return overlay(ground, ramp(size, is_signed), cmap, alpha, fade, is_signed)


def ramp(size: tuple[int, int], is_signed: bool = False) -> Image.Image:
    """Every level from the lowest at the left edge to the highest at the right one."""
    line = np.linspace(_LOWEST_SIGNED if is_signed else 0, 255, size[0]).round().astype(np.uint8)
    return Image.fromarray(np.tile(line, (size[1], 1)))


@functools.lru_cache(maxsize=64)
def opacity(alpha: float, fade: bool, is_signed: bool = False) -> tuple[int, ...]:
    """Opacity 0–255 of each of the 256 levels."""
    if not fade:
        return (round(255 * alpha),) * 256
    shares = [min(abs(level - ZERO) / 127, 1.0) if is_signed else level / 255 for level in range(256)]
    return tuple(round(255 * alpha * share * (1 + _KNEE) / (share + _KNEE)) for share in shares)


@functools.cache
def _away_from_grey() -> list[int]:
    """For each signed level the one whose colour it gets where opacity tells the amount."""
    least = round(127 * _LEAST_COLORED)
    steps = [min(abs(level - ZERO), 127) for level in range(256)]
    pushed = [round(least + (127 - least) * step / 127) if step else 0 for step in steps]
    return [ZERO - step if level < ZERO else ZERO + step for level, step in enumerate(pushed)]


def missing(values: Float[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "rows cols"]:
    """Cells that hold no number (NaN or infinite)."""
    return np.asarray(~np.isfinite(values))


def finite(values: Float[np.ndarray, "*cells"]) -> Float32[np.ndarray, "*cells"]:
    """The map with 0 in place of cells that hold no number, and of negative ones."""
    return np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)


def peak(values: Float[np.ndarray, "*cells"], is_signed: bool = False) -> float:
    """The largest value, or with ``is_signed`` the largest distance from 0; 0 where there is none."""
    highest = float(finite(values).max(initial=0.0))
    return max(highest, float(finite(-values).max(initial=0.0))) if is_signed else highest


def hatch_missing(picture: Image.Image, values: Float[np.ndarray, "rows cols"], grid: Grid) -> Image.Image:
    """The picture with grey hatching over the cells that hold no number; the very same picture if all do."""
    holes = missing(values)
    if not holes.any():
        return picture
    width, height = picture.size
    mask = holes[_cell_of_each_pixel(grid, picture.size)]
    step = max(4, round(min(width, height) / 60))
    stripes = (np.add.outer(np.arange(height), np.arange(width)) // step) % 2
    hatched = np.array(_NO_DATA, dtype=np.uint8)[stripes]
    marked = picture.convert("RGB")
    marked.paste(Image.fromarray(hatched), mask=Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))
    return marked


def _resize(cells: Float32[np.ndarray, "rows cols"], grid: Grid, size: tuple[int, int], smooth: str) -> Image.Image:
    height, width = _extent(grid)
    return Image.fromarray(cells).resize(size, _RESAMPLING[smooth], box=(0, 0, width, height))


def _cell_of_each_pixel(grid: Grid, size: tuple[int, int]) -> tuple[Int[np.ndarray, "..."], ...]:
    """Index arrays that pick, for every pixel's middle, the cell that it lies in."""
    height, width = _extent(grid)
    rows = ((np.arange(size[1]) + 0.5) * (height / size[1])).astype(np.intp)
    cols = ((np.arange(size[0]) + 0.5) * (width / size[0])).astype(np.intp)
    return np.ix_(np.minimum(rows, grid.rows - 1), np.minimum(cols, grid.cols - 1))


def _extent(grid: Grid) -> tuple[float, float]:
    height, width = grid.extent
    return min(height, grid.rows), min(width, grid.cols)
