"""Marks on a picture: boxes, points and labels that stay readable on anything and inside the picture.

Every mark is light with a dark halo, or stands on a dark plate, so that no background hides it; sizes follow the
picture's. All functions draw in place on an RGB picture, and take places in its pixels.
"""

import math
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw

from detr_attnviz.drawing.text import Rect, clean, font, line_height, width_of

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
_DARK: Color = (20, 20, 20)
_PLATE_OPACITY = 0.72


def line_px(size: tuple[int, int]) -> int:
    """Width of a thin line on a picture of this size."""
    return max(1, round(math.sqrt(size[0] * size[1]) / 280))


def text_px(size: tuple[int, int]) -> int:
    """Height of letters on a picture of this size."""
    return max(11, round(math.sqrt(size[0] * size[1]) / 38))


def draw_box(
    image: Image.Image, box: Rect, color: Color = WHITE, width: int | None = None, opacity: float = 1.0
) -> None:
    """An outline; where it leaves the picture it runs along the picture's edge, so that it is always seen whole."""
    place = visible_box(box, image.size)
    if place is None:
        return
    width = line_px(image.size) if width is None else width
    halo = max(1, round(width / 3)) if min(image.size) >= 64 else 0
    if halo:
        _frame(image, place, _DARK, halo, 0.75 * opacity)
        _frame(image, _inset(place, halo + width), _DARK, halo, 0.75 * opacity)
    _frame(image, _inset(place, halo), color, width, opacity)


def draw_point(image: Image.Image, point: tuple[float, float], color: Color = WHITE) -> None:
    """A cross-hair with a gap in its middle, so that the place itself stays visible."""
    line = line_px(image.size)
    reach, gap = 9 * line, 3 * line
    x, y = point
    pen = ImageDraw.Draw(image)
    for thickness, extra, ink in ((line + 2 * max(1, line // 2), max(1, line // 2), _DARK), (line, 0, color)):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start = (x + dx * (gap - extra), y + dy * (gap - extra))
            end = (x + dx * (reach + extra), y + dy * (reach + extra))
            pen.line([start, end], fill=ink, width=thickness)


def draw_label(image: Image.Image, text: str, box: Rect, taken: Sequence[Rect], color: Color = WHITE) -> Rect | None:
    """A short label with an edge in its box's colour, whole, at a corner of ``box`` and off the places ``taken``.

    Returns the place that it took, or None where no corner has room for it: nothing is drawn then.
    """
    face = font(text_px(image.size))
    pad = max(2, round(face.size * 0.28))
    words = clean(text)
    size = (math.ceil(width_of(words, face)) + 3 * pad, line_height(face) + pad // 2)
    place = next(
        (place for place in _corners(box, size, image.size) if not any(_overlap(place, o) for o in taken)), None
    )
    if place is None:
        return None
    _fill(image, place, _DARK, _PLATE_OPACITY)
    _fill(image, (place[0], place[1], place[0] + pad, place[3]), color, 1)
    ascent, descent = face.getmetrics()
    baseline = place[1] + (size[1] + ascent - descent) / 2
    ImageDraw.Draw(image).text((place[0] + 2 * pad, round(baseline)), words, WHITE, face, anchor="ls")
    return place


def visible_box(box: Rect, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The box in whole pixels, cut at the picture's edges; None where no part of it is a place in the picture."""
    if not all(map(math.isfinite, box)):
        return None
    left, right = sorted((box[0], box[2]))
    top, bottom = sorted((box[1], box[3]))
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        return None
    left, top = max(0, round(left)), max(0, round(top))
    right, bottom = min(size[0], round(right)), min(size[1], round(bottom))
    left, top = min(left, size[0] - 1), min(top, size[1] - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def scaled(box: Iterable[float], scale: tuple[float, float]) -> Rect:
    """A box in original pixels at the scale (x, y) of the picture that it is drawn on."""
    left, top, right, bottom = box
    return left * scale[0], top * scale[1], right * scale[0], bottom * scale[1]


def _frame(image: Image.Image, place: tuple[int, int, int, int], color: Color, width: int, opacity: float) -> None:
    left, top, right, bottom = place
    if right <= left or bottom <= top:
        return
    if right - left <= 2 * width or bottom - top <= 2 * width:
        _fill(image, place, color, opacity)
        return
    for side in (
        (left, top, right, top + width),
        (left, bottom - width, right, bottom),
        (left, top + width, left + width, bottom - width),
        (right - width, top + width, right, bottom - width),
    ):
        _fill(image, side, color, opacity)


def _fill(image: Image.Image, place: Rect, color: Color, opacity: float) -> None:
    whole = (round(place[0]), round(place[1]), round(place[2]), round(place[3]))
    if opacity >= 1:
        image.paste(color, whole)
    else:
        under = image.crop(whole)
        image.paste(Image.blend(under, Image.new("RGB", under.size, color), opacity), whole)


def _inset(place: tuple[int, int, int, int], by: int) -> tuple[int, int, int, int]:
    return place[0] + by, place[1] + by, place[2] - by, place[3] - by


def _corners(box: Rect, size: tuple[int, int], picture: tuple[int, int]) -> list[Rect]:
    """Places of this size at the visible box's corners, outside before inside, that lie within the picture."""
    seen = visible_box(box, picture)
    if seen is None:
        return []
    left, top, right, bottom = seen
    width, height = size
    corners = [
        *((x, y) for y in (top - height, bottom) for x in (left, right - width)),
        *((x, y) for x in (right, left - width) for y in (top, bottom - height)),
        *((x, y) for y in (top, bottom - height) for x in (left, right - width)),
    ]
    return [
        (x, y, x + width, y + height)
        for x, y in corners
        if x >= 0 and y >= 0 and x + width <= picture[0] and y + height <= picture[1]
    ]


def _overlap(one: Rect, other: Rect) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
