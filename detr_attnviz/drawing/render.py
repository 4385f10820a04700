"""An explanation as one composed picture: a panel per query or point, with the words that it needs."""

from typing import Any

from PIL import Image

from detr_attnviz.drawing import mosaic, panels
from detr_attnviz.drawing.captions import MINUS, amount, caption, has_sign, maps_per_query, unit
from detr_attnviz.drawing.headings import heading
from detr_attnviz.drawing.legend import Legend
from detr_attnviz.drawing.matrix import draw_matrix
from detr_attnviz.drawing.options import DrawingOptions, chosen
from detr_attnviz.drawing.points import points_legend
from detr_attnviz.drawing.provenance import text_of
from detr_attnviz.drawing.text import NO_BREAK
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation

_PANEL_PX = ((1, 960), (4, 720), (12, 560))
_MANY_PANELS_PX = 420
_SMALLEST_READABLE_PX = 480
_LONGEST_STRIP_PX = 2000
_THINNEST_PX = 64
_PIXEL_ART_PX = 64
# On a printed page a panel of a sheet with more than these across is no larger than a stamp (2 cm).
_MOST_PANELS_ACROSS = 8
_HOW_TO_CHOOSE_FEWER = {
    "cross": "--top-k N shows fewer,",
    "decoder-self": "--top-k N shows fewer,",
    "encoder": "fewer points are drawn",
}


def render(explanation: Explanation, options: DrawingOptions | None = None, **changes: Any) -> Image.Image:
    """A sheet with one panel per chosen query (or point): picture, label, score, query, box, range and colour bar.

    ``changes`` replace single options: ``render(explanation, style="pair", cmap="viridis")``.

    Its ``info`` has the provenance, which Pillow writes into a PNG only when it is told to (``pnginfo=``).

    Raises: ChoiceError when nothing was chosen to draw, or an option does not exist.
    """
    options = chosen(options, changes)
    if not len(explanation):
        raise ChoiceError("no query was chosen, so there is nothing to draw: lower the threshold or name queries")
    sheet = _sheet(explanation, options)
    sheet.info = {name: words for name, words in text_of(explanation).items()}
    return sheet


def legend(explanation: Explanation, options: DrawingOptions, top: float) -> Legend:
    """How to read the colours of these options; ``top`` is the highest value of all maps."""
    if options.style == "points" and explanation.kind != "decoder-self":
        return points_legend(explanation, options, top)
    if options.style == "contour" and explanation.kind != "decoder-self":
        what = "of the map's sum lie inside the line" if options.contours_of == "mass" else "of the map's peak"
        names = [f"{100 * share:g}{NO_BREAK}%" for share in options.contours]
        return Legend(words=what, keys=tuple(zip(panels.contour_colors(options), names, strict=True)))
    if explanation.kind == "decoder-self":
        strongest = "the panel's strongest other query" if options.scale == "each" else "the strongest other query"
        return Legend("0", strongest, "" if options.scale == "each" else f"of all panels, {amount(explanation, top)}")
    if has_sign(explanation):
        return _signed_legend(explanation, options, top)
    if options.scale == "each":
        return Legend("0", "the panel's peak")
    return Legend("0", amount(explanation, top), unit(explanation))


def _sheet(explanation: Explanation, options: DrawingOptions) -> Image.Image:
    if explanation.kind == "decoder-self" and options.style == "heatmap":
        return draw_matrix(explanation, options)
    tops = panels.ceilings(explanation, options)
    layout = _planned(explanation, options, max(tops), heading(explanation))
    is_laid_out_here = options.columns is None and options.panel_px is None
    if is_laid_out_here and max(layout.picture_size) * _MOST_PANELS_ACROSS < max(layout.size):
        words = f"{len(explanation)} maps on one sheet: {_HOW_TO_CHOOSE_FEWER[explanation.kind]} larger"
        layout = _planned(explanation, options, max(tops), (*heading(explanation), words))
    image = _resized(explanation.image, _fitted(explanation.image.size, layout.longest_px))
    pictures = [panels.panel_picture(explanation, index, options, image, top) for index, top in enumerate(tops)]
    return mosaic.paint(layout, pictures, lambda size: panels.color_bar(explanation, options, size))


def _signed_legend(explanation: Explanation, options: DrawingOptions, top: float) -> Legend:
    """A bar with 0 in its middle, with numbers at its ends where they hold for all panels."""
    together = maps_per_query(explanation)
    if options.scale == "shared" or len(explanation) == together:
        what = f"{unit(explanation)}; 0 at the mark"
        return Legend(amount(explanation, -top), amount(explanation, top), what, is_signed=True)
    whose = "each row" if together > 1 else "the panel"
    return Legend(f"{MINUS}peak", "peak", f"of {whose}, of either sign; 0 at the mark", is_signed=True)


def _planned(explanation: Explanation, options: DrawingOptions, top: float, words: tuple[str, ...]) -> mosaic.Layout:
    size = explanation.image.size
    return mosaic.plan(
        [caption(explanation, index, options.style) for index in range(len(explanation))],
        words,
        legend(explanation, options, top),
        lambda longest: panels.size_of_panel(options, _fitted(size, longest)),
        options.panel_px or _first_panel_px(size, len(explanation)),
        options.sheet_px,
        options.columns if not explanation.terms else maps_per_query(explanation),
    )


def _first_panel_px(size: tuple[int, int], count: int) -> int:
    """The picture's own longest side within what is readable and what a sheet of ``count`` panels can hold."""
    most = next((px for up_to, px in _PANEL_PX if count <= up_to), _MANY_PANELS_PX)
    longest = min(max(*size, _SMALLEST_READABLE_PX), most)
    strip = min(_THINNEST_PX * max(size) // min(size), _LONGEST_STRIP_PX)
    return max(longest, strip)


def _fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """``size`` at this longest side; pictures of few pixels grow by a whole factor, so that pixels stay square."""
    if max(size) <= _PIXEL_ART_PX:
        factor = max(1, longest // max(size))
        return size[0] * factor, size[1] * factor
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if rgb.size == size:
        return rgb
    if max(rgb.size) <= _PIXEL_ART_PX:
        return rgb.resize(size, Image.Resampling.NEAREST)
    return rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
