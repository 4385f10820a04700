"""A map over its picture, and a map alone, as one draws them with matplotlib: at the picture's own size."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

_DPI = 100


def save_overlay(
    image: Image.Image, values: NDArray[np.float32], box: Sequence[float], file: Path, *, smooth: str | None = None
) -> None:
    """``values [rows cols]`` over ``image``, with a box (xyxy in pixels).

    ``smooth`` is how cells grow to pixels; by default they stay blocks, as in the notebook, which is the fastest.
    """
    figure, axes = _canvas(image.width, image.height)
    extent = (0, image.width, image.height, 0)
    axes.imshow(image, extent=extent)
    axes.imshow(values, extent=extent, cmap="inferno", alpha=0.5, interpolation=smooth)
    left, top, right, bottom = box
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color="white", linewidth=2))
    figure.savefig(file, dpi=_DPI)
    plt.close(figure)


def save_heatmap(size: tuple[int, int], values: NDArray[np.float32], file: Path, *, smooth: str | None = None) -> None:
    """``values [rows cols]`` alone, at ``size``: width and height in pixels."""
    figure, axes = _canvas(*size)
    axes.imshow(values, extent=(0, size[0], size[1], 0), cmap="inferno", interpolation=smooth)
    figure.savefig(file, dpi=_DPI)
    plt.close(figure)


def _canvas(width: int, height: int) -> tuple[Figure, Axes]:
    figure = plt.figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return figure, axes
