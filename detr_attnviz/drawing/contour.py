"""Lines of equal attention: marching squares over a map, and their drawing with smooth edges.

The lines are found as points, not pixels, so a vector figure can use them as well.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from detr_attnviz.drawing.overlay import Smooth, upsample
from detr_attnviz.grid import Grid

Line = list[tuple[float, float]]
Color = tuple[int, int, int]

_STEPS_PER_CELL = 6
_MOST_STEPS = 360
_LEAST_OF_SUM = 0.01
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


def contours(
    values: Float[np.ndarray, "rows cols"],
    grid: Grid,
    size: tuple[int, int],
    shares: Sequence[float],
    of: Literal["mass", "peak"] = "mass",
    smooth: Smooth = "bicubic",
) -> list[list[Line]]:
    """Per share, the lines around what is highest: points (x, y) at ``size`` (width, height); a loop ends as it began.

    "mass": the smallest area that holds the share of the map's sum; "peak": what is above the share of the peak.
    Both are taken of the map as it is drawn, between cells too, so that a line is right for the eye. An island that
    holds less than a hundredth of the map's sum gets no line, unless there is no larger one.
    """
    steps = [_lattice(extent, pixels) for extent, pixels in zip(grid.extent[::-1], size, strict=True)]
    field = upsample(values, grid, (steps[0], steps[1]), smooth).astype(np.float64)
    xs, ys = _positions(steps[0], size[0]), _positions(steps[1], size[1])
    padded = np.pad(field, 1, mode="edge")
    found = []
    for share in shares:
        level = level_of_mass(field, share) if of == "mass" else share * float(field.max())
        lines = marching_squares(without_islands(padded, level), level) if level > 0 else []
        found.append([[(_between(xs, x), _between(ys, y)) for x, y in line] for line in lines])
    return found


def level_of_mass(field: Float[np.ndarray, "height width"], share: float) -> float:
    """The value from which upwards the fewest places hold ``share`` of the sum."""
    ranked = np.sort(field, axis=None)[::-1]
    held = ranked.cumsum()
    # A rounding error must not ask for one place more than the share needs.
    place = int(np.searchsorted(held, share * held[-1] * (1 - 1e-9)))
    return float(ranked[min(place, ranked.size - 1)])


def without_islands(field: Float[np.ndarray, "height width"], level: float) -> Float[np.ndarray, "height width"]:
    """``field`` with 0 on every island (of what reaches ``level``) that holds too little of the sum to count.

    Islands are found run by run: touching runs of neighbouring rows, corners too, belong together.
    """
    sums = np.pad(field.cumsum(axis=1), ((0, 0), (1, 0)))
    edges = np.diff(np.pad(field >= level, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    island = list(range(len(rows)))

    def root(run: int) -> int:
        while island[run] != run:
            island[run] = island[island[run]]
            run = island[run]
        return run

    firsts = np.searchsorted(rows, np.arange(field.shape[0] + 1)).tolist()
    begins, stops = starts.tolist(), ends.tolist()
    for row in range(1, field.shape[0]):
        above, above_end = firsts[row - 1], firsts[row]
        for run in range(firsts[row], firsts[row + 1]):
            while above < above_end and stops[above] < begins[run]:
                above += 1
            for other in range(above, above_end):
                if begins[other] > stops[run]:
                    break
                island[root(run)] = root(other)
    mass = np.zeros(len(rows))
    roots = np.array([root(run) for run in range(len(rows))], dtype=np.intp)
    np.add.at(mass, roots, sums[rows, ends] - sums[rows, starts])
    is_small = mass[roots] < _LEAST_OF_SUM * float(field.sum())
    if is_small.all() or not is_small.any():
        return field
    cleared = field.copy()
    for run in np.nonzero(is_small)[0].tolist():
        cleared[rows[run], begins[run] : stops[run]] = 0
    return cleared


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
    rows, cols = np.nonzero(code % 15)  # 0 and 15 are squares without a line
    crossed, codes = rows * width + cols, code[rows, cols]
    found: list[tuple[int, int]] = []
    for case, joins in _SIDES.items():
        here = crossed[codes == case]
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
    return (float(col), row + share) if is_below else (col + share, float(row))


def _lattice(extent: float, pixels: int) -> int:
    return max(2, min(round(extent * _STEPS_PER_CELL), _MOST_STEPS, pixels))


def _between(places: list[float], step: float) -> float:
    low = min(int(step), len(places) - 2)
    return places[low] + (places[low + 1] - places[low]) * (step - low)


def _positions(steps: int, pixels: int) -> list[float]:
    """Where the lattice points lie in pixels; the first and last are the picture's edges."""
    return [0.0, *((step + 0.5) * pixels / steps for step in range(steps)), float(pixels)]
