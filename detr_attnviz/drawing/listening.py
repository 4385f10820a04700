"""Decoder self-attention on the picture: a query's box, and the boxes of the others that it attends to most."""

from PIL import Image

from detr_attnviz.drawing.annotate import WHITE, draw_box, draw_label, line_px, scaled
from detr_attnviz.drawing.captions import amount, others, strongest
from detr_attnviz.drawing.colormap import color_at
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.text import Rect
from detr_attnviz.explanation import Explanation

_SMALLEST_LABELLED_PX = 140
_DIMMED = 0.2
# The colour maps' dark ends would not be seen on the picture.
_LOWEST_LEVEL, _HIGHEST_LEVEL = 110, 240


def draw_listening(
    explanation: Explanation, index: int, image: Image.Image, ceiling: float, options: DrawingOptions
) -> Image.Image:
    """Query ``index`` in white; the strongest others in the colour of their weight, the thicker the more it is.

    ``ceiling`` is the weight of the highest colour, widths are relative to the strongest of the others: the query's
    own weight counts for neither. Labels say number and weight; one that finds no free corner is left out.
    """
    values, me = explanation.maps[index], explanation.detections[index]
    everyone = explanation.everyone
    scale = (image.width / explanation.image.width, image.height / explanation.image.height)
    chosen = strongest(others(explanation, index))
    drawn = Image.blend(image, Image.new("RGB", image.size), _DIMMED * min(1.0, options.alpha / 0.8))
    line = line_px(image.size)
    colors = {token: box_color(options, float(values[token]) / ceiling) for token in chosen}
    for token in reversed(chosen):
        share = float(values[token] / values[chosen[0]])
        draw_box(drawn, scaled(everyone[token].box, scale), colors[token], max(1, round(line * (0.5 + 1.5 * share))))
    draw_box(drawn, scaled(me.box, scale), WHITE, round(line * 1.8))
    if min(image.size) < _SMALLEST_LABELLED_PX:
        return drawn
    own = [token for token, one in enumerate(everyone) if one.index == me.index]
    taken: list[Rect] = []
    for token in (*own[:1], *chosen):
        words = f"{everyone[token].index} · {amount(explanation, float(values[token]))}"
        box = scaled(everyone[token].box, scale)
        place = draw_label(drawn, words, box, taken, colors.get(token, WHITE))
        taken += [place] if place is not None else []
    return drawn


def box_color(options: DrawingOptions, share: float) -> tuple[int, int, int]:
    """The colour of a box whose weight is this share of the highest."""
    level = _LOWEST_LEVEL + round((_HIGHEST_LEVEL - _LOWEST_LEVEL) * min(1.0, max(0.0, share)))
    return color_at(options.colors(), level)
