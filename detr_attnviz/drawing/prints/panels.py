"""Rows of panels on a sheet: each a map over its picture, with a title, boxes and quiet words; and a key below them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.prints import marks
from detr_attnviz.drawing.prints.fonts import line_mm, shortened, width_mm
from detr_attnviz.drawing.prints.keys import Key, KeyRows, Line, key_rows
from detr_attnviz.drawing.prints.marks import FAINT, INK, Box
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from detr_attnviz.explanation import Explanation

_LEAST_MM, _MOST_MM, _LOWEST_MM = 26.0, 70.0, 6.0
"""A panel's width, which grows with the letters, and what its picture's height never falls below."""
_GAP_MM, _ROW_GAP_MM = 1.6, 2.0
_SIGN_MM = 1.5


@dataclass(frozen=True, eq=False)
class Panel:
    """Map ``index`` of an explanation; ``tail`` stands small at the title's right.

    ``below`` are lines under the picture: words, and what may not be cut off behind them.
    """

    explanation: Explanation
    index: int
    title: str
    tail: str = ""
    below: tuple[tuple[str, str], ...] = ()
    boxes: tuple[tuple[Detection, Line], ...] = ()


@dataclass(frozen=True, eq=False)
class Group:
    """Panels that begin a row of their own, under a heading if they have one."""

    panels: tuple[Panel, ...]
    heading: str = ""


def draw_panels(groups: Sequence[Group], keys: Sequence[Key], options: PrintOptions) -> Figure:
    """The sheet; panels are as large as the width allows, and smaller where the sheet would be higher than a page."""
    plan = _plan(groups, keys, options)
    figure = new_sheet(options.width_mm, plan.height, options)
    axes = sheet_axes(figure)
    top = 0.0
    for group in groups:
        if group.heading:
            words = shortened(group.heading, options.font_pt, options.width_mm)
            marks.put_words(axes, words, (plan.left, top + plan.line / 2), options.font_pt)
            top += plan.line
        title_pt = options.small_pt if group.heading else options.font_pt
        cols = _balanced(len(group.panels), plan.cols)
        for start in range(0, len(group.panels), cols):
            row = group.panels[start : start + cols]
            for place, panel in enumerate(row):
                _draw_panel(axes, panel, (plan.left + place * (plan.width + _GAP_MM), top), plan, title_pt, options)
            top += plan.above + plan.picture[1] + plan.below_of(group) + _ROW_GAP_MM
    plan.keys.put(axes, plan.left, plan.height - plan.keys.height_mm)
    return figure


@dataclass(frozen=True)
class _Plan:
    """Lengths in millimetres; ``picture`` is a picture's width and height, ``width`` what a panel has."""

    cols: int
    left: float
    width: float
    picture: tuple[float, float]
    above: float
    line: float
    small_line: float
    height: float
    keys: KeyRows

    def below_of(self, group: Group) -> float:
        lines = max(len(panel.below) for panel in group.panels)
        return lines * self.small_line + (0.4 if lines else 0.0)


def _plan(groups: Sequence[Group], keys: Sequence[Key], options: PrintOptions) -> _Plan:
    line, small_line = line_mm(options.font_pt), line_mm(options.small_pt)
    cols = max(columns(len(group.panels), options) for group in groups)
    width = min((options.width_mm - (cols - 1) * _GAP_MM) / cols, max(_MOST_MM, options.width_mm / 2))
    rows_of_keys = key_rows(keys, options)
    bare = _Plan(cols, 0, width, (0, 0), line + 0.2, line, small_line, 0, rows_of_keys)
    rows = {id(group): math.ceil(len(group.panels) / cols) for group in groups}
    fixed = rows_of_keys.height_mm + sum(line for group in groups if group.heading)
    fixed += sum(rows[id(group)] * (bare.above + bare.below_of(group) + _ROW_GAP_MM) for group in groups)
    image = groups[0].panels[0].explanation.image
    count = sum(rows.values())
    high = min(width * image.height / image.width, max((options.tallest_mm - fixed) / count, _LOWEST_MM))
    picture = (min(width, high * image.width / image.height), high)
    used = cols * width + (cols - 1) * _GAP_MM
    left = (options.width_mm - used) / 2
    return _Plan(cols, left, width, picture, bare.above, line, small_line, fixed + count * high, rows_of_keys)


def columns(count: int, options: PrintOptions) -> int:
    """Panels in a row: rows of about equal length, and none narrower than its words need."""
    least = _LEAST_MM * options.font_pt / 7
    most = max(1, int((options.width_mm + _GAP_MM) / (least + _GAP_MM)))
    return _balanced(count, most)


def _balanced(count: int, most: int) -> int:
    return math.ceil(count / math.ceil(count / most))


def _draw_panel(
    axes: Axes, panel: Panel, at: tuple[float, float], plan: _Plan, title_pt: float, options: PrintOptions
) -> None:
    left, top = at
    middle = top + plan.line / 2
    tail_mm = width_mm(panel.tail, options.small_pt)
    title = shortened(panel.title, title_pt, plan.width - (tail_mm + 1 if panel.tail else 0))
    marks.put_words(axes, title, (left, middle), title_pt)
    if panel.tail:
        at = (left + plan.width, middle)
        marks.put_words(axes, panel.tail, at, options.small_pt, color=FAINT, across="right")
    start, high = left + (plan.width - plan.picture[0]) / 2, top + plan.above
    place = marks.snapped((start, high, start + plan.picture[0], high + plan.picture[1]), options)
    _draw_map(axes, panel, place, options)
    under = high + plan.picture[1] + 0.4
    for number, (words, tail) in enumerate(panel.below):
        at = (left, under + (number + 0.5) * plan.small_line)
        marks.put_name(axes, words, tail, at, options.small_pt, plan.width, color=FAINT if number else INK)


def _draw_map(axes: Axes, panel: Panel, place: Box, options: PrintOptions) -> None:
    image = panel.explanation.image
    under = marks.ground(image, marks.pixels(place, options))
    marks.put_picture(axes, marks.map_picture(panel.explanation, panel.index, under, options), place)
    for detection, line in panel.boxes:
        box = marks.box_on_paper(detection, place, image)
        if box is not None:
            marks.put_outline(axes, box, line.color, line.line_pt, dashes=line.dashes, has_casing=line.has_casing)
    if panel.explanation.is_signed:
        _draw_signs(axes, panel, place)


def _draw_signs(axes: Axes, panel: Panel, place: Box) -> None:
    """Where the map is highest and lowest, as signs: in grey print both of its colours are as dark."""
    values = panel.explanation.maps[panel.index]
    for sign, found in ((1, np.where(values > 0, values, 0)), (-1, np.where(values < 0, -values, 0))):
        if found.any():
            at = panel.explanation.grid.center_of(int(found.argmax()))
            x, y = marks.on_paper(at, place, panel.explanation.image)
            x = min(max(x, place[0] + _SIGN_MM), place[2] - _SIGN_MM)
            y = min(max(y, place[1] + _SIGN_MM), place[3] - _SIGN_MM)
            half = _SIGN_MM / 2
            marks.put_line(axes, (x - half, y), (x + half, y), INK, 0.7)
            if sign > 0:
                marks.put_line(axes, (x, y - half), (x, y + half), INK, 0.7)
                marks.put_line(axes, (x - half, y), (x + half, y), INK, 0.7, has_casing=False)
