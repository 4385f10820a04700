"""Every layer and head of one query as a table of small maps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.captions import peak_amount
from detr_attnviz.drawing.prints.fonts import width_mm
from detr_attnviz.drawing.prints.marks import (
    FAINT,
    INK,
    MM_PER_PT,
    Box,
    box_on_paper,
    ground,
    map_picture,
    on_paper,
    pixels,
    put_dot,
    put_outline,
    put_picture,
    put_words,
    snapped,
)
from detr_attnviz.drawing.prints.paper import SMALLEST_PT, PrintOptions, new_sheet, sheet_axes
from detr_attnviz.explanation import Explanation

MEAN = "mean"
_COLUMNS, _ROWS = "head", "layer"
_LINE = 1.5
"""From line to line, as a share of the letters' size."""
_GAP, _LEAST_GAP_MM, _MOST_GAP_MM = 0.05, 0.4, 1.2
_BEFORE_MEAN = 2.5
"""The gap before the last column, where heads are joined, is so many times as wide."""
_WIDEST_CELL = 0.7
_BETWEEN_BLOCKS_MM = 3.0
_WRAPPED_IF_LARGER = 1.15
"""Layers stand in several blocks beside each other only if that makes maps so much larger."""
_OUTLINE_PT, _DOT_PT = 0.022, 0.09
"""Thickness of a box's line and size of a point's dot for each millimetre that a cell is wide, within these limits."""
_LEAST_PT, _MOST_PT = (0.3, 1.4), (0.7, 3.0)


@dataclass(frozen=True, slots=True)
class Table:
    """Where everything stands, in millimetres: the cells' columns and rows, and the sizes of letters.

    Layers that have no place below the others go on in a further block at the right, ``block_mm`` from the first.
    """

    lefts: tuple[float, ...]
    tops: tuple[float, ...]
    cell: tuple[float, float]
    size: tuple[float, float]
    name_pt: float
    peak_pt: float
    """0 where peaks have no room."""
    block_mm: float = 0.0

    def box(self, row: int, column: int) -> Box:
        """A cell's place."""
        block, row = divmod(row, len(self.tops))
        left, top = self.lefts[column] + block * self.block_mm, self.tops[row]
        return left, top, left + self.cell[0], top + self.cell[1]


def draw_grid(rows: Sequence[Sequence[Explanation]], heads: Sequence[str], options: PrintOptions) -> Figure:
    """The sheet: a row a layer, a column a head, each the first map of its explanation in its own range.

    ``heads`` are the columns' names; ``MEAN``, if there, is the last.
    """
    plan = table(rows, heads, options)
    figure = new_sheet(*plan.size, options)
    axes = sheet_axes(figure)
    for start in range(0, len(rows), len(plan.tops)):
        shift = start // len(plan.tops) * plan.block_mm
        _put_names(axes, plan, shift, rows[start : start + len(plan.tops)], heads, options)
    under: dict[tuple[int, int], Image.Image] = {}
    for number, row in enumerate(rows):
        for column, explanation in enumerate(row):
            box = snapped(plan.box(number, column), options)
            size = pixels(box, options)
            if size not in under:
                under[size] = ground(explanation.image, size)
            put_picture(axes, map_picture(explanation, 0, under[size], options), box)
            _put_place(axes, explanation, box)
            if plan.peak_pt:
                y = box[3] + 0.5 * _LINE * plan.peak_pt * MM_PER_PT
                words = peak_amount(explanation, 0)
                put_words(axes, words, ((box[0] + box[2]) / 2, y), plan.peak_pt, color=FAINT, across="center")
    return figure


def table(rows: Sequence[Sequence[Explanation]], heads: Sequence[str], options: PrintOptions) -> Table:
    """As large cells as the sheet's width and a page's height have room for, in as few blocks as that needs."""
    highs = sorted({math.ceil(len(rows) / count) for count in range(1, len(rows) + 1)}, reverse=True)
    plans = [_blocks(high, rows, heads, options) for high in highs]
    largest = max(plan.cell[0] for plan in plans)
    return next(plan for plan in plans if plan.cell[0] * _WRAPPED_IF_LARGER >= largest)


def _blocks(high: int, rows: Sequence[Sequence[Explanation]], heads: Sequence[str], options: PrintOptions) -> Table:
    """As many blocks as needed of ``high`` layers each."""
    count = math.ceil(len(rows) / high)
    width = (options.width_mm - (count - 1) * _BETWEEN_BLOCKS_MM) / count
    plan = _block(rows, high, width, heads, options)
    return replace(plan, size=(options.width_mm, plan.size[1]), block_mm=width + _BETWEEN_BLOCKS_MM)


def _block(
    rows: Sequence[Sequence[Explanation]], high: int, wide: float, heads: Sequence[str], options: PrintOptions
) -> Table:
    """``high`` rows one below the other on a part of the sheet that is so many millimetres wide."""
    aspect, line = rows[0][0].image.height / rows[0][0].image.width, _LINE * options.font_pt * MM_PER_PT
    left, top = _widest(rows, options) + 1.5 * line, 2 * line
    width = max(wide - left, 1.0)
    gaps = _gaps(heads, width)
    free = width - sum(gaps)
    # A name that is wider than the last column reaches over it.
    width -= max(0.0, width_mm(heads[-1], SMALLEST_PT) - free / len(heads)) * 0.55
    across = min((width - sum(gaps)) / len(heads), _WIDEST_CELL * wide)
    under = _under(_peak_pt(rows, across, options)) or min(gaps, default=0)
    across = min(across, ((options.tallest_mm - top) / high - under) / aspect)
    peak_pt = _peak_pt(rows, across, options)
    start = left + (width - sum(gaps) - across * len(heads)) / 2
    lefts = tuple(accumulate((across + one for one in gaps), initial=start))
    step = across * aspect + (_under(peak_pt) or min(gaps, default=0))
    tops = tuple(top + number * step for number in range(high))
    height = max(tops[-1] + across * aspect + _under(peak_pt), tops[-1] + across * aspect / 2 + 0.5 * line)
    name_pt = min(options.font_pt, across / max(width_mm(name, 1.0) for name in heads))
    size = (wide, max(height, width_mm(_ROWS, options.font_pt)))
    return Table(lefts, tops, (across, across * aspect), size, max(name_pt, SMALLEST_PT), peak_pt)


def _gaps(heads: Sequence[str], width: float) -> list[float]:
    """What stands between columns; more before the last where it is of another kind."""
    gap = min(max(_GAP * width / len(heads), _LEAST_GAP_MM), _MOST_GAP_MM)
    gaps = [gap] * (len(heads) - 1)
    if gaps and heads[-1] == MEAN:
        gaps[-1] *= _BEFORE_MEAN
    return gaps


def _widest(rows: Sequence[Sequence[Explanation]], options: PrintOptions) -> float:
    """The width of the layers' numbers."""
    return max(width_mm(_layer(row), options.font_pt) for row in rows)


def _under(peak_pt: float) -> float:
    """What a line of peaks takes under a row of maps; nothing where there is none."""
    return _LINE * peak_pt * MM_PER_PT


def _layer(row: Sequence[Explanation]) -> str:
    return str(row[0].layers[0])


def _peak_pt(rows: Sequence[Sequence[Explanation]], across: float, options: PrintOptions) -> float:
    """The largest small print in which all peaks are as wide as a cell at most; 0 where there is none."""
    widest = max(width_mm(peak_amount(explanation, 0), 1.0) for row in rows for explanation in row)
    size = min(options.small_pt, across / widest)
    return size if size >= min(SMALLEST_PT, options.small_pt) else 0.0


def _put_names(
    axes: Axes,
    plan: Table,
    shift: float,
    rows: Sequence[Sequence[Explanation]],
    heads: Sequence[str],
    options: PrintOptions,
) -> None:
    """What rows and columns are, each said once, and as many of their numbers as there is room for.

    ``shift`` is how far the block is from the first.
    """
    size, line = options.font_pt, _LINE * options.font_pt * MM_PER_PT
    across, down = plan.cell
    middles = [shift + left + across / 2 for left in plan.lefts]
    for number in _shown(middles, [width_mm(name, plan.name_pt) for name in heads]):
        put_words(axes, heads[number], (middles[number], 1.5 * line), plan.name_pt, across="center")
    last = -2 if heads[-1] == MEAN else -1
    put_words(axes, _COLUMNS, ((middles[0] + middles[last]) / 2, 0.5 * line), size, across="center")
    middles = [top + down / 2 for top in plan.tops[: len(rows)]]
    for number in _shown(middles, [size * MM_PER_PT] * len(rows)):
        put_words(
            axes, _layer(rows[number]), (shift + plan.lefts[0] - 0.3 * line, middles[number]), size, across="right"
        )
    half = width_mm(_ROWS, size) / 2
    y = min(max((middles[0] + middles[-1]) / 2, half), plan.size[1] - half)
    x = shift + plan.lefts[0] - _widest(rows, options) - 1.0 * line
    put_words(axes, _ROWS, (x, y), size, across="center", is_upright=True)


def _shown(middles: Sequence[float], lengths: Sequence[float]) -> list[int]:
    """The last name, and of the others, from the first on, those that touch none before and not the last."""
    end = middles[-1] - lengths[-1] / 2
    shown, taken = [], -math.inf
    for number, (middle, length) in enumerate(zip(middles[:-1], lengths[:-1], strict=True)):
        if middle - length / 2 >= taken and middle + length / 2 <= end:
            shown.append(number)
            taken = middle + length / 2
    return [*shown, len(middles) - 1]


def _put_place(axes: Axes, explanation: Explanation, box: Box) -> None:
    """The query's box, or the place, thinly."""
    across = box[2] - box[0]
    if explanation.kind == "encoder":
        size_pt = min(max(_DOT_PT * across, _LEAST_PT[1]), _MOST_PT[1])
        put_dot(axes, on_paper(explanation.points[0], box, explanation.image), INK, size_pt)
        return
    place = box_on_paper(explanation.detections[0], box, explanation.image)
    if place is not None:
        line_pt = min(max(_OUTLINE_PT * across, _LEAST_PT[0]), _MOST_PT[0])
        put_outline(axes, place, INK, line_pt, has_casing=False)
