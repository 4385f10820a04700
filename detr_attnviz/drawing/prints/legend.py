"""The list under or beside a figure that says what each number and colour is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from detr_attnviz.drawing.prints.fonts import printable, shortened, width_mm
from detr_attnviz.drawing.prints.marks import MM_PER_PT, put_tag, put_words, tag_mm
from detr_attnviz.drawing.prints.palette import Mark
from detr_attnviz.drawing.prints.paper import PrintOptions

_ROW = 1.75
"""From row to row, as a share of the letters' size; after a number and between columns likewise."""
_AFTER_TAG, _BETWEEN = 0.45, 1.6
_WIDEST = 0.47
"""No column takes more of the width, where there are several entries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A mark, a name that may be cut short, and a score that may not."""

    mark: Mark
    name: str
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Legend:
    """Entries in rows from left to right; ``height_mm`` is what they take."""

    entries: tuple[Entry, ...]
    columns: int
    column_mm: float
    tag_mm: float
    size_pt: float

    @property
    def height_mm(self) -> float:
        """What all rows take."""
        return math.ceil(len(self.entries) / self.columns) * _ROW * self.size_pt * MM_PER_PT

    def put(self, axes: Axes, left: float, top: float) -> None:
        """Draws the entries with their upper left corner here."""
        row_mm, after = _ROW * self.size_pt * MM_PER_PT, _AFTER_TAG * self.size_pt * MM_PER_PT
        between = _BETWEEN * self.size_pt * MM_PER_PT
        for index, entry in enumerate(self.entries):
            row, column = divmod(index, self.columns)
            x = left + column * (self.column_mm + between)
            y = top + (row + 0.5) * row_mm
            height = tag_mm(entry.mark.number, self.size_pt)[1]
            put_tag(axes, entry.mark, (x, y - height / 2, x + self.tag_mm, y + height / 2), self.size_pt)
            room = self.column_mm - self.tag_mm - after
            words = shortened(printable(entry.name), self.size_pt, room, entry.tail)
            put_words(axes, words, (x + self.tag_mm + after, y), self.size_pt)


def legend(entries: Sequence[Entry], most_mm: float, options: PrintOptions) -> Legend:
    """As many columns as a width has room for."""
    size = options.font_pt
    tag = max(tag_mm(entry.mark.number, size)[0] for entry in entries)
    longest = max(width_mm(printable(entry.name) + entry.tail, size) for entry in entries) + 0.1
    needed = tag + _AFTER_TAG * size * MM_PER_PT + longest
    column = min(needed, most_mm if len(entries) == 1 else max(_WIDEST * most_mm, min(most_mm, 30)))
    between = _BETWEEN * size * MM_PER_PT
    columns = max(1, min(len(entries), math.floor((most_mm + between) / (column + between) + 1e-6)))
    if columns == 1:
        column = min(needed, most_mm)
    return Legend(tuple(entries), columns, column, tag, size)
