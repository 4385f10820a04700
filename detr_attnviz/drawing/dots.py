"""Round dots whose area is exact, however small they are."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr_attnviz.drawing.annotate import Color

_RIM: Color = (20, 20, 20)
_RIM_SHARE = 0.22
# A disc with an edge that fades over one pixel covers π(r² + 1/12), and r is at least half a pixel.
_OF_THE_EDGE = 1 / 12
_LEAST_SQUARE = 1 / 4


class Dot(NamedTuple):
    """A disc of ``color`` around (x, y), all in pixels; (0, 0) is the picture's corner."""

    x: float
    y: float
    radius: float
    color: Color


def draw_dots(image: Image.Image, dots: Iterable[Dot], rim_px: float = 1.5) -> None:
    """The dots in this order on an RGB picture, in place; what reaches past the picture is cut off.

    A dark rim of at most ``rim_px`` lies around each, thinner for small ones, so that dots part from each other and
    from any ground. A dot of less than a pixel is as faint as its area is small.
    """
    canvas = np.array(image)
    for dot in dots:
        _blend(canvas, dot._replace(radius=dot.radius + min(rim_px, _RIM_SHARE * dot.radius), color=_RIM))
        _blend(canvas, dot)
    image.paste(Image.fromarray(canvas))


def coverage(dot: Dot, left: int, top: int, right: int, bottom: int) -> NDArray[np.float32]:
    """How much of each pixel of a rectangle the dot covers, 0–1; over all pixels it sums to the disc's area."""
    square = max(dot.radius**2 - _OF_THE_EDGE, _LEAST_SQUARE)
    across = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - dot.x)
    down = np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - dot.y)
    distance = np.sqrt(across**2 + down[:, None] ** 2)
    strength = min(1.0, dot.radius**2 / (square + _OF_THE_EDGE))
    return np.asarray(np.clip(math.sqrt(square) + 0.5 - distance, 0, 1) * np.float32(strength))


def _blend(canvas: NDArray[np.uint8], dot: Dot) -> None:
    reach = dot.radius + 1
    height, width = canvas.shape[:2]
    left, right = max(0, math.floor(dot.x - reach)), min(width, math.ceil(dot.x + reach))
    top, bottom = max(0, math.floor(dot.y - reach)), min(height, math.ceil(dot.y + reach))
    if left >= right or top >= bottom:
        return
    share = coverage(dot, left, top, right, bottom)[:, :, None]
    patch = canvas[top:bottom, left:right]
    patch[:] = np.rint(patch + share * (np.array(dot.color, dtype=np.float32) - patch))
