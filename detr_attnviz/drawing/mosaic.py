"""Pictures to one sheet: first where everything goes (``Layout``), then ink.

The plan comes first so that nothing is drawn before it is known to fit, and so that a test can ask where every
text lies.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from detr_attnviz.drawing.annotate import Color
from detr_attnviz.drawing.blocks import INK, Block, Line
from detr_attnviz.drawing.captions import Caption
from detr_attnviz.drawing.dots import Dot, draw_dots
from detr_attnviz.drawing.legend import Legend as Legend  # callers plan a sheet with it
from detr_attnviz.drawing.legend import add_legend
from detr_attnviz.drawing.text import clean, font, shorten

_PAPER: Color = (255, 255, 255)
_GOOD_ASPECT = 1.6
_SMALLEST_TEXT, _LARGEST_TEXT = 13, 30
_SMALLEST_PANEL = 48


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
    dots: tuple[Dot, ...] = ()


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
    if layout.dots:
        draw_dots(sheet, layout.dots)
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
    block = Block(margin, width - margin, margin)
    for number, text in enumerate(heading):
        block.add_wrapped(text, round(text_px * (1.3 if number == 0 else 1.0)), number == 0, 3)
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
            cell = Block(left, right, block.y + picture[1] + round(0.35 * text_px))
            _add_caption(cell, words, text_px)
            block.lines += cell.lines
            bottoms.append(cell.y)
        block.y = max(bottoms) + gap
    marks = add_legend(block, legend, _small(text_px), math.sqrt(picture[0] * picture[1]))
    size = (width, block.y + margin)
    return Layout(size, longest_px, picture, tuple(corners), tuple(block.lines), marks.bar, marks.strokes, marks.dots)


def _text_px(cols: int, cell_width: int) -> int:
    """Letters grow with the sheet, as far as one panel's line still holds a query and its box."""
    return round(min(max(cols * cell_width / 80, _SMALLEST_TEXT), max(cell_width / 26, _SMALLEST_TEXT), _LARGEST_TEXT))


def _add_above(block: Block, words: str, text_px: int) -> None:
    block.y += round(0.4 * text_px)
    block.add(shorten(clean(words), font(text_px, True), block.right - block.left), text_px, True, INK)
    block.y += round(0.3 * text_px)


def _add_caption(cell: Block, words: Caption, text_px: int) -> None:
    title = shorten(clean(words.title), font(text_px, True), cell.right - cell.left, words.tail)
    cell.add(title, text_px, True, INK)
    for note in words.notes:
        cell.add_wrapped(note, _small(text_px), False, 7)


def _small(text_px: int) -> int:
    return max(12, round(text_px * 0.88))
