"""Pictures to one sheet: first where everything goes (``Layout``), then ink.

The plan comes first so that nothing is drawn before it is known to fit, and so that a test can ask where every
text lies.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from detr_attnviz.drawing.captions import Caption
from detr_attnviz.drawing.text import Rect, baseline_px, clean, font, line_height, rect_of, shorten, width_of, wrap

Color = tuple[int, int, int]

_PAPER: Color = (255, 255, 255)
_INK: Color = (28, 28, 30)
_QUIET: Color = (98, 98, 104)
_GOOD_ASPECT = 1.6
_SMALLEST_TEXT, _LARGEST_TEXT = 13, 30
_SMALLEST_PANEL = 48


@dataclass(frozen=True)
class Line:
    """One line of text, measured and shortened: it lies within ``limits``."""

    text: str
    x: int
    baseline: int
    size_px: int
    bold: bool
    color: Color
    limits: Rect

    @property
    def rect(self) -> Rect:
        return rect_of(self.text, font(self.size_px, self.bold), self.x, self.baseline)


@dataclass(frozen=True)
class Legend:
    """How to read the colours: a bar from ``low`` to ``high``, or a short line with a name for each of ``keys``.

    ``is_signed`` marks the bar's middle, which is 0.
    """

    low: str = ""
    high: str = ""
    words: str = ""
    keys: tuple[tuple[Color, str], ...] = ()
    is_signed: bool = False


@dataclass(frozen=True)
class Layout:
    """Where everything of a sheet goes, in pixels."""

    size: tuple[int, int]
    longest_px: int
    picture_size: tuple[int, int]
    corners: tuple[tuple[int, int], ...]
    lines: tuple[Line, ...]
    bar: tuple[int, int, int, int] | None
    strokes: tuple[tuple[Color, tuple[int, int, int, int]], ...]


def plan(
    captions: Sequence[Caption],
    heading: Sequence[str],
    legend: Legend,
    picture_size: Callable[[int], tuple[int, int]],
    longest_px: int,
    sheet_px: int,
    columns: int | None = None,
    text_px: int | None = None,
) -> Layout:
    """A sheet with one place per caption.

    ``picture_size`` answers with a panel's size for a longest side; it starts at ``longest_px`` and shrinks until
    the sheet's longest side is at most ``sheet_px`` (or panels are as small as they may be).
    """
    while True:
        layout = _plan_at(longest_px, picture_size(longest_px), captions, heading, legend, columns, text_px)
        if max(layout.size) <= sheet_px or longest_px <= _SMALLEST_PANEL:
            return layout
        longest_px = max(_SMALLEST_PANEL, int(longest_px * 0.94))


def paint(
    layout: Layout, pictures: Sequence[Image.Image], color_bar: Callable[[tuple[int, int]], Image.Image]
) -> Image.Image:
    """The sheet of ``layout`` with ``pictures`` in its places; ``color_bar`` answers with the bar at a size."""
    sheet = Image.new("RGB", layout.size, _PAPER)
    for picture, corner in zip(pictures, layout.corners, strict=True):
        sheet.paste(picture, corner)
    if layout.bar is not None:
        left, top, right, bottom = layout.bar
        sheet.paste(color_bar((right - left, bottom - top)), (left, top))
    for color, place in layout.strokes:
        sheet.paste(color, place)
    pen = ImageDraw.Draw(sheet)
    for line in layout.lines:
        pen.text((line.x, line.baseline), line.text, line.color, font(line.size_px, line.bold), anchor="ls")
    return sheet


def columns_for(count: int, cell: tuple[float, float]) -> int:
    """How many panels side by side give a sheet of a pleasant shape with few empty places."""

    def cost(cols: int) -> float:
        rows = math.ceil(count / cols)
        aspect = cols * cell[0] / (rows * cell[1])
        return abs(math.log(aspect / _GOOD_ASPECT)) + 0.9 * (cols * rows - count) / count

    return min(range(1, count + 1), key=cost)


def _plan_at(
    longest_px: int,
    picture: tuple[int, int],
    captions: Sequence[Caption],
    heading: Sequence[str],
    legend: Legend,
    columns: int | None,
    text_px: int | None,
) -> Layout:
    cell_width = max(picture[0], 15 * _SMALLEST_TEXT)
    cols = min(columns or columns_for(len(captions), (cell_width, picture[1] + 5 * _SMALLEST_TEXT)), len(captions))
    text_px = text_px or _text_px(cols, cell_width)
    gap = round(1.5 * text_px)
    margin = round(1.6 * text_px)
    width = 2 * margin + cols * cell_width + (cols - 1) * gap
    if cols == 1:
        width = max(width, 2 * margin + 30 * text_px)
    block = _Block(margin, width - margin, margin)
    for number, text in enumerate(heading):
        _add_text(block, text, round(text_px * (1.3 if number == 0 else 1.0)), number == 0, 3)
    block.y += round(0.7 * text_px)
    corners = []
    for first in range(0, len(captions), cols):
        bottoms = []
        if captions[first].above:
            _add_above(block, captions[first].above, text_px)
        for place, words in enumerate(captions[first : first + cols]):
            left = margin + place * (cell_width + gap)
            corners.append((left, block.y))
            right = left + cell_width if cols > 1 else width - margin
            cell = _Block(left, right, block.y + picture[1] + round(0.35 * text_px))
            _add_caption(cell, words, text_px)
            block.lines += cell.lines
            bottoms.append(cell.y)
        block.y = max(bottoms) + gap
    bar, strokes = _add_legend(block, legend, text_px)
    return Layout((width, block.y + margin), longest_px, picture, tuple(corners), tuple(block.lines), bar, strokes)


def _text_px(cols: int, cell_width: int) -> int:
    """Letters grow with the sheet, as far as one panel's line still holds a query and its box."""
    return round(min(max(cols * cell_width / 80, _SMALLEST_TEXT), max(cell_width / 26, _SMALLEST_TEXT), _LARGEST_TEXT))


class _Block:
    """A column of text that grows downwards."""

    def __init__(self, left: int, right: int, y: int) -> None:
        self.left, self.right, self.y = left, right, y
        self.lines: list[Line] = []

    def add(self, text: str, size_px: int, bold: bool, color: Color) -> None:
        face = font(size_px, bold)
        height = line_height(face)
        baseline = self.y + baseline_px(face)
        limits = (self.left, self.y, self.right, self.y + height)
        self.lines.append(Line(text, self.left, baseline, size_px, bold, color, limits))
        self.y += height


def _add_text(block: _Block, text: str, size_px: int, bold: bool, most_lines: int) -> None:
    for line in wrap(clean(text), font(size_px, bold), block.right - block.left, most_lines):
        block.add(line, size_px, bold, _INK if bold else _QUIET)


def _add_above(block: _Block, words: str, text_px: int) -> None:
    block.y += round(0.4 * text_px)
    block.add(shorten(clean(words), font(text_px, True), block.right - block.left), text_px, True, _INK)
    block.y += round(0.3 * text_px)


def _add_caption(cell: _Block, words: Caption, text_px: int) -> None:
    title = shorten(clean(words.title), font(text_px, True), cell.right - cell.left, words.tail)
    cell.add(title, text_px, True, _INK)
    for note in words.notes:
        _add_text(cell, note, _small(text_px), False, 7)


class _Row:
    """Words, a bar and strokes side by side on one line of a block."""

    def __init__(self, block: _Block, size_px: int) -> None:
        self.block, self.size_px, self.face, self.x = block, size_px, font(size_px), block.left
        self.height = line_height(self.face)
        self.baseline = block.y + baseline_px(self.face)

    def say(self, text: str, gap: float = 0.5) -> None:
        short = shorten(text, self.face, self.block.right - self.x)
        limits = (self.x, self.block.y, self.block.right, self.block.y + self.height)
        self.block.lines.append(Line(short, self.x, self.baseline, self.size_px, False, _QUIET, limits))
        self.x += math.ceil(width_of(short, self.face)) + round(gap * self.size_px)

    def mark(self, ems: float, thick: int) -> tuple[int, int, int, int]:
        """Room for a bar or stroke in the middle of the letters' height."""
        top = self.baseline - round(self.size_px * 0.36) - thick // 2
        width = round(min(ems * self.size_px, (self.block.right - self.x) * 0.45))
        place = (self.x, top, self.x + width, top + thick)
        self.x += width + round(0.5 * self.size_px)
        return place


def _add_legend(
    block: _Block, legend: Legend, text_px: int
) -> tuple[tuple[int, int, int, int] | None, tuple[tuple[Color, tuple[int, int, int, int]], ...]]:
    size_px = _small(text_px)
    row = _Row(block, size_px)
    bar, strokes = None, []
    for color, name in legend.keys:
        strokes.append((color, row.mark(2, max(2, size_px // 5))))
        row.say(name, gap=1)
    if not legend.keys:
        row.say(legend.low)
        bar = row.mark(11, round(0.9 * size_px))
        strokes += [(_INK, _middle(bar))] if legend.is_signed else []
        row.say(legend.high, gap=0.3)
    if row.x + width_of(legend.words, row.face) <= block.right:
        row.say(legend.words)
        block.y += row.height
    else:
        block.y += row.height
        _add_text(block, legend.words, size_px, False, 3)
    return bar, tuple(strokes)


def _middle(bar: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A thin line through the middle of the bar, a little longer than it is high."""
    left, top, right, bottom = bar
    thin, over = max(1, (bottom - top) // 12), max(2, (bottom - top) // 5)
    start = (left + right - thin) // 2
    return start, top - over, start + thin, bottom + over


def _small(text_px: int) -> int:
    return max(12, round(text_px * 0.88))
