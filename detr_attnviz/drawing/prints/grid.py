"""Every layer and head of one query as a table of small maps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.captions import amount
from detr_attnviz.drawing.overlay import peak
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
from detr_attnviz.drawing.prints.paper import TALLEST_MM, PrintOptions, new_sheet, sheet_axes
from detr_attnviz.explanation import Explanation

MEAN = "mean"
_COLUMNS, _ROWS = "head", "layer"
SMALLEST_PT = 4.0
"""Names of heads do not become smaller, and peaks under maps that have no room for such letters are left out."""

_LINE = 1.5
"""From line to line, as a share of the letters' size."""
_GAP, _LEAST_GAP_MM, _MOST_GAP_MM = 0.05, 0.4, 1.2
_BEFORE_MEAN = 2.5
"""The gap before the last column, where heads are joined, is so many times as wide."""
_WIDEST_CELL = 0.7
_OUTLINE_PT, _DOT_PT = 0.022, 0.09
"""Thickness of a box's line and size of a point's dot for each millimetre that a cell is wide, within these limits."""
_LEAST_PT, _MOST_PT = (0.3, 1.4), (0.7, 3.0)


@dataclass(frozen=True, slots=True)
class Table:
    """Where everything stands, in millimetres: the cells' columns and rows, and the sizes of letters."""

    lefts: tuple[float, ...]
    tops: tuple[float, ...]
    cell: tuple[float, float]
    size: tuple[float, float]
    name_pt: float
    peak_pt: float
    """0 where peaks have no room."""

    def box(self, row: int, column: int) -> Box:
        """A cell's place."""
        left, top = self.lefts[column], self.tops[row]
        return left, top, left + self.cell[0], top + self.cell[1]


def draw_grid(rows: Sequence[Sequence[Explanation]], heads: Sequence[str], options: PrintOptions) -> Figure:
    """The sheet: a row a layer, a column a head, each the first map of its explanation in its own range.

    ``heads`` are the columns' names; ``MEAN``, if there, is the last.
    """
    plan = table(rows, heads, options)
    figure = new_sheet(*plan.size, options)
    axes = sheet_axes(figure)
    _put_names(axes, plan, rows, heads, options)
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
                words = _peak(explanation)
                put_words(axes, words, ((box[0] + box[2]) / 2, y), plan.peak_pt, color=FAINT, across="center")
    return figure


def table(rows: Sequence[Sequence[Explanation]], heads: Sequence[str], options: PrintOptions) -> Table:
    """As large cells as the sheet's width and a page's height have room for."""
    aspect, line = rows[0][0].image.height / rows[0][0].image.width, _LINE * options.font_pt * MM_PER_PT
    left, top = _widest(rows, options) + 1.5 * line, 2 * line
    width = options.width_mm - left
    gaps = _gaps(heads, width)
    free = width - sum(gaps)
    # A name that is wider than the last column reaches over it.
    width -= max(0.0, width_mm(heads[-1], SMALLEST_PT) - free / len(heads)) * 0.55
    across = min((width - sum(gaps)) / len(heads), _WIDEST_CELL * options.width_mm)
    under = _under(_peak_pt(rows, across, options)) or min(gaps, default=0)
    across = min(across, ((TALLEST_MM - top) / len(rows) - under) / aspect)
    peak_pt = _peak_pt(rows, across, options)
    start = left + (width - sum(gaps) - across * len(heads)) / 2
    lefts = tuple(accumulate((across + one for one in gaps), initial=start))
    step = across * aspect + (_under(peak_pt) or min(gaps, default=0))
    tops = tuple(top + number * step for number in range(len(rows)))
    height = max(tops[-1] + across * aspect + _under(peak_pt), tops[-1] + across * aspect / 2 + 0.5 * line)
    name_pt = min(options.font_pt, across / max(width_mm(name, 1.0) for name in heads))
    size = (options.width_mm, max(height, width_mm(_ROWS, options.font_pt)))
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
    widest = max(width_mm(_peak(explanation), 1.0) for row in rows for explanation in row)
    size = min(options.small_pt, across / widest)
    return size if size >= min(SMALLEST_PT, options.small_pt) else 0.0


def _peak(explanation: Explanation) -> str:
    return amount(explanation, peak(explanation.maps[0], explanation.is_signed))


def _put_names(
    axes: Axes, plan: Table, rows: Sequence[Sequence[Explanation]], heads: Sequence[str], options: PrintOptions
) -> None:
    """What rows and columns are, each said once, and as many of their numbers as there is room for."""
    size, line = options.font_pt, _LINE * options.font_pt * MM_PER_PT
    across, down = plan.cell
    middles = [left + across / 2 for left in plan.lefts]
    for number in _shown(middles, [width_mm(name, plan.name_pt) for name in heads]):
        put_words(axes, heads[number], (middles[number], 1.5 * line), plan.name_pt, across="center")
    last = -2 if heads[-1] == MEAN else -1
    put_words(axes, _COLUMNS, ((middles[0] + middles[last]) / 2, 0.5 * line), size, across="center")
    middles = [top + down / 2 for top in plan.tops]
    for number in _shown(middles, [size * MM_PER_PT] * len(rows)):
        put_words(axes, _layer(rows[number]), (plan.lefts[0] - 0.3 * line, middles[number]), size, across="right")
    half = width_mm(_ROWS, size) / 2
    y = min(max((middles[0] + middles[-1]) / 2, half), plan.size[1] - half)
    x = plan.lefts[0] - _widest(rows, options) - 1.0 * line
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
