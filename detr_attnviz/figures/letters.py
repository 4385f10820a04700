"""Letters that fit their sheet, and the notes on letters that do not come as they were asked for."""

from collections.abc import Iterable

from detr_attnviz.detections import Detection
from detr_attnviz.drawing.captions import name_of
from detr_attnviz.drawing.prints.fonts import FAMILY, HOLE, lacking
from detr_attnviz.drawing.prints.paper import PrintOptions

ONE_PICTURE, PANELS = 6.0, 8.0
"""So many millimetres wide is a sheet at least for each point of its letters' size: of many panels each has less."""


def fitting(options: PrintOptions | None, sizes: float) -> tuple[PrintOptions, tuple[str, ...]]:
    """The options with letters as small as a narrow sheet needs them, and a note where that is smaller than asked."""
    asked = options or PrintOptions()
    used = asked.with_letters_for(sizes)
    if used.font_pt == asked.font_pt:
        return asked, ()
    width = f"{asked.width_mm:g} mm have no room for larger ones"
    return used, (f"letters are {used.font_pt:.2g} pt, not {asked.font_pt:g}: {width}",)


def missing_letters(detections: Iterable[Detection]) -> tuple[str, ...]:
    """A note on class names that the print font has no letters for."""
    letters = "".join(dict.fromkeys("".join(lacking(name_of(one)) for one in detections)))
    if not letters:
        return ()
    return (f"{FAMILY} has no {letters}: {HOLE} stands in their place; other names can be given with the checkpoint",)
