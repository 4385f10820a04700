"""One map as a picture, without anything around it: what a sheet's panels and an export's files hold."""

from typing import Any

from PIL import Image

from detr_attnviz.drawing import annotate, overlay, points
from detr_attnviz.drawing.captions import has_sign, maps_per_query, others
from detr_attnviz.drawing.colormap import color_at
from detr_attnviz.drawing.contour import contours, draw_lines
from detr_attnviz.drawing.listening import box_color, draw_listening
from detr_attnviz.drawing.options import DrawingOptions, chosen
from detr_attnviz.drawing.provenance import text_of
from detr_attnviz.drawing.samples import heaviest
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation


def draw_one(
    explanation: Explanation, index: int, options: DrawingOptions | None = None, **changes: Any
) -> Image.Image:
    """Map ``index`` in the chosen style at the original picture's size ("pair": two such), nothing around it.

    Raises: ChoiceError when there is no such map, or no such drawing of it.
    """
    options = chosen(options, changes)
    _check(explanation, index)
    if options.style == "heatmap":
        return heatmap_one(explanation, index, options)
    top = ceilings(explanation, options)[index]
    drawn = panel_picture(explanation, index, options, _rgb(explanation.image), top)
    return _with_provenance(drawn, explanation, index)


def heatmap_one(
    explanation: Explanation, index: int, options: DrawingOptions | None = None, **changes: Any
) -> Image.Image:
    """Map ``index`` alone at the original picture's size: a palette picture, unless cells without a number are hatched.

    Raises: ChoiceError when there is no such map, and for "decoder-self", whose maps lie over queries.
    """
    options = chosen(options, changes)
    _check(explanation, index)
    _check_has_cells(explanation)
    drawn = _heatmap(explanation, index, options, explanation.image.size, ceilings(explanation, options)[index])
    return _with_provenance(drawn, explanation, index)


def panel_picture(
    explanation: Explanation, index: int, options: DrawingOptions, image: Image.Image, ceiling: float
) -> Image.Image:
    """Map ``index`` drawn on ``image``: the explanation's picture in RGB at the size wanted."""
    if explanation.kind == "decoder-self":
        _check_is_overlay(options)
        return draw_listening(explanation, index, image, ceiling, options)
    if options.style == "points":
        return _points(explanation, index, options, image, ceiling)
    is_signed = has_sign(explanation)
    if options.style == "heatmap":
        return _marked_heatmap(explanation, index, options, image.size, ceiling)
    if options.style == "pair":
        return _pair(explanation, index, options, image, ceiling)
    if options.style == "contour":
        _check_has_no_sign(is_signed)
        drawn = _contours(explanation, index, options, image)
    else:
        levels = _levels(explanation, index, options, image.size, ceiling)
        drawn = overlay.overlay(
            image, levels, options.colors(is_signed), options.alpha, options.fade, is_signed=is_signed
        )
        drawn = overlay.hatch_missing(drawn, explanation.maps[index], explanation.grid)
    if options.box:
        _mark(drawn, explanation, index)
    return drawn


def ceilings(explanation: Explanation, options: DrawingOptions) -> list[float]:
    """The value at the top of each map's colours: its own peak, that of its query's terms, or the highest of all.

    For maps with values below zero it is the largest distance from 0, and its negative is at the bottom. For
    "decoder-self" it is the peak of the others: a query's own weight would leave them no colours. For style "points"
    it is the weight of the heaviest.
    """
    peaks = [_top(explanation, index, options) for index in range(len(explanation))]
    together = len(peaks) if options.scale == "shared" else maps_per_query(explanation)
    groups = [peaks[start : start + together] for start in range(0, len(peaks), together or 1)]
    return [max(group) for group in groups for _ in group]


def color_bar(explanation: Explanation, options: DrawingOptions, size: tuple[int, int]) -> Image.Image:
    """The colours as they are in the pictures, from 0 (or the lowest value) at the left to the peak at the right."""
    if explanation.kind == "decoder-self":
        steps = [box_color(options, place / max(1, size[0] - 1)) for place in range(size[0])]
        line = Image.new("RGB", (size[0], 1))
        line.putdata(steps)
        return line.resize(size, Image.Resampling.NEAREST)
    is_signed = has_sign(explanation)
    colors = options.colors(is_signed)
    if options.style == "overlay":
        return overlay.bar(size, colors, options.alpha, options.fade, is_signed)
    return overlay.heatmap(overlay.ramp(size, is_signed), colors).convert("RGB")


def contour_colors(options: DrawingOptions) -> list[tuple[int, int, int]]:
    """One colour a line, the brightest for the innermost."""
    count = len(options.contours)
    places = [round(235 - 125 * number / max(1, count - 1)) for number in range(count)]
    colors = [color_at(options.colors(), place) for place in places]
    return colors if options.contours_of == "mass" else colors[::-1]


def size_of_panel(options: DrawingOptions, size: tuple[int, int]) -> tuple[int, int]:
    """The size of one panel on pictures of ``size``."""
    if options.style != "pair":
        return size
    step = _step_of_pair(size)
    return size[0] + step[0], size[1] + step[1]


def _with_provenance(picture: Image.Image, explanation: Explanation, index: int) -> Image.Image:
    """The same picture; what its ``info`` had of the photograph's file belongs to that one."""
    picture.info = {name: words for name, words in text_of(explanation, index).items()}
    return picture


def _top(explanation: Explanation, index: int, options: DrawingOptions) -> float:
    if explanation.kind == "decoder-self":
        return overlay.peak(others(explanation, index))
    if options.style == "points":
        points.check_has_samples(explanation)
        return heaviest(explanation, index)
    return overlay.peak(explanation.maps[index], has_sign(explanation))


def _heatmap(
    explanation: Explanation, index: int, options: DrawingOptions, size: tuple[int, int], ceiling: float
) -> Image.Image:
    colored = overlay.heatmap(
        _levels(explanation, index, options, size, ceiling), options.colors(has_sign(explanation))
    )
    return overlay.hatch_missing(colored, explanation.maps[index], explanation.grid)


def _levels(
    explanation: Explanation, index: int, options: DrawingOptions, size: tuple[int, int], ceiling: float
) -> Image.Image:
    levels_of = overlay.signed_levels if has_sign(explanation) else overlay.levels
    return levels_of(explanation.maps[index], explanation.grid, size, ceiling, options.smooth)


def _marked_heatmap(
    explanation: Explanation, index: int, options: DrawingOptions, size: tuple[int, int], ceiling: float
) -> Image.Image:
    drawn = _heatmap(explanation, index, options, size, ceiling).convert("RGB")
    if options.box:
        _mark(drawn, explanation, index, thin=True)
    return drawn


def _pair(
    explanation: Explanation, index: int, options: DrawingOptions, image: Image.Image, ceiling: float
) -> Image.Image:
    boxed = image.copy()
    if options.box:
        _mark(boxed, explanation, index)
    step = _step_of_pair(image.size)
    both = Image.new("RGB", size_of_panel(options, image.size), annotate.WHITE)
    both.paste(_marked_heatmap(explanation, index, options, image.size, ceiling))
    both.paste(boxed, step)
    return both


def _step_of_pair(size: tuple[int, int]) -> tuple[int, int]:
    """Where the second picture of a pair starts: below a wide one, right of a tall one, a little apart."""
    gap = max(2, round(min(size) * 0.02))
    return (0, size[1] + gap) if size[0] >= size[1] else (size[0] + gap, 0)


def _contours(explanation: Explanation, index: int, options: DrawingOptions, image: Image.Image) -> Image.Image:
    values = explanation.maps[index]
    drawn = overlay.hatch_missing(image.copy(), values, explanation.grid)
    cells = overlay.finite(values)
    if not cells.any() or cells.min() == cells.max():
        return drawn  # no line has a place on a flat map; the caption says so
    width = annotate.line_px(image.size) * 1.2
    found = contours(cells, explanation.grid, image.size, options.contours, options.contours_of, options.smooth)
    for lines, color in reversed(list(zip(found, contour_colors(options), strict=True))):
        draw_lines(drawn, lines, color, width)
    return drawn


def _points(
    explanation: Explanation, index: int, options: DrawingOptions, image: Image.Image, ceiling: float
) -> Image.Image:
    drawn = points.muted(image)
    is_box = explanation.kind == "cross"
    if options.box and is_box:
        _mark(drawn, explanation, index)
    points.draw_points(drawn, explanation, index, ceiling, options)
    if options.box and not is_box:
        _mark(drawn, explanation, index)
    points.draw_reference(drawn, explanation, index)
    return drawn


def _mark(drawn: Image.Image, explanation: Explanation, index: int, *, thin: bool = False) -> None:
    scale = _scale(explanation, drawn)
    if explanation.kind == "encoder":
        x, y = explanation.points[index]
        annotate.draw_point(drawn, (x * scale[0], y * scale[1]))
    else:
        width = max(1, annotate.line_px(drawn.size) // 2) if thin else None
        annotate.draw_box(drawn, annotate.scaled(explanation.detections[index].box, scale), width=width)


def _scale(explanation: Explanation, image: Image.Image) -> tuple[float, float]:
    return image.width / explanation.image.width, image.height / explanation.image.height


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _check(explanation: Explanation, index: int) -> None:
    if not len(explanation):
        raise ChoiceError("no query was chosen, so there is nothing to draw: lower the threshold or name queries")
    if not -len(explanation) <= index < len(explanation):
        raise ChoiceError(f"map {index} does not exist: maps are 0–{len(explanation) - 1}")


def _check_is_overlay(options: DrawingOptions) -> None:
    if options.style != "overlay":
        raise ChoiceError(
            f"style {options.style} has no form for decoder self-attention, whose maps lie over queries: "
            "choose overlay (boxes by weight), or heatmap (the matrix of all)"
        )


def _check_has_no_sign(is_signed: bool) -> None:
    if is_signed:
        raise ChoiceError(
            "style contour has no form for maps with values below zero, which hold no shares: "
            "choose overlay, heatmap or pair"
        )


def _check_has_cells(explanation: Explanation) -> None:
    if explanation.kind == "decoder-self":
        raise ChoiceError(
            "decoder self-attention lies over queries, not over the picture, so one query has no heat map: "
            "choose style overlay (boxes by weight), or heatmap of all queries on one sheet (the matrix)"
        )
