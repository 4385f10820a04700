"""Sampled attention on the picture: a dot for each point, as large as its weight, in its level's colour."""

import math

from PIL import Image

from detr_attnviz.drawing.annotate import WHITE, Color, line_px
from detr_attnviz.drawing.captions import amount
from detr_attnviz.drawing.colormap import color_at
from detr_attnviz.drawing.contour import draw_lines
from detr_attnviz.drawing.dots import Dot, draw_dots
from detr_attnviz.drawing.legend import DotKey, Legend
from detr_attnviz.drawing.options import DrawingOptions
from detr_attnviz.drawing.samples import levels_of, points_per_map, samples_of, seen_samples
from detr_attnviz.errors import ChoiceError
from detr_attnviz.explanation import Explanation

# Far apart for any colour vision (tests/drawing/test_points.py) and light enough for their dark rim; finest first.
_LEVEL_COLORS: tuple[Color, ...] = ((63, 228, 242), (247, 226, 43), (242, 48, 84), (190, 70, 242), (200, 255, 176))
_ANY_NUMBER_OF_COLORS = "turbo"
_LOWEST_LEVEL, _HIGHEST_LEVEL = 24, 240
# The heaviest dot's radius, as shares of the root of the picture's area: at most this, and of many points this by the
# cube root of their number.
_LARGEST = 0.026
_OF_MANY = 0.09
_GREYED, _DIMMED = 0.5, 0.2
_GREY: Color = (150, 150, 150)
_SIZES = (1.0, 1 / 4, 1 / 16)


def muted(image: Image.Image) -> Image.Image:
    """The picture with half its colour and a little darker: colours then are the dots'."""
    grey = Image.blend(image, image.convert("L").convert("RGB"), _GREYED)
    return Image.blend(grey, Image.new("RGB", image.size), _DIMMED)


def draw_points(
    image: Image.Image, explanation: Explanation, index: int, ceiling: float, options: DrawingOptions
) -> None:
    """Map ``index``'s points on ``image``, in place: area by weight, the largest dot weighs ``ceiling``.

    Light dots lie on heavy ones, so that none is hidden. Points outside the picture are not drawn.
    """
    scale = (image.width / explanation.image.width, image.height / explanation.image.height)
    colors = level_colors(options, len(samples_of(explanation).strides_px))
    side = math.sqrt(image.width * image.height)
    largest = side * largest_radius(points_per_map(explanation))
    draw_dots(
        image,
        (
            Dot(one.x * scale[0], one.y * scale[1], largest * math.sqrt(one.weight / ceiling), colors[one.level])
            for one in seen_samples(explanation, index)
        ),
        rim_px=max(1.0, side / 400),
    )


def draw_reference(image: Image.Image, explanation: Explanation, index: int) -> None:
    """A small slanting cross where map ``index``'s offsets start from, light with a dark halo."""
    x, y = samples_of(explanation).references[index].tolist()
    if not (math.isfinite(x) and math.isfinite(y)):
        return
    line = line_px(image.size)
    arm = 3 * line
    x, y = x * image.width / explanation.image.width, y * image.height / explanation.image.height
    draw_lines(image, [[(x - arm, y - turn * arm), (x + arm, y + turn * arm)] for turn in (1, -1)], WHITE, 1.2 * line)


def points_legend(explanation: Explanation, options: DrawingOptions, top: float) -> Legend:
    """Which colour is which level, and which area which weight; ``top`` is the heaviest of all maps' points."""
    samples = samples_of(explanation)
    colors = level_colors(options, len(samples.strides_px))
    levels = [
        DotKey(colors[level], None, f"level {level} · stride {samples.strides_px[level]:.3g}")
        for level in levels_of(explanation)
    ]
    largest = largest_radius(points_per_map(explanation))
    is_in_numbers = options.scale == "shared" or len(explanation) == 1
    in_numbers = [amount(explanation, top * share) for share in _SIZES]
    names = in_numbers if is_in_numbers else ["the panel's heaviest point", "1/4", "1/16"]
    sizes = [DotKey(_GREY, largest * math.sqrt(share), name) for share, name in zip(_SIZES, names, strict=True)]
    what = "of its attention" if is_in_numbers else "of it"
    return Legend(words=f"{what} · × reference point", dots=(tuple(levels), tuple(sizes)))


def level_colors(options: DrawingOptions, count: int) -> list[Color]:
    """One colour a level, the finest first: of the chosen colour map, or far apart."""
    if options.cmap is None and count <= len(_LEVEL_COLORS):
        return list(_LEVEL_COLORS[:count])
    step = (_HIGHEST_LEVEL - _LOWEST_LEVEL) / max(1, count - 1)
    name = options.cmap or _ANY_NUMBER_OF_COLORS
    return [color_at(name, round(_LOWEST_LEVEL + step * level)) for level in range(count)]


def largest_radius(count: int) -> float:
    """The heaviest dot's radius as a share of the root of the picture's area: the smaller the more points there are."""
    return min(_LARGEST, _OF_MANY / math.cbrt(max(1, count)))


def check_has_samples(explanation: Explanation) -> None:
    """Raises: ChoiceError when the maps did not come from samples: then there are no places to draw."""
    if explanation.samples is not None:
        return
    found = {
        "method": explanation.method if explanation.method != "raw" else "",
        "head": explanation.head if explanation.head == "max" else "",
        "direction": explanation.direction if explanation.direction == "to" else "",
    }
    asked = " ".join(f"{name} {value}" for name, value in found.items() if value)
    raise ChoiceError(
        f"style points has no samples to draw for {explanation.site}{f' by {asked}' if asked else ''}: it shows where "
        "sampled (deformable) attention reads, as in the cross-attention of Deformable DETR or RT-DETR, by method raw, "
        "direction from and any head but max; choose overlay, heatmap, pair or contour"
    )
