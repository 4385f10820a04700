"""Marks on a sheet of paper: pictures, outlines, lines, words and number tags, all placed in millimetres.

What is put later lies above. Outlines and lines are drawn on white ones, so that they are seen on any ground.
"""

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image, ImageOps

from detr_attnviz.detections import Detection
from detr_attnviz.drawing import overlay
from detr_attnviz.drawing.prints import fonts
from detr_attnviz.drawing.prints.palette import Dashes, Mark
from detr_attnviz.drawing.prints.paper import MM_PER_INCH, PT_PER_INCH, PrintOptions, house_style
from detr_attnviz.explanation import Explanation

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in millimetres."""

INK, FAINT, FRAME = "#1a1a1a", "#666666", "#a6a6a6"
MM_PER_PT = MM_PER_INCH / PT_PER_INCH

_CAPITAL = 0.73
"""Height of a capital or digit, as a share of the letters' size."""
_GREYED, _LIFTED, _CUT_PERCENT = 0.85, 0.71, 0.5
_CASING = 0.45
_PIXEL_ART_PX = 64
_FRAME_PT = 0.25
_PALEST = 0.35
_WITHOUT_PALEST = [round(255 * (_PALEST + (1 - _PALEST) * level / 255)) for level in range(256)]


def put_words(
    axes: Axes,
    words: str,
    at: tuple[float, float],
    size_pt: float,
    *,
    color: str = INK,
    across: Literal["left", "center", "right"] = "left",
    is_bold: bool = False,
    is_upright: bool = False,
) -> None:
    """One line of words whose capitals' middle is at the height of ``at``; ``is_upright`` reads from below."""
    shift = 0.5 * _CAPITAL * size_pt * MM_PER_PT
    x, y = (at[0] + shift, at[1]) if is_upright else (at[0], at[1] + shift)
    with house_style():
        axes.text(
            x,
            y,
            fonts.printable(words),
            fontsize=size_pt,
            color=color,
            ha=across,
            va="baseline",
            rotation=90 if is_upright else 0,
            rotation_mode="anchor",
            fontweight="bold" if is_bold else "normal",
            zorder=_above(axes),
        )


def put_name(
    axes: Axes, name: str, tail: str, at: tuple[float, float], size_pt: float, most_mm: float, *, color: str = INK
) -> None:
    """A name, cut where it is too long, and behind it a tail that is not.

    Where the name runs from right to left the tail is a text of its own, which would else be drawn before it.
    """
    shown = fonts.shortened(fonts.printable(name), size_pt, most_mm, tail)
    before = shown.removesuffix(tail)
    if not tail or before == shown or not fonts.turns(before):
        put_words(axes, shown, at, size_pt, color=color)
        return
    put_words(axes, before, at, size_pt, color=color)
    room = fonts.width_mm(shown, size_pt) - fonts.width_mm(tail.strip(), size_pt)
    put_words(axes, tail.strip(), (at[0] + room, at[1]), size_pt, color=color)


def put_picture(axes: Axes, picture: Image.Image, box: Box) -> None:
    """The picture's own pixels in ``box``, in a hairline frame: a bright one would have no end on paper."""
    left, top, right, bottom = box
    with house_style():
        axes.imshow(
            np.asarray(picture.convert("RGB")),
            extent=(left, right, bottom, top),
            aspect="auto",
            interpolation="none",
            zorder=_above(axes),
        )
    put_outline(axes, box, FRAME, _FRAME_PT, has_casing=False)


def put_outline(
    axes: Axes, box: Box, color: str, line_pt: float, *, dashes: Dashes = (), has_casing: bool = True
) -> None:
    """A rectangle's outline; its line lies inside ``box``."""
    inset = line_pt * MM_PER_PT / 2
    left, top, right, bottom = box
    width, height = max(right - left - 2 * inset, 0.01), max(bottom - top - 2 * inset, 0.01)
    lines: list[tuple[str, float, Any]] = [("white", line_pt + 2 * _CASING * min(1, line_pt), "solid")]
    lines = [*(lines if has_casing else []), (color, line_pt, (0, dashes) if dashes else "solid")]
    with house_style():
        for ink, thickness, pattern in lines:
            axes.add_patch(
                Rectangle(
                    (left + inset, top + inset),
                    width,
                    height,
                    fill=False,
                    edgecolor=ink,
                    linewidth=thickness,
                    linestyle=pattern,
                    joinstyle="miter",
                    zorder=_above(axes),
                )
            )


def put_line(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    line_pt: float,
    *,
    dashes: Dashes = (),
    has_casing: bool = True,
) -> None:
    """A straight line."""
    lines: list[tuple[str, float, Any]] = [("white", line_pt + 2 * _CASING, "solid")] if has_casing else []
    xs, ys = zip(start, end, strict=True)
    with house_style():
        for ink, thickness, pattern in [*lines, (color, line_pt, (0, dashes) if dashes else "solid")]:
            axes.plot(xs, ys, color=ink, linewidth=thickness, linestyle=pattern, zorder=_above(axes))


def put_dot(axes: Axes, at: tuple[float, float], color: str, size_pt: float) -> None:
    """A round dot with a white rim."""
    with house_style():
        axes.plot(
            *([place] for place in at),
            linestyle="none",
            marker="o",
            markersize=size_pt,
            markerfacecolor=color,
            markeredgecolor="white",
            markeredgewidth=min(0.6, 0.15 * size_pt),
            zorder=_above(axes),
        )


def tag_mm(number: int, size_pt: float) -> tuple[float, float]:
    """A number tag's width and height."""
    height = 1.3 * size_pt * MM_PER_PT
    return max(height, fonts.width_mm(str(number), size_pt, is_bold=True) + 0.5 * size_pt * MM_PER_PT), height


def put_tag(axes: Axes, mark: Mark, place: Box, size_pt: float) -> None:
    """The mark's number on a plate of its colour that fills ``place``."""
    left, top, right, bottom = place
    with house_style():
        axes.add_patch(
            FancyBboxPatch(
                (left, top),
                right - left,
                bottom - top,
                boxstyle=f"round,pad=0,rounding_size={0.25 * (bottom - top):.4f}",
                facecolor=mark.hex,
                edgecolor="white",
                linewidth=0.5,
                zorder=_above(axes),
            )
        )
    middle = ((left + right) / 2, (top + bottom) / 2)
    put_words(axes, str(mark.number), middle, size_pt, color=mark.ink, across="center", is_bold=True)


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture in RGB at ``size``; one of few pixels keeps them square."""
    rgb = image.convert("RGB")
    if rgb.size == size:
        return rgb
    is_pixel_art = max(rgb.size) <= _PIXEL_ART_PX
    return rgb.resize(size, Image.Resampling.NEAREST if is_pixel_art else Image.Resampling.LANCZOS)


def ground(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at ``size``, nearly grey and so light that the darkest of it is lighter than colours of maps.

    Its contrast is stretched before: a dark picture would be one light grey.
    """
    rgb = ImageOps.autocontrast(resized(image, size), cutoff=_CUT_PERCENT, preserve_tone=True)
    grey = Image.blend(rgb, rgb.convert("L").convert("RGB"), _GREYED)
    return Image.blend(grey, Image.new("RGB", size, "white"), _LIFTED)


def map_picture(
    explanation: Explanation, index: int, under: Image.Image, options: PrintOptions, ceiling: float | None = None
) -> Image.Image:
    """Map ``index`` in colour over ``under``, its ``ceiling`` (its own peak unless given) in the strongest colour."""
    values = explanation.maps[index]
    is_signed = explanation.is_signed
    top = overlay.peak(values, is_signed) if ceiling is None else ceiling
    make = overlay.signed_levels if is_signed else overlay.levels
    leveled = make(values, explanation.grid, under.size, top, options.smooth)
    return overlay.hatch_missing(painted(under, leveled, options, is_signed), values, explanation.grid)


def painted(under: Image.Image, leveled: Image.Image, options: PrintOptions, is_signed: bool = False) -> Image.Image:
    """Levels in colour over ``under``; in the figures' own colours a higher level is darker on any ground.

    The palest third of these is left out, as on a dark place it would be lighter than no attention at all.
    """
    if is_signed or options.cmap is not None:
        return overlay.overlay(under, leveled, options.colors(is_signed), options.alpha, is_signed=is_signed)
    colored = overlay.heatmap(leveled.point(_WITHOUT_PALEST), options.colors()).convert("RGB")
    shown = under.copy()
    shown.paste(colored, mask=leveled.point(list(overlay.opacity(options.alpha, True))))
    return shown


def snapped(box: Box, options: PrintOptions) -> Box:
    """The box with its edges between pixels, so that a picture in it keeps its own."""
    step = MM_PER_INCH / options.dpi
    left, top, right, bottom = (round(edge / step) * step for edge in box)
    return left, top, max(right, left + step), max(bottom, top + step)


def pixels(box: Box, options: PrintOptions) -> tuple[int, int]:
    """How many pixels (across, down) fill a box."""
    per_mm = options.dpi / MM_PER_INCH
    return max(1, round((box[2] - box[0]) * per_mm)), max(1, round((box[3] - box[1]) * per_mm))


def on_paper(point: tuple[float, float], picture: Box, image: Image.Image) -> tuple[float, float]:
    """A place in original pixels as one on the sheet, where ``image`` fills ``picture``."""
    left, top, right, bottom = picture
    return left + point[0] / image.width * (right - left), top + point[1] / image.height * (bottom - top)


def box_on_paper(detection: Detection, picture: Box, image: Image.Image) -> Box | None:
    """A detection's box on the sheet, cut at the picture's edges; None where no part of it is in the picture."""
    left, top, right, bottom = detection.box
    if not np.isfinite(detection.box).all():
        return None
    (left, top), (right, bottom) = (
        on_paper(corner, picture, image)
        for corner in ((min(left, right), min(top, bottom)), (max(left, right), max(top, bottom)))
    )
    if right <= picture[0] or left >= picture[2] or bottom <= picture[1] or top >= picture[3]:
        return None
    return max(left, picture[0]), max(top, picture[1]), min(right, picture[2]), min(bottom, picture[3])


def _above(axes: Axes) -> float:
    """A place in the order of drawing above all that is there."""
    return float(len(axes.get_children()))
