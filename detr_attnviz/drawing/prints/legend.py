"""The list under or beside a figure that says what each number and colour is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from detr_attnviz.drawing.prints.fonts import line_mm, printable, shortened, width_mm
from detr_attnviz.drawing.prints.marks import FAINT, MM_PER_PT, put_name, put_tag, put_words, tag_mm
from detr_attnviz.drawing.prints.palette import Mark
from detr_attnviz.drawing.prints.paper import PrintOptions

MANY = 99
_ROW = 1.75
"""From row to row, as a share of the letters' size; after a number and between columns likewise."""
_AFTER_TAG, _BETWEEN = 0.45, 1.6
_WIDEST, _LONG = 0.47, 20.0
"""Of several entries none takes more than this share of the width, or this many sizes of its letters if that is more:
about thirty letters."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A mark, a name that may be cut short, a score that may not, and a quiet line under them if there is one."""

    mark: Mark
    name: str
    tail: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Legend:
    """Entries in rows from left to right."""

    entries: tuple[Entry, ...]
    columns: int
    column_mm: float
    tag_mm: float
    options: PrintOptions

    @property
    def width_mm(self) -> float:
        """What all columns take."""
        return self.columns * self.column_mm + (self.columns - 1) * _in_mm(_BETWEEN, self.options)

    @property
    def height_mm(self) -> float:
        """What all rows take."""
        return sum(map(self._row_mm, self._rows()))

    def put(self, axes: Axes, left: float, top: float) -> None:
        """Draws the entries with their upper left corner here."""
        step = self.column_mm + _in_mm(_BETWEEN, self.options)
        for row in self._rows():
            for column, entry in enumerate(row):
                self._put_entry(axes, entry, left + column * step, top + 0.5 * _in_mm(_ROW, self.options))
            top += self._row_mm(row)

    def _rows(self) -> list[tuple[Entry, ...]]:
        starts = range(0, len(self.entries), self.columns)
        return [self.entries[start : start + self.columns] for start in starts]

    def _row_mm(self, row: Sequence[Entry]) -> float:
        return _in_mm(_ROW, self.options) + any(entry.note for entry in row) * line_mm(self.options.small_pt)

    def _put_entry(self, axes: Axes, entry: Entry, left: float, middle: float) -> None:
        size, small = self.options.font_pt, self.options.small_pt
        height = tag_mm(entry.mark.number, size)[1]
        put_tag(axes, entry.mark, (left, middle - height / 2, left + self.tag_mm, middle + height / 2), size)
        start = left + self.tag_mm + _in_mm(_AFTER_TAG, self.options)
        room = left + self.column_mm - start
        put_name(axes, entry.name, entry.tail, (start, middle), size, room)
        if entry.note:
            under = middle + (line_mm(size) + line_mm(small)) / 2
            put_words(axes, shortened(entry.note, small, room), (start, under), small, color=FAINT)


def legend(entries: Sequence[Entry], most_mm: float, options: PrintOptions, *, most_columns: int = MANY) -> Legend:
    """As many columns as a width has room for without cutting names, but for very long ones."""
    tag = max(tag_mm(entry.mark.number, options.font_pt)[0] for entry in entries)
    needed = tag + _in_mm(_AFTER_TAG, options) + max(_words_mm(entry, options) for entry in entries) + 0.1
    widest = max(_WIDEST * most_mm, _in_mm(_LONG, options))
    between = _in_mm(_BETWEEN, options)
    column = needed if len(entries) == 1 else min(needed, widest)
    columns = max(1, min(len(entries), most_columns, math.floor((most_mm + between) / (column + between) + 1e-6)))
    if columns == 1:
        column = min(needed, most_mm)
    return Legend(tuple(entries), columns, column, tag, options)


def _words_mm(entry: Entry, options: PrintOptions) -> float:
    """What an entry's words take."""
    name = width_mm(printable(entry.name) + entry.tail, options.font_pt)
    return max(name, width_mm(entry.note, options.small_pt))


def _in_mm(sizes: float, options: PrintOptions) -> float:
    """So many times the letters' size."""
    return sizes * options.font_pt * MM_PER_PT
