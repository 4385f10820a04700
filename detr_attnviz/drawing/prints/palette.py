"""Colours of objects on paper: told apart with any colour vision, dark enough for a light ground.

Found by a search over colours of CIE lightness 24–73 for the largest distances in OKLab between any two, as they are
and as people without one kind of cones see them, the first ones counting most. No twelve colours are far apart in grey,
or without cones of a kind: the first six are, and further ones differ by their numbers and by dashed outlines.
"""

from dataclasses import dataclass

from detr_attnviz.drawing.colormap import color_at

Rgb = tuple[int, int, int]
Dashes = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """What one object is known by: its number, its colour and how its lines are dashed (lengths in line widths)."""

    number: int
    color: Rgb
    dashes: Dashes = ()

    @property
    def hex(self) -> str:
        """The colour as matplotlib has it."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)

    @property
    def ink(self) -> str:
        """White or black, whichever is read better on the colour."""
        return "#ffffff" if luminance(self.color) < _MIDDLE else "#000000"


COLORS: tuple[Rgb, ...] = (
    (0, 75, 180),
    (240, 135, 0),
    (105, 30, 45),
    (45, 195, 225),
    (165, 105, 240),
    (210, 0, 0),
    (255, 15, 180),
    (0, 135, 120),
    (60, 180, 0),
    (150, 0, 150),
    (225, 135, 180),
    (135, 90, 30),
)
FAR_APART = 6
"""So many differ in lightness too, and have lines without dashes."""
_DASHES: tuple[Dashes, ...] = ((), (4, 1.6))
_LOWEST_LEVEL, _HIGHEST_LEVEL = 24, 232
"""Of a colour map; its ends may be white or black."""
_MIDDLE = 0.30  # a little above the luminance at which both have the same contrast: white looks better on colours


def marks(count: int, cmap: str | None = None) -> tuple[Mark, ...]:
    """Marks 1, 2, 3 … with colours of ``cmap``, or with ``COLORS``: more than those begin again with the first."""
    step = (_HIGHEST_LEVEL - _LOWEST_LEVEL) / max(1, count - 1)
    colors = [color_at(cmap, round(_LOWEST_LEVEL + step * index)) for index in range(count)] if cmap else COLORS
    return tuple(
        Mark(index + 1, colors[index % len(colors)], _DASHES[index % len(COLORS) >= FAR_APART])
        for index in range(count)
    )


def luminance(color: Rgb) -> float:
    """Relative luminance 0–1. Source: WCAG 2.2, "relative luminance"."""
    red, green, blue = (linear(part / 255) for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(part: float) -> float:
    """One sRGB part 0–1 as an amount of light."""
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
