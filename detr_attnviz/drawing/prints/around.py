"""Where small maps stand around a picture, and which of them belongs to which point, so that no lines cross."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from detr_attnviz.drawing.prints.marks import Box
from detr_attnviz.drawing.prints.paper import PAGE_MM

Place = tuple[float, float]
Side = Literal["left", "right", "above", "below"]
_Rows = tuple[tuple[Side, float, int], ...]

TALLEST_MM = 150.0
"""Of a sheet as wide as a page at most; wider ones are as much higher."""
_GAP_MM = 2.0
_STACKED_IF_LARGER = 1.4
"""Maps above and below the picture make a taller sheet: only if they become larger by so much."""
_LARGER_PICTURE = 1.6


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a map, the side of the picture that it is on, and where its line begins."""

    box: Box
    side: Side

    @property
    def anchor(self) -> Place:
        """The middle of the edge that faces the picture."""
        left, top, right, bottom = self.box
        if self.side in ("left", "right"):
            return (right if self.side == "left" else left), (top + bottom) / 2
        return (left + right) / 2, (bottom if self.side == "above" else top)


@dataclass(frozen=True, slots=True)
class Surround:
    """The picture's place, the maps' and the sheet's size."""

    picture: Box
    slots: tuple[Slot, ...]
    size: tuple[float, float]

    @property
    def map_mm(self) -> float:
        """A map's width."""
        return self.slots[0].box[2] - self.slots[0].box[0]


def surround(count: int, aspect: float, width: float, label: float) -> Surround:
    """Places for ``count`` maps of a picture whose height is ``aspect`` times its width, on a sheet of a width.

    Beside the picture, or above and below it where that makes them much larger; ``label`` is the height of the words
    under (above the picture: over) each map.
    """
    beside, stacked = _beside(count, aspect, width, label), _stacked(count, aspect, width, label)
    return stacked if _worth(stacked) > _STACKED_IF_LARGER * _worth(beside) else beside


def assigned(points: Sequence[Place], anchors: Sequence[Place]) -> tuple[int, ...]:
    """For each point the anchor that is its own: those whose lines together are shortest, none of which cross.

    Two lines that cross would be longer than the two that exchange their ends.
    """
    count = len(points)

    @functools.cache
    def best(taken: int) -> tuple[float, tuple[int, ...]]:
        number = taken.bit_count()
        if number == count:
            return 0.0, ()
        choices = []
        for anchor in (one for one in range(count) if not taken >> one & 1):
            rest, others = best(taken | 1 << anchor)
            choices.append((rest + math.dist(points[number], anchors[anchor]), (anchor, *others)))
        return min(choices)

    return best(0)[1]


def _worth(found: Surround) -> float:
    """How large the maps are, and half the picture."""
    return min(found.map_mm, (found.picture[2] - found.picture[0]) / 2)


def _beside(count: int, aspect: float, width: float, label: float) -> Surround:
    """Half of the maps at the left of the picture and half at its right, their columns as high as it at most."""
    left, right = (count // 2, count - count // 2) if count > 1 else (0, 1)
    columns, most = (2 if left else 1), right
    gap = _gap(width)
    free, fixed = width - columns * gap, most * label + (most - 1) * _GAP_MM
    ratio = _LARGER_PICTURE if count > 1 else 1.0
    # Maps are this much smaller than the picture, or as large as their column beside it has room for.
    across = max(
        free / (1 + columns / ratio),
        (free + columns * fixed / (most * aspect)) / (1 + columns / most),
    )
    across = min(across, _tallest(width) / aspect, free - columns)
    one = max(_least(most, aspect, width), min((across * aspect - fixed) / (most * aspect), across / ratio))
    start = (width - across - columns * (one + gap)) / 2
    height = max(across * aspect, most * one * aspect + fixed)
    picture_left = start + (one + gap if left else 0)
    top = (height - across * aspect) / 2
    picture = (picture_left, top, picture_left + across, top + across * aspect)
    sides: _Rows = (("left", start, left), ("right", picture[2] + gap, right))
    slots = [
        Slot((x, y, x + one, y + one * aspect), side)
        for side, x, number in sides
        for y in _spread(number, most, one * aspect + label, height)
    ]
    return Surround(picture, tuple(slots), (width, height))


def _stacked(count: int, aspect: float, width: float, label: float) -> Surround:
    """Half of the maps above the picture, half below it."""
    above, below = (count - count // 2, count // 2) if count > 1 else (0, 1)
    rows, most = (2 if above else 1), max(above, below)
    gap = _gap(width)
    free = _tallest(width) - rows * (label + gap)
    high = rows + _LARGER_PICTURE
    one = max(_least(high, aspect, width), min((width - (most - 1) * _GAP_MM) / most, free / aspect / high))
    across = min(width, (free - rows * one * aspect) / aspect)
    top = one * aspect + label + gap if above else 0.0
    left = (width - across) / 2
    picture = (left, top, left + across, top + across * aspect)
    sides: _Rows = (("above", label, above), ("below", picture[3] + gap, below))
    slots = [
        Slot((x, y, x + one, y + one * aspect), side)
        for side, y, number in sides
        for x in _spread(number, most, one, width)
    ]
    height = picture[3] + (one * aspect + label + gap if below else 0)
    return Surround(picture, tuple(slots), (width, height))


def _spread(number: int, most: int, step: float, length: float) -> list[float]:
    """Starts of ``number`` things of a length in a row: from edge to edge if no row has more, else evenly between."""
    is_full = number == most > 1
    between = (length - number * step) / (number - 1 if is_full else number + 1)
    return [(0 if is_full else between) + index * (step + between) for index in range(number)]


def _least(count: float, aspect: float, width: float) -> float:
    """What no map is narrower than: a millimetre, unless ``count`` of them are too high for a sheet then."""
    return min(1.0, _tallest(width) / (count * aspect))


def _tallest(width: float) -> float:
    return TALLEST_MM * max(1.0, width / PAGE_MM)


def _gap(width: float) -> float:
    """Between maps and picture, where the lines begin."""
    return 2 + 0.02 * width
