"""Sheets of paper: widths in millimetres, sizes of letters in points, and how a sheet becomes a file.

A sheet is a matplotlib figure with one set of axes over all of it, in millimetres from its top left corner. Nothing of
the caller's own matplotlib settings has a say, and nothing of pyplot is used.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from detr_attnviz.drawing.colormap import table
from detr_attnviz.drawing.figure import metadata_of
from detr_attnviz.drawing.overlay import Smooth
from detr_attnviz.drawing.prints.fonts import FAMILY, with_embedded_fonts
from detr_attnviz.drawing.text import clean
from detr_attnviz.errors import ChoiceError

Width = Literal["column", "page"]
FileKind = Literal["png", "pdf", "svg"]

COLUMN_MM, PAGE_MM = 85.0, 175.0
TALLEST_MM = 230.0
"""What a page leaves for a figure and a few lines of caption; sheets wider than a page may be as much higher."""
MM_PER_INCH, PT_PER_INCH = 25.4, 72.0
PRINT_MAP, SIGNED_PRINT_MAP = "YlOrRd", "RdBu_r"
"""On paper high values are dark, so that a map reads in grey as well."""

SMALLEST_PT = 4.0
"""Letters do not become smaller."""

_WIDTHS = {"column": COLUMN_MM, "page": PAGE_MM}
# Text stays text, letters are TrueType outlines, and pictures keep their own pixels instead of being merged into one.
_RULES: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "attnviz",
    "pdf.fonttype": 42,
    "image.composite_image": False,
    "font.family": [FAMILY],
    "text.parse_math": False,
    "text.hinting": "none",  # else words are up to a tenth wider at a low dpi than they were measured
}


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """Every choice that all figures for print share.

    - ``width``: "column" (85 mm), "page" (175 mm) or a number of millimetres, 30–400.
    - ``dpi``: of PNG files, and of the maps inside PDF and SVG files, 72–1200.
    - ``font_pt``: size of letters, 4–14; the smallest print is 0.8 of it.
    - ``cmap``: a colour map by its name in matplotlib; None is YlOrRd without its palest third, RdBu_r for maps with
      values below zero, and where every object has a colour those that are far apart.
    - ``alpha``: opacity of a map at its peak, 0–1.
    - ``smooth``: "bicubic", "bilinear", or "nearest" to see the cells as they are.

    Raises: ChoiceError that lists every choice that does not exist, with those that do.
    """

    width: Width | float = "page"
    dpi: int = 300
    font_pt: float = 7.0
    cmap: str | None = None
    alpha: float = 0.8
    smooth: Smooth = "bicubic"

    def __post_init__(self) -> None:
        faults = [
            *_fault_of_width(self.width),
            *_fault_of_range("dpi", self.dpi, 72, 1200),
            *_fault_of_range("font_pt", self.font_pt, SMALLEST_PT, 14),
            *_fault_of_range("alpha", self.alpha, 0, 1),
            *_fault_of_cmap(self.cmap),
        ]
        if self.smooth not in get_args(Smooth):
            faults.append(f"smooth {self.smooth!r} does not exist: choose one of {', '.join(get_args(Smooth))}")
        if faults:
            raise ChoiceError("; ".join(faults))

    @property
    def width_mm(self) -> float:
        """The sheet's width."""
        return _WIDTHS[self.width] if isinstance(self.width, str) else float(self.width)

    @property
    def small_pt(self) -> float:
        """The smallest letters."""
        return 0.8 * self.font_pt

    @property
    def tallest_mm(self) -> float:
        """What a sheet's height may be."""
        return TALLEST_MM * max(1.0, self.width_mm / PAGE_MM)

    def with_letters_for(self, sizes: float) -> "PrintOptions":
        """Letters so small that the width is at least so many millimetres for each point of their size."""
        return replace(self, font_pt=max(SMALLEST_PT, min(self.font_pt, self.width_mm / sizes)))

    def colors(self, is_signed: bool = False) -> str:
        """The colour map's name for maps with or without values below zero."""
        return self.cmap or (SIGNED_PRINT_MAP if is_signed else PRINT_MAP)


def new_sheet(width_mm: float, height_mm: float, options: PrintOptions) -> Figure:
    """A white sheet of exactly this size; ``sheet_axes`` draws on it in millimetres."""
    with house_style():
        size = (width_mm / MM_PER_INCH, height_mm / MM_PER_INCH)
        figure = Figure(figsize=size, dpi=options.dpi, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_autoscale_on(False)
        axes.set(xlim=(0, width_mm), ylim=(height_mm, 0))
    return figure


def sheet_axes(figure: Figure) -> Axes:
    """The axes over all of a sheet: x to the right and y downwards, in millimetres."""
    return figure.axes[0]


def size_mm(figure: Figure) -> tuple[float, float]:
    """A sheet's width and height."""
    width, height = figure.get_size_inches()
    return float(width) * MM_PER_INCH, float(height) * MM_PER_INCH


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib as it is out of the box, with what print needs, whatever the caller has set."""
    with style.context(["default", _RULES]):
        yield


def print_bytes(figure: Figure, kind: FileKind, provenance: Mapping[str, str]) -> bytes:
    """The sheet as a file with ``provenance`` inside; the same bytes for the same sheet."""
    with house_style():
        if kind == "png":
            return _png(figure, {clean(key): clean(value) for key, value in provenance.items()})
        drawn = _saved(figure, kind, metadata_of(kind, provenance))
        if kind == "pdf":
            return drawn
    return with_embedded_fonts(_in_millimetres(drawn.decode(), figure)).encode()


def _saved(figure: Figure, kind: str, metadata: Mapping[str, str | None] | None) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata, dpi=figure.dpi)
    return buffer.getvalue()


def _png(figure: Figure, about: Mapping[str, str]) -> bytes:
    text = PngInfo()
    for key, value in about.items():
        text.add_text(key, value)
    buffer = io.BytesIO()
    _pixels(figure).save(buffer, format="PNG", dpi=(figure.dpi, figure.dpi), pnginfo=text)
    return buffer.getvalue()


def _pixels(figure: Figure) -> Image.Image:
    """The sheet in whole pixels: the renderer would cut a part of a pixel off."""
    width, height = map(float, figure.get_size_inches())
    canvas = FigureCanvasAgg(figure)
    try:
        figure.set_size_inches(_whole(width, figure.dpi), _whole(height, figure.dpi))
        canvas.draw()  # type: ignore[no-untyped-call]
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    finally:
        figure.set_size_inches(width, height)


def _whole(inches: float, dpi: float) -> float:
    return round(inches * dpi) / dpi + 1e-6


def _in_millimetres(svg: str, figure: Figure) -> str:
    """The file's own size in the unit that was asked for."""
    width, height = size_mm(figure)
    head, mark, rest = svg.partition("viewBox=")
    start, _, end = head.rpartition("<svg ")
    kept = [part for part in end.split(" ") if not part.startswith(("width=", "height="))]
    size = f'width="{width:.6g}mm" height="{height:.6g}mm" '
    return f"{start}<svg {size}{' '.join(kept)}{mark}{rest}"


def _fault_of_width(width: Width | float) -> list[str]:
    if isinstance(width, str):
        names = ", ".join(_WIDTHS)
        return [] if width in _WIDTHS else [f"width {width!r} does not exist: choose {names} or millimetres"]
    return _fault_of_range("width", width, 30, 400, " mm")


def _fault_of_range(option: str, value: float, low: float, high: float, unit: str = "") -> list[str]:
    if low <= value <= high:
        return []
    return [f"{option} is {value:g}{unit} but must be between {low:g} and {high:g}{unit}"]


def _fault_of_cmap(name: str | None) -> list[str]:
    try:
        table(name or PRINT_MAP)
    except ChoiceError as error:
        return [str(error)]
    return []
