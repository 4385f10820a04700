"""How a picture is drawn: every choice in one frozen dataclass, checked when it is made."""

import dataclasses
import math
from typing import Any, Literal, get_args

from detr_attnviz.drawing.colormap import DEFAULT, SIGNED_DEFAULT, table
from detr_attnviz.drawing.overlay import Smooth
from detr_attnviz.errors import ChoiceError

Style = Literal["overlay", "heatmap", "pair", "contour", "points"]
Scale = Literal["each", "shared"]
ContoursOf = Literal["mass", "peak"]


@dataclasses.dataclass(frozen=True, slots=True)
class DrawingOptions:
    """Every choice of a drawing.

    - ``style``: "overlay" (map over the picture), "heatmap" (map alone), "pair" (map above the boxed picture, or left
      of a tall one), "contour" (lines of equal attention over the picture) or "points" (of sampled attention: a dot
      where each sample was taken, its area the weight, its colour the level).
    - ``cmap``: a colour map by its name in matplotlib; None is inferno, coolwarm for maps with values below zero, and
      for points five colours that are far apart.
    - ``alpha``: opacity of the map at its peak, 0–1; with ``fade`` it falls to 0 with attention, else it is constant.
    - ``scale``: every map has its own range ("each"; the terms of one query share theirs), or all have the one of
      the highest ("shared").
    - ``smooth``: "bicubic", "bilinear", or "nearest" to see the cells as they are (not with style "contour"). Points
      have none.
    - ``box``: whether the query's box or the point is drawn.
    - ``contours``: shares, 0–1, of the map's "mass" inside a line, or of its "peak" on it (``contours_of``).
    - ``columns``: panels beside each other; None chooses them for a well-shaped sheet. A query's terms are one row.
    - ``panel_px``: longest side of one panel's picture; None chooses it for the number of panels.
    - ``sheet_px``: longest side of a sheet; panels shrink to keep it.

    Raises: ChoiceError that lists every choice that does not exist, with those that do.
    """

    style: Style = "overlay"
    cmap: str | None = None
    alpha: float = 0.8
    fade: bool = True
    scale: Scale = "each"
    smooth: Smooth = "bicubic"
    box: bool = True
    contours: tuple[float, ...] = (0.25, 0.5, 0.75)
    contours_of: ContoursOf = "mass"
    columns: int | None = None
    panel_px: int | None = None
    sheet_px: int = 4000

    def __post_init__(self) -> None:
        faults = [
            *_fault_of_name("style", self.style, Style),
            *_fault_of_name("scale", self.scale, Scale),
            *_fault_of_name("smooth", self.smooth, Smooth),
            *_fault_of_name("contours_of", self.contours_of, ContoursOf),
            *_fault_of_contours(self.style, self.smooth),
            *_fault_of_cmap(self.cmap),
            *_fault_of_range("alpha", self.alpha, 0, 1),
            *(fault for share in self.contours for fault in _fault_of_range("contours", share, 0, 1)),
            *_fault_of_range("columns", self.columns, 1, math.inf),
            *_fault_of_range("panel_px", self.panel_px, 16, math.inf),
            *_fault_of_range("sheet_px", self.sheet_px, 256, math.inf),
        ]
        if faults:
            raise ChoiceError("; ".join(faults))

    def colors(self, is_signed: bool = False) -> str:
        """The colour map's name for maps with or without values below zero."""
        return self.cmap or (SIGNED_DEFAULT if is_signed else DEFAULT)


def chosen(options: DrawingOptions | None, changes: dict[str, Any]) -> DrawingOptions:
    """``options`` (or the defaults) with ``changes`` put in."""
    return dataclasses.replace(options or DrawingOptions(), **changes)


def _fault_of_name(option: str, value: str, names: Any) -> list[str]:
    valid = get_args(names)
    return [] if value in valid else [f"{option} {value!r} does not exist: choose one of {', '.join(valid)}"]


def _fault_of_contours(style: str, smooth: str) -> list[str]:
    if style != "contour" or smooth != "nearest":
        return []
    return ["style contour needs smooth bicubic or bilinear: with nearest its lines would only trace cells' borders"]


def _fault_of_cmap(name: str | None) -> list[str]:
    try:
        table(DEFAULT if name is None else name)
    except ChoiceError as error:
        return [str(error)]
    return []


def _fault_of_range(option: str, value: float | None, low: float, high: float) -> list[str]:
    if value is None or low <= value <= high:
        return []
    wanted = f"between {low:g} and {high:g}" if math.isfinite(high) else f"{low:g} or more"
    return [f"{option} is {value:g} but must be {wanted}"]
