"""A picture with the maps of places in it all around, each with a line to its place."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detr_attnviz.drawing.prints.around import Slot, Surround, assigned, surround
from detr_attnviz.drawing.prints.fonts import printable, shortened
from detr_attnviz.drawing.prints.marks import (
    MM_PER_PT,
    Box,
    ground,
    map_picture,
    on_paper,
    pixels,
    put_dot,
    put_line,
    put_outline,
    put_picture,
    put_tag,
    put_words,
    resized,
    snapped,
    tag_mm,
)
from detr_attnviz.drawing.prints.palette import Mark, marks
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from detr_attnviz.explanation import Explanation

MOST = 8
"""So many maps stand around a picture."""

_LABEL = 1.9
"""Height of a map's label, as a share of the letters' size."""
_FEWEST_LETTERS = 4
"""Names that would be cut to less stay away: the number is enough."""
_LINE_PT, _FRAME_PT, _DOT_PT, _SMALL_DOT_PT = 0.9, 1.1, 4.2, 2.6


def draw_points(explanation: Explanation, words: Sequence[str], options: PrintOptions) -> Figure:
    """The sheet; ``words`` has a label for each map."""
    image = explanation.image
    plan, shown = _plan(explanation, options), labels(explanation, words, options)
    picture = snapped(plan.picture, options)
    figure = new_sheet(*plan.size, options)
    axes = sheet_axes(figure)
    put_picture(axes, resized(image, pixels(picture, options)), picture)
    places = [on_paper(point, picture, image) for point in explanation.points]
    own = assigned(places, [slot.anchor for slot in plan.slots])
    numbered = marks(len(explanation))
    slots = [plan.slots[number] for number in own]
    for mark, slot, place in zip(numbered, slots, places, strict=True):
        put_line(axes, slot.anchor, place, mark.hex, _LINE_PT)
    for mark, place in zip(numbered, places, strict=True):
        put_dot(axes, place, mark.hex, _DOT_PT)
    for index, (mark, slot) in enumerate(zip(numbered, slots, strict=True)):
        _put_map(axes, explanation, index, slot, mark, options)
        _put_label(axes, mark, shown[index], slot, options)
    return figure


def labels(explanation: Explanation, words: Sequence[str], options: PrintOptions) -> tuple[str, ...]:
    """The words as maps have room for them: cut, or "" where hardly anything would be left of them."""
    tag = max(tag_mm(number + 1, options.font_pt)[0] for number in range(len(explanation)))
    room = _plan(explanation, options).map_mm - tag - _after(options)
    cut = [shortened(printable(one), options.font_pt, room) for one in words]
    enough = [min(_FEWEST_LETTERS, len(one)) for one in words]
    return tuple(short if len(short) >= least else "" for short, least in zip(cut, enough, strict=True))


def _plan(explanation: Explanation, options: PrintOptions) -> Surround:
    aspect = explanation.image.height / explanation.image.width
    return surround(len(explanation), aspect, options.width_mm, _label_mm(options))


def _label_mm(options: PrintOptions) -> float:
    return _LABEL * options.font_pt * MM_PER_PT


def _after(options: PrintOptions) -> float:
    """Between a number and its words."""
    return 0.45 * options.font_pt * MM_PER_PT


def _put_map(axes: Axes, explanation: Explanation, index: int, slot: Slot, mark: Mark, options: PrintOptions) -> None:
    box = snapped(slot.box, options)
    under = ground(explanation.image, pixels(box, options))
    put_picture(axes, map_picture(explanation, index, under, options), box)
    put_dot(axes, on_paper(explanation.points[index], box, explanation.image), mark.hex, _SMALL_DOT_PT)
    put_outline(axes, box, mark.hex, _FRAME_PT, has_casing=False)


def _put_label(axes: Axes, mark: Mark, words: str, slot: Slot, options: PrintOptions) -> None:
    """The number and its words, away from the picture where the map is above it."""
    left, top, _, bottom = slot.box
    label = _label_mm(options)
    y = (top - label / 2) if slot.side == "above" else (bottom + label / 2)
    width, height = tag_mm(mark.number, options.font_pt)
    place: Box = (left, y - height / 2, left + width, y + height / 2)
    put_tag(axes, mark, place, options.font_pt)
    if words:
        put_words(axes, words, (place[2] + _after(options), y), options.font_pt)
