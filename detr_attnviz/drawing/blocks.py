"""Text of a sheet in columns that grow downwards, line by line, each measured before there is ink."""

import math
from dataclasses import dataclass

from detr_attnviz.drawing.annotate import Color
from detr_attnviz.drawing.text import Rect, baseline_px, clean, font, line_height, rect_of, shorten, width_of, wrap

INK: Color = (28, 28, 30)
QUIET: Color = (98, 98, 104)


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


class Block:
    """A column of text that grows downwards."""

    def __init__(self, left: int, right: int, y: int) -> None:
        self.left, self.right, self.y = left, right, y
        self.lines: list[Line] = []

    def add(self, text: str, size_px: int, bold: bool, color: Color) -> None:
        """One line, as it is."""
        face = font(size_px, bold)
        height = line_height(face)
        baseline = self.y + baseline_px(face)
        limits = (self.left, self.y, self.right, self.y + height)
        self.lines.append(Line(text, self.left, baseline, size_px, bold, color, limits))
        self.y += height

    def add_wrapped(self, text: str, size_px: int, bold: bool, most_lines: int) -> None:
        """As many lines as the text needs, within reason."""
        for line in wrap(clean(text), font(size_px, bold), self.right - self.left, most_lines):
            self.add(line, size_px, bold, INK if bold else QUIET)


class Row:
    """Words, a bar and strokes side by side on one line of a block, ``height`` high."""

    def __init__(self, block: Block, size_px: int, height: int = 0) -> None:
        self.block, self.size_px, self.face, self.x = block, size_px, font(size_px), block.left
        self.height = max(height, line_height(self.face))
        self.baseline = block.y + (self.height - line_height(self.face)) // 2 + baseline_px(self.face)

    @property
    def middle(self) -> int:
        """In the letters' height."""
        return self.baseline - round(self.size_px * 0.36)

    def say(self, text: str, gap: float = 0.5) -> None:
        short = shorten(text, self.face, self.block.right - self.x)
        limits = (self.x, self.block.y, self.block.right, self.block.y + self.height)
        self.block.lines.append(Line(short, self.x, self.baseline, self.size_px, False, QUIET, limits))
        self.x += math.ceil(width_of(short, self.face)) + round(gap * self.size_px)

    def mark(self, ems: float, thick: int) -> tuple[int, int, int, int]:
        """Room for a bar or stroke in the middle of the letters' height."""
        top = self.middle - thick // 2
        width = round(min(ems * self.size_px, (self.block.right - self.x) * 0.45))
        place = (self.x, top, self.x + width, top + thick)
        self.x += width + round(0.5 * self.size_px)
        return place
