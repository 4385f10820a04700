"""Decoder self-attention as a matrix: the chosen queries down, all queries across, each cell a weight."""

import math

import numpy as np
from PIL import Image, ImageDraw

from detr_attnviz.drawing import mosaic, overlay
from detr_attnviz.drawing.captions import Caption, amount, is_attention, name_of, score_of, strongest, unit
from detr_attnviz.drawing.headings import heading
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.text import font, line_height, shorten, width_of
from detr_attnviz.explanation import Explanation
from detr_attnviz.grid import Grid

_WIDTH_PX = 1400
_CELL_PX = (5, 44)
_TEXT_PX = 14
_TICK_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_LONGEST_NAME = 20 * _TEXT_PX
_INK = (40, 40, 44)
_PAPER = (255, 255, 255)


def draw_matrix(explanation: Explanation, options: DrawingOptions) -> Image.Image:
    """The sheet of a "decoder-self" explanation in style "heatmap"; cells without a number are hatched."""
    tops = [overlay.peak(values) for values in explanation.maps]
    shared = options.scale == "shared" or len(explanation) == 1
    picture = _framed(explanation, options, [max(tops)] * len(tops) if shared else tops)
    legend = (
        mosaic.Legend("0", amount(explanation, max(tops)), unit(explanation))
        if shared
        else mosaic.Legend("0", "peak", "of each row, given at its right")
    )
    verb = "attend to" if is_attention(explanation) else "take from"
    words = Caption(f"rows: chosen queries · columns: the queries that they {verb}", notes=_remarks(explanation))
    longest = max(picture.size)
    layout = mosaic.plan(
        [words], heading(explanation), legend, lambda _: picture.size, longest, 10 * longest, 1, _TEXT_PX
    )
    return mosaic.paint(layout, [picture], lambda size: overlay.heatmap(overlay.ramp(size), options.colors()))


def _framed(explanation: Explanation, options: DrawingOptions, tops: list[float]) -> Image.Image:
    """The matrix between its names on the left, its rows' peaks on the right and its ticks below."""
    face = font(_TEXT_PX)
    pad = _TEXT_PX // 2
    names = [
        shorten(f"{one.index} {name_of(one)}", face, _LONGEST_NAME, f" {score_of(one)}")
        for one in explanation.detections
    ]
    peaks = [_peak(explanation, index) for index in range(len(explanation))]
    left = math.ceil(max(width_of(name, face) for name in names)) + pad
    right = math.ceil(max(width_of(peak, face) for peak in peaks)) + pad
    cells = _cells(explanation, options, tops)
    row_px = cells.height // len(explanation)
    framed = Image.new("RGB", (left + cells.width + right, cells.height + pad + line_height(face)), _PAPER)
    framed.paste(cells, (left, 0))
    pen = ImageDraw.Draw(framed)
    for row, (name, peak) in enumerate(zip(names, peaks, strict=True)):
        middle = row * row_px + row_px / 2
        pen.text((left - pad, middle), name, _INK, face, anchor="rm")
        pen.text((left + cells.width + pad, middle), peak, _INK, face, anchor="lm")
    _draw_ticks(pen, explanation, (left, cells.height), cells.width / len(explanation.everyone), pad)
    return framed


def _cells(explanation: Explanation, options: DrawingOptions, tops: list[float]) -> Image.Image:
    rows, cols = explanation.maps.shape
    col_px = min(max(_WIDTH_PX // cols, _CELL_PX[0]), _CELL_PX[1])
    size = (cols * col_px, rows * max(col_px, line_height(font(_TEXT_PX))))
    grid = Grid(rows, cols, 1, rows, cols, rows, cols)
    scaled = explanation.maps / np.array([[top if top > 0 else 1.0] for top in tops], dtype=np.float32)
    levels = overlay.levels(scaled, grid, size, 1.0, "nearest")
    return overlay.hatch_missing(overlay.heatmap(levels, options.colors()), scaled, grid).convert("RGB")


def _draw_ticks(
    pen: ImageDraw.ImageDraw, explanation: Explanation, corner: tuple[int, int], col_px: float, pad: int
) -> None:
    face = font(_TEXT_PX)
    widest = width_of(str(max(one.index for one in explanation.everyone)), face) + _TEXT_PX
    step = next((step for step in _TICK_STEPS if step * col_px >= widest), _TICK_STEPS[-1])
    ascent = face.getmetrics()[0]
    for place, one in enumerate(explanation.everyone):
        if place % step == 0:
            x = corner[0] + (place + 0.5) * col_px
            pen.line([(x, corner[1]), (x, corner[1] + pad // 2)], fill=_INK)
            pen.text((x, corner[1] + pad + ascent), str(one.index), _INK, face, anchor="ms")


def _peak(explanation: Explanation, index: int) -> str:
    values = explanation.maps[index]
    first = strongest(values, 1)
    if not first:
        return "zero" if np.isfinite(values).all() else "no number"
    return f"{amount(explanation, float(values[first[0]]))} to {explanation.everyone[first[0]].index}"


def _remarks(explanation: Explanation) -> tuple[str, ...]:
    holes = int((~np.isfinite(explanation.maps)).sum())
    return (f"{holes} hatched {'cell holds' if holes == 1 else 'cells hold'} no number (NaN)",) if holes else ()
