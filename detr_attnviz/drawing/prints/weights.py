"""Wq, Wk and Wv of every attention module with the norms of their heads, on a sheet of a width in millimetres."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.figure import MOST_ROWS, NOT_FINITE, Panel, Scale, draw_matrix, scales
from detr_attnviz.drawing.prints import marks
from detr_attnviz.drawing.prints.bars import Bar, bars_mm, put_bars
from detr_attnviz.drawing.prints.fonts import line_mm, printable, shortened, width_mm
from detr_attnviz.drawing.prints.marks import FAINT, MM_PER_PT, Box
from detr_attnviz.drawing.prints.paper import (
    MM_PER_INCH,
    SMALLEST_PT,
    PrintOptions,
    house_style,
    new_sheet,
    sheet_axes,
    size_mm,
)

_LEAST_MM, _MOST_MM = 9.0, 32.0
"""A matrix's side: what may be read well, and what is enough."""
_NORMS = 0.42
"""Width of the heads' norms, as a share of a matrix's side."""
_GAP_MM, _ROW_GAP_MM, _BETWEEN_MM, _GROUP_GAP_MM = 0.6, 1.2, 3.0, 1.5
_NAMES = ("Wq", "Wk", "Wv")
_PARTS = ("q", "k", "v", "o")


@dataclass(frozen=True)
class _Place:
    """A module's upper left corner, and whether it is the first of its group in its column."""

    panel: Panel
    left: float
    top: float
    has_names: bool


@dataclass(frozen=True)
class Layout:
    """Where modules and the groups' names stand, in millimetres; ``side`` is a matrix's, ``norms`` the norms' width."""

    side: float
    norms: float
    height: float
    places: tuple[_Place, ...]
    headings: tuple[tuple[str, float, float, float], ...]
    """Words, left, middle of the line, and how wide they may be."""


def draw_weights(panels: Sequence[Panel], options: PrintOptions) -> Figure:
    """The sheet; all matrices share a range, and all norms another, as in ``drawing.figure.weights_figure``."""
    weights, norms = _print_scales(panels, options)
    plan = layout(panels, options)
    figure = new_sheet(options.width_mm, plan.height, options)
    axes = sheet_axes(figure)
    for words, left, middle, most in plan.headings:
        marks.put_words(axes, shortened(words, options.font_pt, most), (left, middle), options.font_pt)
    with house_style():
        for place in plan.places:
            _draw_module(figure, place, plan, weights, norms, options)
    bars = [Bar(weights, "weight", "≤ ", "≥ "), *([] if norms is None else [Bar(norms, "norm of a head's block")])]
    put_bars(axes, bars, plan.height, options)
    return figure


def pixels_across(plan: Layout, options: PrintOptions) -> int:
    """So many pixels a matrix has across and down."""
    return math.ceil(options.dpi * plan.side / MM_PER_INCH)


def averaged(matrix: np.ndarray, pixels: int) -> np.ndarray:
    """The matrix, or its values averaged down to so many pixels across and down, which show no more."""
    down, across = (min(length, pixels) for length in matrix.shape)
    if (down, across) == matrix.shape:
        return matrix
    return np.asarray(Image.fromarray(matrix.astype(np.float32)).resize((across, down), Image.Resampling.BOX))


def layout(panels: Sequence[Panel], options: PrintOptions) -> Layout:
    """Groups side by side where matrices stay readable, else one below the other, as compact as they stay so."""
    groups: dict[str, list[Panel]] = {}
    for panel in panels:
        groups.setdefault(panel.group, []).append(panel)
    longest = max(map(len, groups.values()))
    each = [_side_by_side(groups, options), *(_stacked(groups, count, options) for count in range(longest, 0, -1))]
    fitting = [one for one in each if one.height <= options.tallest_mm]
    readable = [one for one in fitting if one.side >= _LEAST_MM]
    if readable:
        return readable[0]
    return max(fitting, key=lambda one: one.side) if fitting else min(each, key=lambda one: one.height)


def _side_by_side(groups: dict[str, list[Panel]], options: PrintOptions) -> Layout:
    """A column per group, layers downwards; long groups are broken into several columns."""
    columns: list[list[Panel]] = []
    for group in groups.values():
        rows = math.ceil(len(group) / math.ceil(len(group) / MOST_ROWS))
        columns += [group[start : start + rows] for start in range(0, len(group), rows)]
    panels = [panel for column in columns for panel in column]
    sizes = _sizes(panels, len(columns), options)
    line, names = line_mm(options.font_pt), line_mm(options.small_pt)
    lefts = [sizes.margin + place * (sizes.cell + _BETWEEN_MM) for place in range(len(columns))]
    headings = tuple((column[0].group, left, line / 2, sizes.cell) for column, left in zip(columns, lefts, strict=True))
    places = tuple(
        _Place(panel, left, line + names + row * (sizes.side + _ROW_GAP_MM), row == 0)
        for column, left in zip(columns, lefts, strict=True)
        for row, panel in enumerate(column)
    )
    rows = max(map(len, columns))
    height = line + names + rows * (sizes.side + _ROW_GAP_MM) + bars_mm(_bars_of(panels), options)
    return Layout(sizes.side, sizes.norms, height, places, headings)


def _stacked(groups: dict[str, list[Panel]], count: int, options: PrintOptions) -> Layout:
    """Groups one below the other, ``count`` modules a row."""
    panels = [panel for group in groups.values() for panel in group]
    sizes = _sizes(panels, count, options)
    line, names = line_mm(options.font_pt), line_mm(options.small_pt)
    places: list[_Place] = []
    headings: list[tuple[str, float, float, float]] = []
    top = 0.0
    for title, group in groups.items():
        headings.append((title, sizes.margin, top + line / 2, options.width_mm - 2 * sizes.margin))
        top += line + names
        for place, panel in enumerate(group):
            row, column = divmod(place, count)
            left = sizes.margin + column * (sizes.cell + _BETWEEN_MM)
            places.append(_Place(panel, left, top + row * (sizes.side + _ROW_GAP_MM), row == 0))
        top += math.ceil(len(group) / count) * (sizes.side + _ROW_GAP_MM) + _GROUP_GAP_MM
    height = top - _GROUP_GAP_MM + bars_mm(_bars_of(panels), options)
    return Layout(sizes.side, sizes.norms, height, tuple(places), tuple(headings))


@dataclass(frozen=True)
class _Sizes:
    """A matrix's side, the norms' width, what a module takes with all of its own, and what is left at either side."""

    side: float
    norms: float
    cell: float
    margin: float


def _sizes(panels: Sequence[Panel], count: int, options: PrintOptions) -> _Sizes:
    """With ``count`` modules in a row."""
    between = (count - 1) * _BETWEEN_MM
    room, around, norms = (options.width_mm - between) / count, _label_mm(options) + 2 * _GAP_MM, 0.0
    heads = max((len(panel.head_norms) for panel in panels if panel.head_norms is not None), default=0)
    if heads:
        around += _GAP_MM + 0.8 + width_mm(str(heads - 1), options.small_pt)
        norms = _NORMS * (room - around) / (3 + _NORMS)
        norms = max(min(norms, _NORMS * _MOST_MM), _named_mm(options))
    side = min((room - around - norms) / 3, _MOST_MM)
    cell = 3 * side + norms + around
    return _Sizes(side, norms, cell, (options.width_mm - count * cell - between) / 2)


def _named_mm(options: PrintOptions) -> float:
    """What the norms' names take beside each other."""
    return 1.25 * len(_PARTS) * max(width_mm(name, options.small_pt) for name in _PARTS)


def _label_mm(options: PrintOptions) -> float:
    """What a module's title takes, which stands upright at its left."""
    return line_mm(options.small_pt)


def _bars_of(panels: Sequence[Panel]) -> int:
    """Weights', and the norms' if any are known."""
    return 1 + any(panel.head_norms is not None for panel in panels)


def _draw_module(
    figure: Figure, place: _Place, plan: Layout, weights: Scale, norms: Scale | None, options: PrintOptions
) -> None:
    axes, panel, side = sheet_axes(figure), place.panel, plan.side
    small, line = options.small_pt, line_mm(options.small_pt)
    middle = place.top + side / 2
    title_pt = min(small, max(SMALLEST_PT, small * side / max(1.0, width_mm(printable(panel.title), small))))
    words = shortened(panel.title, title_pt, side)
    half = width_mm(printable(words), title_pt) / 2
    marks.put_words(axes, words, (place.left + 0.4 * line, middle + half), title_pt, is_upright=True)
    left = place.left + _label_mm(options)
    for matrix, name in zip((panel.q, panel.k, panel.v), _NAMES, strict=True):
        shown = averaged(matrix, pixels_across(plan, options))
        axis = _axes_at(figure, left, place.top, side, side)
        draw_matrix(axis, shown, panel.head_norms, weights)
        if shown is not matrix:
            axis.images[0].set_interpolation("none")  # its pixels are the sheet's: a third of the size in vector files
        if place.has_names:
            marks.put_words(axes, name, (left + side / 2, place.top - line / 2), small, across="center")
        left += side + _GAP_MM
    if norms is not None and panel.head_norms is not None:
        at = (left, place.top, left + plan.norms, place.top + side)
        _draw_norms(figure, panel.head_norms, at, norms, options, has_names=place.has_names)


def _draw_norms(
    figure: Figure, values: np.ndarray, at: Box, scale: Scale, options: PrintOptions, *, has_names: bool
) -> None:
    """Heads × (q, k, v, out), whose rows stand beside the heads' rows in the matrices."""
    left, top, right, bottom = at
    axes, small = sheet_axes(figure), options.small_pt
    axis = _axes_at(figure, left, top, right - left, bottom - top)
    axis.imshow(np.ma.masked_invalid(values), cmap=scale.colours, norm=scale.norm, aspect="auto")
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    high = (bottom - top) / len(values)
    for head in _numbered(len(values), high, small):
        marks.put_words(axes, str(head), (right + 0.5, top + (head + 0.5) * high), small, color=FAINT)
    for part, name in enumerate(_PARTS if has_names else ()):
        middle = left + (part + 0.5) * (right - left) / len(_PARTS)
        marks.put_words(axes, name, (middle, top - line_mm(small) / 2), small, across="center")


def _numbered(heads: int, head_mm: float, size_pt: float) -> Iterator[int]:
    """The heads that have room for their numbers: all, or the first and as many more as fit above the next module."""
    high = size_pt * MM_PER_PT
    for head in range(0, heads, max(1, math.ceil(1.2 * high / head_mm))):
        if head == 0 or (heads - head - 0.5) * head_mm > 0.45 * high:
            yield head


def _axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    across, down = size_mm(figure)
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _print_scales(panels: Sequence[Panel], options: PrintOptions) -> tuple[Scale, Scale | None]:
    """As on the screen, in the colours of print, whose high values are dark."""
    weights, norms = scales(panels)
    weights = weights._replace(colours=colormaps[options.colors(is_signed=True)].with_extremes(bad=NOT_FINITE))
    if norms is not None:
        norms = norms._replace(colours=colormaps[options.colors()].with_extremes(bad="white"))
    return weights, norms
