"""Decoder self-attention on the picture: a query's box, and the boxes of the queries that it listens to."""

from PIL import Image

from detr_attnviz.drawing.annotate import WHITE, draw_box, draw_label, line_px, scaled
from detr_attnviz.drawing.captions import amount, name_of, strongest
from detr_attnviz.drawing.colormap import color_at
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.text import Rect
from detr_attnviz.explanation import Explanation

_LABELLED = 4
_SMALLEST_LABELLED_PX = 140
_FAINTEST = 0.2
_DIMMED = 0.35


def draw_listening(
    explanation: Explanation, index: int, image: Image.Image, ceiling: float, options: DrawingOptions
) -> Image.Image:
    """Query ``index`` in white; the others in the colour of their weight, the thicker and fuller the more it is.

    Width and opacity are relative to the strongest of the others, for most attention often goes to the query
    itself; below a fifth of that a box is left out. The strongest four are labelled with their weights, where there is
    room for letters.
    """
    values, me = explanation.maps[index], explanation.detections[index]
    everyone = explanation.everyone
    scale = (image.width / explanation.image.width, image.height / explanation.image.height)
    others = [token for token in strongest(values, len(values)) if everyone[token].index != me.index]
    drawn = Image.blend(image, Image.new("RGB", image.size), _DIMMED * min(1.0, options.alpha / 0.8))
    line = line_px(image.size)
    for token in reversed(others):
        share = float(values[token] / values[others[0]])
        if share >= _FAINTEST:
            color = color_at(options.cmap, 110 + round(130 * min(1.0, float(values[token]) / ceiling)))
            width = max(1, round(line * (0.6 + 1.4 * share)))
            draw_box(drawn, scaled(everyone[token].box, scale), color, width, 0.25 + 0.75 * share)
    own = scaled(me.box, scale)
    draw_box(drawn, own, WHITE, round(line * 1.8))
    itself = [amount(explanation, float(values[token])) for token, one in enumerate(everyone) if one.index == me.index]
    labels = [(name_of(me), own, f" → itself {itself[0]}" if itself else "")]
    for token in others[:_LABELLED]:
        weight = amount(explanation, float(values[token]))
        labels.append((name_of(everyone[token]), scaled(everyone[token].box, scale), f" {weight}"))
    if min(image.size) < _SMALLEST_LABELLED_PX:
        return drawn
    taken: list[Rect] = []
    for name, box, tail in labels:
        place = draw_label(drawn, name, box, taken, tail)
        taken += [place] if place is not None else []
    return drawn
