"""Lines of equal attention: marching squares over a map, and their drawing with smooth edges.

The lines are found as points, not pixels, so a vector figure can use them as well.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from detr_attnviz.drawing.overlay import Smooth, finite, upsample
from detr_attnviz.grid import Grid

Line = list[tuple[float, float]]
Color = tuple[int, int, int]

_STEPS_PER_CELL = 6
_MOST_STEPS = 360
_HALO = (20, 20, 20)
# Sides of a square that a line joins, by which corners are high (1 top left, 2 top right, 4 bottom right,
# 8 bottom left). 5 and 10 are saddles: their two lines cut off the high corners, or, where the middle is high
# too (16 and 17), the low ones.
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_SIDES = {
    1: [(_LEFT, _TOP)],
    2: [(_TOP, _RIGHT)],
    3: [(_LEFT, _RIGHT)],
    4: [(_RIGHT, _BOTTOM)],
    5: [(_LEFT, _TOP), (_RIGHT, _BOTTOM)],
    6: [(_TOP, _BOTTOM)],
    7: [(_LEFT, _BOTTOM)],
    8: [(_BOTTOM, _LEFT)],
    9: [(_TOP, _BOTTOM)],
    10: [(_TOP, _RIGHT), (_BOTTOM, _LEFT)],
    11: [(_RIGHT, _BOTTOM)],
    12: [(_LEFT, _RIGHT)],
    13: [(_TOP, _RIGHT)],
    14: [(_LEFT, _TOP)],
    16: [(_TOP, _RIGHT), (_BOTTOM, _LEFT)],
    17: [(_LEFT, _TOP), (_RIGHT, _BOTTOM)],
}


def level_of_mass(values: Float[np.ndarray, "rows cols"], share: float) -> float:
    """The value whose cells and higher ones are the fewest that hold ``share`` of the map's sum."""
    ranked = np.sort(finite(values).ravel().astype(np.float64))[::-1]
    held = ranked.cumsum()
    # A rounding error must not ask for one cell more than the share needs.
    return float(ranked[np.searchsorted(held, share * held[-1] * (1 - 1e-9))])


def contour_lines(
    values: Float[np.ndarray, "rows cols"],
    grid: Grid,
    size: tuple[int, int],
    level: float,
    smooth: Smooth = "bicubic",
) -> list[Line]:
    """Where the map, drawn at ``size`` (width, height), crosses ``level``: lists of (x, y); a loop ends as it began."""
    steps_x, steps_y = (_lattice(extent, pixels) for extent, pixels in zip(grid.extent[::-1], size, strict=True))
    field = np.pad(upsample(values, grid, (steps_x, steps_y), smooth).astype(np.float64), 1, mode="edge")
    xs, ys = _positions(steps_x, size[0]), _positions(steps_y, size[1])
    return [
        [(float(np.interp(x, range(len(xs)), xs)), float(np.interp(y, range(len(ys)), ys))) for x, y in line]
        for line in marching_squares(field, level)
    ]


def marching_squares(field: Float[np.ndarray, "height width"], level: float) -> list[Line]:
    """Lines through ``field`` at ``level``, in (column, row); what equals the level counts as high."""
    partners: dict[int, list[int]] = defaultdict(list)
    for start, end in _segments(field >= level, field, level):
        partners[start].append(end)
        partners[end].append(start)
    open_ends = [side for side, others in partners.items() if len(others) == 1]
    walks = [_walk(side, partners) for side in [*open_ends, *list(partners)]]
    return [[_crossing(field, level, side) for side in walk] for walk in walks if len(walk) > 1]


def draw_lines(image: Image.Image, lines: Sequence[Line], color: Color, width: float) -> None:
    """Draw ``lines`` on ``image`` (RGB, in place) with smooth edges and a thin dark halo."""
    points = [point for line in lines for point in line]
    if not points:
        return
    halo = max(1.0, width / 3)
    margin = width / 2 + halo + 1
    xs, ys = zip(*points, strict=True)
    left, top = max(0, int(min(xs) - margin)), max(0, int(min(ys) - margin))
    right, bottom = min(image.width, int(max(xs) + margin) + 1), min(image.height, int(max(ys) + margin) + 1)
    if right <= left or bottom <= top:
        return
    size = (right - left, bottom - top)
    for thickness, ink in ((width + 2 * halo, _HALO), (width, color)):
        image.paste(ink, (left, top), _mask(lines, (left, top), size, thickness))


def _mask(lines: Sequence[Line], corner: tuple[int, int], size: tuple[int, int], thickness: float) -> Image.Image:
    """Coverage 0–255 of the lines: drawn larger, then averaged; huge pictures need no more than their own pixels."""
    factor = 3 if size[0] * size[1] < 2_000_000 else 1
    mask = Image.new("L", (size[0] * factor, size[1] * factor))
    pen = ImageDraw.Draw(mask)
    stroke = max(1, round(thickness * factor))
    for line in lines:
        larger = [((x - corner[0]) * factor, (y - corner[1]) * factor) for x, y in line]
        pen.line(larger, fill=255, width=stroke, joint="curve")
        if line[0] == line[-1]:  # Pillow joins no end to a beginning
            pen.line([larger[-2], larger[0], larger[1]], fill=255, width=stroke, joint="curve")
    return mask.reduce(factor) if factor > 1 else mask


def _segments(
    high: Bool[np.ndarray, "height width"], field: Float[np.ndarray, "height width"], level: float
) -> list[tuple[int, int]]:
    """Pairs of lattice sides that a line joins inside one square.

    A side is a number: ``row·width + col`` for the one to the right of a lattice point, and the same plus
    ``height·width`` for the one below it.
    """
    height, width = field.shape
    code = high[:-1, :-1] + 2 * high[:-1, 1:] + 4 * high[1:, 1:] + 8 * high[1:, :-1]
    middle = (field[:-1, :-1] + field[:-1, 1:] + field[1:, 1:] + field[1:, :-1]) / 4 >= level
    code = np.where((code == 5) & middle, 16, np.where((code == 10) & middle, 17, code))
    found: list[tuple[int, int]] = []
    for case, joins in _SIDES.items():
        rows, cols = np.nonzero(code == case)
        here = rows * width + cols
        sides = {_TOP: here, _RIGHT: here + 1 + height * width, _BOTTOM: here + width, _LEFT: here + height * width}
        for start, end in joins:
            found += zip(sides[start].tolist(), sides[end].tolist(), strict=True)
    return found


def _walk(start: int, partners: dict[int, list[int]]) -> list[int]:
    """From side to side until there is no next one; uses up the ways that it goes, so a loop ends where it began."""
    walk = [start]
    while partners[walk[-1]]:
        here = walk[-1]
        there = partners[here].pop()
        partners[there].remove(here)
        walk.append(there)
    return walk


def _crossing(field: Float[np.ndarray, "height width"], level: float, side: int) -> tuple[float, float]:
    height, width = field.shape
    is_below, place = divmod(side, height * width)
    row, col = divmod(place, width)
    first = field[row, col]
    second = field[row + 1, col] if is_below else field[row, col + 1]
    share = float((level - first) / (second - first))
    return (col, row + share) if is_below else (col + share, row)


def _lattice(extent: float, pixels: int) -> int:
    return max(2, min(round(extent * _STEPS_PER_CELL), _MOST_STEPS, pixels))


def _positions(steps: int, pixels: int) -> list[float]:
    """Where the lattice points lie in pixels; the first and last are the picture's edges."""
    return [0.0, *((step + 0.5) * pixels / steps for step in range(steps)), float(pixels)]
