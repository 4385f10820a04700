"""Colour bars below a figure: beside each other where the sheet is wide enough, else below each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from detr_attnviz.drawing.captions import MINUS
from detr_attnviz.drawing.figure import Scale
from detr_attnviz.drawing.prints import marks
from detr_attnviz.drawing.prints.fonts import line_mm, shortened, width_mm
from detr_attnviz.drawing.prints.marks import FAINT, INK
from detr_attnviz.drawing.prints.paper import PrintOptions

_BAR_MM = (22.0, 2.0)
_TICK_MM = 0.5


@dataclass(frozen=True)
class Bar:
    """A scale, what it is of, and what stands before the numbers at its ends."""

    scale: Scale
    words: str
    below: str = ""
    above: str = ""


def bars_mm(count: int, options: PrintOptions) -> float:
    """The height that ``count`` bars take."""
    return _bar_mm(options) if _fit_side_by_side(count, options) else count * _bar_mm(options)


def put_bars(axes: Axes, bars: Sequence[Bar], bottom: float, options: PrintOptions) -> None:
    """Draws the bars above ``bottom``; a scale with values below zero has a tick at its middle."""
    each = options.width_mm / len(bars)
    is_wide = _fit_side_by_side(len(bars), options)
    for place, bar in enumerate(bars):
        middle = (place + 0.5) * each if is_wide else options.width_mm / 2
        later = 0 if is_wide else len(bars) - 1 - place
        _put_bar(axes, bar, (middle, bottom - later * _bar_mm(options)), options)


def number(value: float) -> str:
    """Two digits, with a proper minus."""
    return f"{value:.2g}".replace("-", MINUS)


def _bar_mm(options: PrintOptions) -> float:
    return 2 * line_mm(options.small_pt) + _BAR_MM[1]


def _fit_side_by_side(count: int, options: PrintOptions) -> bool:
    return count * (_BAR_MM[0] + 2 * _end_mm(options)) <= options.width_mm


def _end_mm(options: PrintOptions) -> float:
    """What the number at a bar's end takes."""
    return width_mm(f"≥ {number(-0.25)}", options.small_pt) + 1


def _put_bar(axes: Axes, bar: Bar, at: tuple[float, float], options: PrintOptions) -> None:
    """``at`` is the middle of its lower edge."""
    small, line = options.small_pt, line_mm(options.small_pt)
    middle, bottom = at
    half = min(_BAR_MM[0], options.width_mm - 2 * _end_mm(options)) / 2
    top = bottom - 1.5 * line - _BAR_MM[1]
    place = marks.snapped((middle - half, top, middle + half, top + _BAR_MM[1]), options)
    across, down = marks.pixels(place, options)
    colors = bar.scale.colours(np.linspace(0, 1, across), bytes=True)[:, :3]
    marks.put_picture(axes, Image.fromarray(np.tile(colors, (down, 1, 1))), place)
    low, high = float(bar.scale.norm.vmin or 0), float(bar.scale.norm.vmax or 0)
    height = top + _BAR_MM[1] / 2
    marks.put_words(axes, f"{bar.below}{number(low)}", (place[0] - 0.8, height), small, across="right")
    marks.put_words(axes, f"{bar.above}{number(high)}", (place[2] + 0.8, height), small)
    if low < 0:
        marks.put_line(axes, (middle, top), (middle, top - _TICK_MM), INK, 0.5, has_casing=False)
    words = shortened(bar.words, small, options.width_mm)
    marks.put_words(axes, words, (middle, top + _BAR_MM[1] + 0.6 * line), small, color=FAINT, across="center")
