"""How to read the colours and sizes of a sheet, as one or a few rows at its foot."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from detr_attnviz.drawing.annotate import Color
from detr_attnviz.drawing.blocks import INK, Block, Row
from detr_attnviz.drawing.dots import Dot
from detr_attnviz.drawing.text import width_of

Place = tuple[int, int, int, int]

_LETTER = 0.36  # of the letters' height: half of a small one
_BETWEEN_ROWS_PX = 4


class DotKey(NamedTuple):
    """A dot and what it stands for; ``radius`` is a share of the root of a panel's area, None as large as letters."""

    color: Color
    radius: float | None
    name: str


@dataclass(frozen=True)
class Legend:
    """How to read a sheet: a bar from ``low`` to ``high``, a short line with a name for each of ``keys``, or ``dots``.

    ``is_signed`` marks the bar's middle, which is 0. Each entry of ``dots`` is a row of its own.
    """

    low: str = ""
    high: str = ""
    words: str = ""
    keys: tuple[tuple[Color, str], ...] = ()
    is_signed: bool = False
    dots: tuple[tuple[DotKey, ...], ...] = ()


@dataclass(frozen=True)
class Marks:
    """Where a legend's ink goes, without its words."""

    bar: Place | None = None
    strokes: tuple[tuple[Color, Place], ...] = ()
    dots: tuple[Dot, ...] = ()


def add_legend(block: Block, legend: Legend, size_px: int, side_px: float) -> Marks:
    """The legend's words at the end of ``block``; ``side_px`` is the root of a panel's area."""
    if legend.dots:
        return _add_dots(block, legend, size_px, side_px)
    row = Row(block, size_px)
    bar, strokes = None, []
    for color, name in legend.keys:
        strokes.append((color, row.mark(2, max(2, size_px // 5))))
        row.say(name, gap=1)
    if not legend.keys:
        row.say(legend.low)
        bar = row.mark(11, round(0.9 * size_px))
        strokes += [(INK, _middle(bar))] if legend.is_signed else []
        row.say(legend.high, gap=0.3)
    _end(row, legend.words)
    return Marks(bar, tuple(strokes))


def _add_dots(block: Block, legend: Legend, size_px: int, side_px: float) -> Marks:
    dots: list[Dot] = []
    for number, keys in enumerate(legend.dots):
        radii = [_LETTER * size_px if key.radius is None else key.radius * side_px for key in keys]
        height = math.ceil(2 * max(radii)) + _BETWEEN_ROWS_PX
        row = Row(block, size_px, height)
        for key, radius in zip(keys, radii, strict=True):
            if row.x > block.left and row.x + 2 * radius + size_px + width_of(key.name, row.face) > block.right:
                block.y += row.height
                row = Row(block, size_px, height)
            dots.append(Dot(row.x + radius, row.middle, radius, key.color))
            row.x += math.ceil(2 * radius + 0.4 * size_px)
            row.say(key.name, gap=1)
        _end(row, legend.words if number == len(legend.dots) - 1 else "")
    return Marks(dots=tuple(dots))


def _end(row: Row, words: str) -> None:
    """The last words of a row, on the next lines where it has no room for them."""
    block = row.block
    if row.x + width_of(words, row.face) <= block.right:
        row.say(words)
        block.y += row.height
    else:
        block.y += row.height
        block.add_wrapped(words, row.size_px, False, 3)


def _middle(bar: Place) -> Place:
    """A thin line through the middle of the bar, a little longer than it is high."""
    left, top, right, bottom = bar
    thin, over = max(1, (bottom - top) // 12), max(2, (bottom - top) // 5)
    start = (left + right - thin) // 2
    return start, top - over, start + thin, bottom + over
