"""One picture with every object's map in a colour of its own, their boxes and a legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing import overlay
from detr_attnviz.drawing.captions import name_of, score_of
from detr_attnviz.drawing.prints.legend import Entry, Legend, legend
from detr_attnviz.drawing.prints.marks import (
    Box,
    box_on_paper,
    ground,
    pixels,
    put_outline,
    put_picture,
    put_tag,
    snapped,
    tag_mm,
)
from detr_attnviz.drawing.prints.palette import COLORS, Mark, Rgb, marks
from detr_attnviz.drawing.prints.paper import PrintOptions, new_sheet, sheet_axes
from detr_attnviz.explanation import Explanation

MOST = len(COLORS)
"""So many objects have colours of their own."""

_TALLEST, _NARROW_MM = 0.65, 20.0
"""A picture's share of the height that a sheet may have, unless it would be narrower than so many millimetres."""
_WORTH_IT = 0.8
"""A legend stands beside the picture if that leaves it so much of the width that it would have above the legend."""
_ABOVE_LEGEND_MM, _BESIDE_LEGEND_MM = 1.0, 3.0
_LINE_PT = 0.9
_LEVELS = 255


@dataclass(frozen=True, slots=True)
class _Layout:
    picture: Box
    legend: Legend
    legend_at: tuple[float, float]
    size: tuple[float, float]


def draw_objects(explanation: Explanation, options: PrintOptions, notes: Sequence[str] = ()) -> Figure:
    """The sheet. Colours of places that several objects look at are mixed by how strongly each does.

    Cells that hold no number in any object's map are hatched above all colours.
    ``notes`` has a quiet line for each object in the legend, if there is anything to be said.
    """
    numbered = marks(len(explanation), options.cmap)
    plan = _layout(explanation, numbered, notes or [""] * len(explanation), options)
    figure = new_sheet(*plan.size, options)
    axes = sheet_axes(figure)
    under = ground(explanation.image, pixels(plan.picture, options))
    colors = [mark.color for mark in numbered]
    strengths = (strength(explanation, index, under.size, options) for index in range(len(explanation)))
    drawn = blended(under, strengths, colors)
    put_picture(axes, overlay.hatch_missing(drawn, _known(explanation), explanation.grid), plan.picture)
    _put_boxes(axes, explanation, numbered, plan.picture, options)
    plan.legend.put(axes, *plan.legend_at)
    return figure


def strength(
    explanation: Explanation, index: int, size: tuple[int, int], options: PrintOptions
) -> Float32[np.ndarray, "height_px width_px"]:
    """How opaque map ``index`` is at each pixel, 0–1, in proportion to its share of its own peak.

    Overlays of one map lift weak attention; the weak parts of many maps together would be a haze.
    """
    values = explanation.maps[index]
    leveled = overlay.levels(values, explanation.grid, size, overlay.peak(values), options.smooth)
    return np.asarray(leveled, dtype=np.float32) * np.float32(options.alpha / _LEVELS)


def blended(
    under: Image.Image, strengths: Iterator[Float32[np.ndarray, "height_px width_px"]], colors: Sequence[Rgb]
) -> Image.Image:
    """Colours over a picture: their mean weighted by strengths, as opaque as all layers together, 1 − Π(1 − strength).

    Unlike layers that lie on each other, no order of the objects is better than another.
    """
    total = np.zeros((under.height, under.width, 1), dtype=np.float32)
    clear = np.ones_like(total)
    mixed = np.zeros((under.height, under.width, 3), dtype=np.float32)
    for share, color in zip(strengths, colors, strict=True):
        total[..., 0] += share
        clear[..., 0] *= 1 - share
        mixed += share[..., None] * np.asarray(color, dtype=np.float32)
    mixed /= np.maximum(total, 1e-6)
    shown = clear * np.asarray(under, dtype=np.float32) + (1 - clear) * mixed
    return Image.fromarray(np.rint(shown).astype(np.uint8))


def _known(explanation: Explanation) -> Float32[np.ndarray, "rows cols"]:
    """NaN at the cells that hold no number in any of the maps, else 0."""
    holes = [overlay.missing(values) for values in explanation.maps]
    return np.where(np.logical_or.reduce(holes), np.nan, 0).astype(np.float32)


def _layout(explanation: Explanation, numbered: Sequence[Mark], notes: Sequence[str], options: PrintOptions) -> _Layout:
    """The legend is under the picture, or beside one that is tall."""
    aspect = explanation.image.height / explanation.image.width
    entries = [
        Entry(mark, name_of(one), f" {score_of(one)}", note)
        for mark, one, note in zip(numbered, explanation.detections, notes, strict=True)
    ]
    tallest = min(options.tallest_mm, max(_TALLEST * options.tallest_mm, _NARROW_MM * aspect))
    below = _below(entries, aspect, tallest, options)
    beside = _beside(entries, aspect, tallest, options)
    is_tall = options.width_mm * aspect > tallest
    return beside if is_tall and _across(beside) >= _WORTH_IT * _across(below) else below


def _below(entries: Sequence[Entry], aspect: float, tallest: float, options: PrintOptions) -> _Layout:
    width = options.width_mm
    across = min(width, tallest / aspect)
    left = (width - across) / 2
    picture = snapped((left, 0, left + across, across * aspect), options)
    key = legend(entries, width, options)
    at = (max(0.0, min(picture[0], width - key.width_mm)), picture[3] + _ABOVE_LEGEND_MM)
    return _Layout(picture, key, at, (width, at[1] + key.height_mm))


def _beside(entries: Sequence[Entry], aspect: float, tallest: float, options: PrintOptions) -> _Layout:
    """Both in the middle of the sheet; the legend is one column."""
    width = options.width_mm
    key = legend(entries, width / 2, options, most_columns=1)
    across = min(tallest / aspect, max(1.0, width - _BESIDE_LEGEND_MM - key.width_mm))
    left = (width - across - _BESIDE_LEGEND_MM - key.width_mm) / 2
    picture = snapped((left, 0, left + across, across * aspect), options)
    return _Layout(picture, key, (picture[2] + _BESIDE_LEGEND_MM, 0), (width, max(picture[3], key.height_mm)))


def _across(plan: _Layout) -> float:
    return plan.picture[2] - plan.picture[0]


def _put_boxes(
    axes: Axes, explanation: Explanation, numbered: Sequence[Mark], picture: Box, options: PrintOptions
) -> None:
    """Large boxes first, so that small ones lie on them; then all numbers, none on another."""
    boxes = [box_on_paper(one, picture, explanation.image) for one in explanation.detections]
    seen = [(mark, box) for mark, box in zip(numbered, boxes, strict=True) if box is not None]
    seen.sort(key=lambda one: -_area(one[1]))
    for mark, box in seen:
        put_outline(axes, box, mark.hex, _LINE_PT, dashes=mark.dashes)
    taken: list[Box] = []
    for mark, box in reversed(seen):
        taken.append(_tag_place(box, tag_mm(mark.number, options.font_pt), picture, taken))
        put_tag(axes, mark, taken[-1], options.font_pt)


def _tag_place(box: Box, size: tuple[float, float], picture: Box, taken: Sequence[Box]) -> Box:
    """A corner of the box that is free, above it first; the least taken one where none is."""
    (left, top, right, bottom), (width, height) = box, size
    corners = [
        *((x, y) for y in (top - height, top, bottom, bottom - height) for x in (left, right - width)),
        *((x, y) for x in (left - width, right) for y in (top, bottom - height)),
    ]
    places = [_inside((x, y, x + width, y + height), picture) for x, y in corners]
    return min(places, key=lambda place: sum(_overlap(place, other) for other in taken))


def _inside(place: Box, picture: Box) -> Box:
    """The place, moved into the picture."""
    across = max(picture[0] - place[0], 0) + min(picture[2] - place[2], 0)
    down = max(picture[1] - place[1], 0) + min(picture[3] - place[3], 0)
    return place[0] + across, place[1] + down, place[2] + across, place[3] + down


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
