"""The key below a figure: what lines and colours stand for, entry after entry in as many rows as they need."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from PIL import Image

from detr_attnviz.drawing import overlay
from detr_attnviz.drawing.prints import marks
from detr_attnviz.drawing.prints.fonts import line_mm, shortened, width_mm
from detr_attnviz.drawing.prints.marks import FAINT
from detr_attnviz.drawing.prints.palette import Dashes
from detr_attnviz.drawing.prints.paper import PrintOptions

_SAMPLE_MM, _BAR_MM = 5.0, (14.0, 2.2)
_BETWEEN_MM = 3.2
_GROUND = (238, 238, 238)


@dataclass(frozen=True)
class Line:
    """How a box is outlined."""

    color: str
    line_pt: float
    dashes: Dashes = ()
    has_casing: bool = True


@dataclass(frozen=True)
class Key:
    """What the key explains: a line, or without one the colours from ``low`` to ``high``."""

    words: str
    line: Line | None = None
    low: str = ""
    high: str = ""
    is_signed: bool = False


@dataclass(frozen=True)
class KeyRows:
    """Entries row by row."""

    rows: tuple[tuple[Key, ...], ...]
    options: PrintOptions

    @property
    def height_mm(self) -> float:
        """What all rows take."""
        return len(self.rows) * _row_mm(self.options)

    def put(self, axes: Axes, left: float, top: float) -> None:
        """Draws the rows below ``top``, at ``left`` or as near to it as the sheet's width allows."""
        widest = max((sum(_wide(key, self.options) for key in row) for row in self.rows), default=0.0)
        for number, row in enumerate(self.rows):
            at = max(0.0, min(left, self.options.width_mm - widest))
            middle = top + (number + 0.5) * _row_mm(self.options)
            for key in row:
                _draw_key(axes, key, at, middle, self.options)
                at += _wide(key, self.options)


def key_rows(keys: Sequence[Key], options: PrintOptions) -> KeyRows:
    """As many entries in a row as the sheet's width allows."""
    rows: list[list[Key]] = []
    used = 0.0
    for key in keys:
        wide = _wide(key, options)
        if not rows or used + wide - _BETWEEN_MM > options.width_mm:
            rows.append([])
            used = 0.0
        rows[-1].append(key)
        used += wide
    return KeyRows(tuple(map(tuple, rows)), options)


def _row_mm(options: PrintOptions) -> float:
    return max(line_mm(options.small_pt), _BAR_MM[1]) + 0.6


def _wide(key: Key, options: PrintOptions) -> float:
    """What an entry takes with the gap behind it."""
    words = width_mm(key.words, options.small_pt) + 1.0 + _BETWEEN_MM
    if key.line is not None:
        return _SAMPLE_MM + words
    ends = width_mm(key.low, options.small_pt) + width_mm(key.high, options.small_pt) + 2.0
    return _BAR_MM[0] + ends + words


def _draw_key(axes: Axes, key: Key, left: float, middle: float, options: PrintOptions) -> None:
    if key.line is not None:
        ends = (left, middle), (left + _SAMPLE_MM, middle)
        marks.put_line(axes, *ends, key.line.color, key.line.line_pt, dashes=key.line.dashes, has_casing=False)
        right = ends[1][0]
    else:
        right = _draw_bar(axes, key, left, middle, options)
    words = shortened(key.words, options.small_pt, options.width_mm - right - 1)
    marks.put_words(axes, words, (right + 1, middle), options.small_pt, color=FAINT)


def _draw_bar(axes: Axes, key: Key, left: float, middle: float, options: PrintOptions) -> float:
    """The colours between their ends; where they end on the sheet."""
    marks.put_words(axes, key.low, (left, middle), options.small_pt)
    start = left + width_mm(key.low, options.small_pt) + 1
    half = _BAR_MM[1] / 2
    place = marks.snapped((start, middle - half, start + _BAR_MM[0], middle + half), options)
    size = marks.pixels(place, options)
    ramp = overlay.ramp(size, key.is_signed)
    shown = marks.painted(Image.new("RGB", size, _GROUND), ramp, options, key.is_signed)
    marks.put_picture(axes, shown, place)
    end = place[2] + 1
    marks.put_words(axes, key.high, (end, middle), options.small_pt)
    return end + width_mm(key.high, options.small_pt)
