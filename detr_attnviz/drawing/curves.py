"""Figures of evidence: curves of several methods beside each other, and a number for every head of every layer.

Made for print: letters of 6 to 9 points at the width of one column (3.4 inches) or two (7 inches), colours that
colour-blind readers can tell apart, and marks and dashes that survive a photocopy. ``figure.save_figure`` writes them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from detr_attnviz.drawing.figure import FAINT, INK
from detr_attnviz.drawing.text import clean, font, width_of

ONE_COLUMN_INCHES, TWO_COLUMNS_INCHES = 3.4, 7.0
MOST_STYLES = 14
"""So many methods have a look of their own."""

_LEAST_PANEL_INCHES = 1.6
_SMALL_PT, _TEXT_PT, _TITLE_PT = 6.5, 7.5, 9.0
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
_MARKERS = "os^Dv<>Phd*pX8"
_CONTROL_COLOURS = ("#8c8c8c", "#5e5e5e")
_CONTROL_DASHES = ((4.0, 2.0), (1.2, 1.6), (6.0, 2.0, 1.2, 2.0))
_LEGEND_EMS = 2.6 + 0.7 + 1.3
"""Width of a legend's entry beside its words: stroke, and room at its right and before the next column."""

_CELL_INCHES = (0.37, 0.27)
_LARGEST_TABLE_INCHES = 6.0
_NUMBERED_INCHES = 0.26
_READABLE_ON_DARK = 0.5


@dataclass(frozen=True, eq=False)
class CurveLine:
    """One curve: ``y`` over ``x``, and half the height of the band around it where ``spread`` is known.

    Lines of one name look the same in every panel. ``is_control`` makes it grey and dashed.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None
    is_control: bool = False

    def __post_init__(self) -> None:
        assert len(self.x) == len(self.y), f"{self.name}: {len(self.x)} x and {len(self.y)} y"
        assert self.spread is None or len(self.spread) == len(self.x), f"{self.name}: {len(self.spread)} spreads"


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """Curves over the same axes; panels whose ``x_label`` or ``y_label`` is the same have the same range of it."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[CurveLine, ...]


class _Look(NamedTuple):
    color: str
    dashes: tuple[float, ...]
    marker: str
    fill: str

    def as_line(self, label: str, scale: float) -> Line2D:
        """An empty line that looks so, for axes and for the legend; ``scale`` is 1 at the width of two columns."""
        line = Line2D([], [], color=self.color, linewidth=1.15 * scale, marker=self.marker, label=label)
        line.set(markersize=3.2 * scale, markerfacecolor=self.fill, markeredgewidth=0.7 * scale)
        if self.dashes:
            line.set_dashes(self.dashes)
        return line


def curves_figure(
    panels: Sequence[CurvePanel],
    *,
    title: str = "",
    columns: int | None = None,
    width_inches: float = TWO_COLUMNS_INCHES,
) -> Figure:
    """The panels row by row over one legend; ``columns`` None makes two rows of four to eight panels.

    A value that is not finite leaves a gap in its line.
    """
    assert panels, "a figure needs a panel"
    columns = min(columns or _columns(len(panels), width_inches), len(panels))
    rows = math.ceil(len(panels) / columns)
    looks = _looks(panels)
    in_legend = _legend_columns(list(looks), width_inches)
    side = max(0.78 * (width_inches - 0.5) / columns - 0.1, 1.0)
    words = 0.17 * math.ceil(len(looks) / in_legend) + 0.5 + (0.25 if title else 0.0)
    figure = Figure((width_inches, rows * (min(side, 2.6) + 0.22) + words), dpi=300, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.04)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(clean(title), fontsize=_TITLE_PT, color=INK, parse_math=False)
    grid = figure.subplots(rows, columns, squeeze=False)
    scale = 1.0 if width_inches / columns >= 1.7 else 0.85
    for axis, panel in zip(grid.flat, panels, strict=False):
        _draw_curves(axis, panel, looks, scale)
    for axis in grid.flat[len(panels) :]:
        axis.set_axis_off()
    _share_ranges(grid, panels)
    handles = [look.as_line(clean(name), scale) for name, look in looks.items()]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=in_legend,
        fontsize=_TEXT_PT,
        labelcolor=INK,
        frameon=False,
        handlelength=2.6,
        handletextpad=0.7,
        columnspacing=1.3,
    )
    return figure


def heads_figure(values: Float[np.ndarray, "layers heads"], *, title: str = "", label: str = "") -> Figure:
    """One number for every head: layers downwards, colours from blue below 0 over white to red above.

    ``label`` says what the numbers are. Those that are not finite are left white with a dash.
    """
    layers, heads = values.shape
    cell = min(_CELL_INCHES[0], _LARGEST_TABLE_INCHES / heads), _CELL_INCHES[1]
    height = layers * cell[1] + 0.5 + (0.3 if title else 0.0)
    figure = Figure((max(heads * cell[0] + 1.25, 2.2), max(height, 1.3)), dpi=300, facecolor="white")
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    known = np.abs(values[np.isfinite(values)])
    peak = float(known.max(initial=0.0))
    power = 0 if 0.01 <= peak < 1000 or peak == 0 else math.floor(math.log10(peak))
    shown, reach = values / 10.0**power, peak / 10.0**power or 1.0
    norm = Normalize(-reach, reach)
    colours = ScalarMappable(norm, colormaps["RdBu_r"].with_extremes(bad="white"))
    axis = figure.subplots()
    axis.imshow(np.ma.masked_invalid(shown), cmap=colours.cmap, norm=norm, aspect="auto")
    if cell[0] >= _NUMBERED_INCHES:
        _write_numbers(axis, shown, reach, colours)
    _label_heads(axis, layers, heads)
    if title:
        figure.suptitle(clean(title), fontsize=_TITLE_PT, color=INK, parse_math=False)
    bar = figure.colorbar(colours, ax=axis, aspect=max(8, 9 * height), pad=0.03)
    bar.outline.set(linewidth=0.5, color=FAINT)
    bar.locator = MaxNLocator(5, symmetric=True)
    bar.update_ticks()
    bar.ax.tick_params(labelsize=_SMALL_PT, length=2, width=0.5, color=FAINT, labelcolor=INK)
    bar.set_label(clean(label) + (f" · $10^{{{-power}}}$" if power else ""), fontsize=_TEXT_PT, color=INK)
    return figure


def _columns(count: int, width_inches: float) -> int:
    most = max(1, int(width_inches / _LEAST_PANEL_INCHES))
    rows = max(math.ceil(count / most), 2 if count > 3 else 1)
    return math.ceil(count / rows)


def _looks(panels: Sequence[CurvePanel]) -> dict[str, _Look]:
    """How each name is drawn, methods before controls, each in the order in which it is met."""
    lines = {line.name: line.is_control for panel in panels for line in panel.lines}
    methods = [name for name, is_control in lines.items() if not is_control]
    controls = [name for name, is_control in lines.items() if is_control]
    return {name: _method_look(number) for number, name in enumerate(methods)} | {
        name: _control_look(number) for number, name in enumerate(controls)
    }


def _method_look(number: int) -> _Look:
    """Solid lines with full marks first, then the same colours with dashes and hollow marks."""
    again, place = divmod(number, len(_COLOURS))
    color, marker = _COLOURS[place], _MARKERS[number % len(_MARKERS)]
    return _Look(color, (), marker, color) if again % 2 == 0 else _Look(color, (7, 1.4, 1.4, 1.4), marker, "white")


def _control_look(number: int) -> _Look:
    color = _CONTROL_COLOURS[number % len(_CONTROL_COLOURS)]
    return _Look(color, _CONTROL_DASHES[number % len(_CONTROL_DASHES)], "", color)


def _legend_columns(names: Sequence[str], width_inches: float) -> int:
    """As many columns of names beside each other as fit."""
    face = font(100)
    widths = [width_of(clean(name), face) / 100 + _LEGEND_EMS for name in names]
    for rows in range(1, len(names)):
        columns = [widths[start : start + rows] for start in range(0, len(names), rows)]
        if sum(map(max, columns)) * _TEXT_PT <= 0.97 * width_inches * 72:
            return len(columns)
    return 1


def _draw_curves(axis: Axes, panel: CurvePanel, looks: Mapping[str, _Look], scale: float) -> None:
    axis.set_title(clean(panel.title), fontsize=_TEXT_PT, color=INK, pad=4)
    axis.set_xlabel(clean(panel.x_label), fontsize=_TEXT_PT, color=INK, labelpad=2)
    axis.set_ylabel(clean(panel.y_label), fontsize=_TEXT_PT, color=INK, labelpad=2)
    has_few = len(panel.lines) <= 5
    for line in panel.lines:
        look = looks[line.name]
        x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
        y = np.where(np.isfinite(y), y, np.nan)
        drawn = look.as_line(line.name, scale)
        drawn.set(zorder=2.0 if line.is_control else 2.5)
        drawn.set_data(x, y)
        axis.add_line(drawn)
        if line.spread is not None:
            spread = np.asarray(line.spread, dtype=float)
            axis.fill_between(x, y - spread, y + spread, color=look.color, alpha=0.18 if has_few else 0.1, linewidth=0)
    axis.margins(x=0.03, y=0.06)
    axis.autoscale_view()
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(color="#e4e4e4", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=_SMALL_PT, length=2, width=0.5, color=FAINT, labelcolor=INK, pad=2)
    for name, spine in axis.spines.items():
        spine.set(linewidth=0.6, color=FAINT, visible=name in ("left", "bottom"))


def _share_ranges(grid: np.ndarray, panels: Sequence[CurvePanel]) -> None:
    """Equal labels mean equal ranges, and are written at the left of a row and at the foot of a column only."""
    columns = grid.shape[1]
    axes: list[Axes] = list(grid.flat)[: len(panels)]
    for place, panel in enumerate(panels):
        alike_y = [axis for axis, other in zip(axes, panels, strict=True) if other.y_label == panel.y_label]
        alike_x = [axis for axis, other in zip(axes, panels, strict=True) if other.x_label == panel.x_label]
        axes[place].set_ylim(min(a.get_ylim()[0] for a in alike_y), max(a.get_ylim()[1] for a in alike_y))
        axes[place].set_xlim(min(a.get_xlim()[0] for a in alike_x), max(a.get_xlim()[1] for a in alike_x))
        if place % columns and panels[place - 1].y_label == panel.y_label:
            axes[place].set_ylabel("")
            axes[place].tick_params(labelleft=False)
        if place + columns < len(panels) and panels[place + columns].x_label == panel.x_label:
            axes[place].set_xlabel("")
            axes[place].tick_params(labelbottom=False)


def _label_heads(axis: Axes, layers: int, heads: int) -> None:
    step = max(1, math.ceil(heads / 20))
    axis.set_xticks(range(0, heads, step))
    axis.set_yticks(range(0, layers, max(1, math.ceil(layers / 20))))
    axis.set_xlabel("head", fontsize=_TEXT_PT, color=INK, labelpad=2)
    axis.set_ylabel("layer", fontsize=_TEXT_PT, color=INK, labelpad=2)
    axis.tick_params(labelsize=_SMALL_PT, length=0, labelcolor=INK, pad=3)
    for spine in axis.spines.values():
        spine.set(linewidth=0.5, color=FAINT)


def _write_numbers(axis: Axes, shown: np.ndarray, reach: float, colours: ScalarMappable) -> None:
    size = math.floor(math.log10(reach))
    digits = max(0, 2 - size if size >= 0 else 1 - size)
    for (layer, head), value in np.ndenumerate(shown):
        text = f"{value:.{digits}f}" if math.isfinite(value) else "–"
        text = text.lstrip("-") if not float(text.replace("–", "0")) else text.replace("-", "\N{MINUS SIGN}")
        light = float(np.dot(colours.to_rgba(value)[:3], (0.2126, 0.7152, 0.0722))) if math.isfinite(value) else 1.0
        ink = "white" if light < _READABLE_ON_DARK else INK
        axis.text(head, layer, text, ha="center", va="center", fontsize=_SMALL_PT, color=ink)
