"""Figures for print: attention weights as matrices, with their heads' norms; and how any figure is written.

Nothing touches pyplot's global state: figures draw on their own Agg canvas.
"""

import io
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from detr_attnviz.drawing.text import clean
from detr_attnviz.errors import OutputError
from detr_attnviz.files import write_atomically

PARTS = ("q", "k", "v", "out")
MOST_ROWS = 8
"""Modules one below the other before a new column begins."""

_MARGIN_INCHES = 0.16
_LABEL_INCHES, _NUMBERS_INCHES = 0.2, 0.1
"""A module's title, upright at the left of its matrices, and its heads' numbers at their right."""
_BETWEEN_INCHES = 0.26
_NUMBERED_INCHES = 0.09
"""Heads at least this high are numbered."""

INK = "#222222"
FAINT = "#777777"
NOT_FINITE = "#1fa22e"


class Panel(Protocol):
    """One module: matrices ``[features out, features in]`` and, if known, ``head_norms [heads 4]`` of q, k, v, out."""

    @property
    def group(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def q(self) -> np.ndarray: ...
    @property
    def k(self) -> np.ndarray: ...
    @property
    def v(self) -> np.ndarray: ...
    @property
    def head_norms(self) -> np.ndarray | None: ...


class Scale(NamedTuple):
    """How numbers become colours, the same in every panel."""

    norm: Normalize
    colours: Colormap


def weights_figure(panels: Sequence[Panel], *, title: str = "") -> Figure:
    """Wq | Wk | Wv of every module, heads marked, beside each head's norms; all on shared scales.

    One block of columns per group (encoder, decoder …), layers downwards. Weights share a range from -r to r, r the
    99.5th percentile of all absolute values; what lies beyond has the end colours, what is not finite is green.
    Heads are numbered where there is room.
    """
    columns = _columns(panels)
    rows = max(len(column) for column in columns)
    side = _side_inches(rows, len(columns))
    wide = side * (3.75 if any(panel.head_norms is not None for panel in panels) else 3.2)
    cell = _LABEL_INCHES + wide + _NUMBERS_INCHES
    size = (
        len(columns) * cell + (len(columns) - 1) * _BETWEEN_INCHES + 2 * _MARGIN_INCHES,
        rows * (side + 0.12) + 1.28 + (0.3 if title else 0.0),
    )
    width = max(size[0], 4.2)
    figure = Figure(figsize=(width, size[1]), dpi=300, facecolor="white")
    FigureCanvasAgg(figure)
    weight_colours, norm_colours = scales(panels)
    top = 1 - (0.58 + (0.3 if title else 0.0)) / size[1]
    bottom = 0.72 / size[1]
    if title:
        place = 0.5, 1 - 0.22 / size[1]
        figure.text(*place, clean(title), ha="center", va="center", fontsize=10, color=INK, parse_math=False)
    for number, column in enumerate(columns):
        start = (width - size[0]) / 2 + _MARGIN_INCHES + number * (cell + _BETWEEN_INCHES)
        left, right = (start + _LABEL_INCHES) / width, (start + _LABEL_INCHES + wide) / width
        _draw_column(figure, column, rows, (left, bottom, right, top), weight_colours, norm_colours)
    _draw_scales(figure, weight_colours, norm_colours, size, has_holes=not all(map(_is_finite, panels)))
    return figure


def save_figure(figure: Figure, path: str | Path, about: Mapping[str, str] | None = None) -> None:
    """Write a figure in the format of the suffix (png, pdf, svg …) with ``about`` inside, whole or not at all.

    Raises:
        OutputError: a suffix that matplotlib does not know, or the file cannot be written.
    """
    path = Path(path)
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise OutputError(f"{path}: cannot draw to {path.suffix or 'a name without suffix'}; use .png, .pdf or .svg")
    write_atomically(path, figure_bytes(figure, path.suffix[1:].lower(), about))


def figure_bytes(figure: Figure, kind: str, about: Mapping[str, str] | None = None) -> bytes:
    """The figure as a file of this kind with ``about`` inside; for png, pdf and svg always the same bytes."""
    buffer = io.BytesIO()
    # A number of its own for every SVG, and the hour, would make two runs' files differ.
    with rc_context({"svg.hashsalt": "attnviz"}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font"
        )  # a checkpoint's name may be in any script
        figure.savefig(buffer, format=kind, metadata=metadata_of(kind, about or {}))
    return buffer.getvalue()


def metadata_of(kind: str, about: Mapping[str, str]) -> dict[str, str | None] | None:
    """``about`` for a file of this kind: as PNG text by name, elsewhere as lines; and no hour."""
    facts = {clean(key): clean(value) for key, value in about.items()}
    words = "\n".join(f"{key}: {value}" for key, value in facts.items())
    if kind == "png":
        return {"Software": None, **facts}
    if kind == "pdf":
        return {"Subject": words, "Creator": "detr_attnviz", "CreationDate": None}
    if kind == "svg":
        return {"Description": words, "Creator": "detr_attnviz", "Date": None}
    return None


def _columns(panels: Sequence[Panel]) -> list[list[Panel]]:
    """The panels by group, long groups broken into several columns of about equal length."""
    groups: dict[str, list[Panel]] = {}
    for panel in panels:
        groups.setdefault(panel.group, []).append(panel)
    columns = []
    for group in groups.values():
        rows = math.ceil(len(group) / math.ceil(len(group) / MOST_ROWS))
        columns += [group[start : start + rows] for start in range(0, len(group), rows)]
    return columns


def _side_inches(rows: int, columns: int) -> float:
    """One matrix's side: large alone, small among many."""
    return max(0.72, min(2.1, 7.5 / rows, 10.0 / (3.9 * columns)))


def scales(panels: Sequence[Panel]) -> tuple[Scale, Scale | None]:
    """Of weights, and of norms where some are known; both the same in every panel."""
    values = np.abs(np.concatenate([_sample(matrix) for panel in panels for matrix in (panel.q, panel.k, panel.v)]))
    values = values[np.isfinite(values)]
    reach = (float(np.percentile(values, 99.5)) if values.size else 0.0) or 1.0
    weights = Scale(Normalize(-reach, reach), colormaps["RdBu_r"].with_extremes(bad=NOT_FINITE))
    norms = [panel.head_norms for panel in panels if panel.head_norms is not None]
    if not norms:
        return weights, None
    finite = np.concatenate([norm.ravel() for norm in norms])
    finite = finite[np.isfinite(finite)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if most - least <= 1e-6 * most:
        least, most = 0.0, most or 1.0
    return weights, Scale(Normalize(least, most), colormaps["viridis"].with_extremes(bad="white"))


def _sample(matrix: np.ndarray) -> np.ndarray:
    """All values of a usual matrix, enough of a huge one for a percentile."""
    if matrix.size <= 1 << 18:
        return matrix.ravel()
    return np.random.default_rng(0).choice(matrix.ravel(), 1 << 18)


def _draw_column(
    figure: Figure,
    column: Sequence[Panel],
    rows: int,
    box: tuple[float, float, float, float],
    weights: Scale,
    norms: Scale | None,
) -> None:
    left, bottom, right, top = box
    ratios = [1.0, 1.0, 1.0] + ([0.42] if norms else [])
    grid = figure.add_gridspec(
        rows, len(ratios), left=left, right=right, bottom=bottom, top=top, width_ratios=ratios, wspace=0.06, hspace=0.1
    )
    for row, panel in enumerate(column):
        axes = [figure.add_subplot(grid[row, place]) for place in range(len(ratios))]
        for axis, matrix, name in zip(axes, (panel.q, panel.k, panel.v), "qkv", strict=False):
            draw_matrix(axis, matrix, panel.head_norms, weights)
            if row == 0:
                axis.set_title(f"$W_{name}$", fontsize=9, color=INK, pad=3)
        if norms:
            _draw_norms(axes[3], panel.head_norms, norms, is_first=row == 0)
        axes[0].set_ylabel(clean(panel.title), fontsize=8, color=INK, labelpad=4, parse_math=False)
    middle = left + (right - left) * 0.5
    height = figure.get_size_inches()[1]
    place = middle, top + 0.27 / height
    group = clean(column[0].group)
    figure.text(*place, group, ha="center", va="bottom", fontsize=9.5, color=INK, parse_math=False)


def draw_matrix(axis: Axes, matrix: np.ndarray, head_norms: np.ndarray | None, scale: Scale) -> None:
    """A matrix with lines between the heads' rows, if these are known."""
    shown = np.ma.masked_invalid(matrix)
    axis.imshow(shown, cmap=scale.colours, norm=scale.norm, aspect="auto", interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    if head_norms is not None:
        dim = matrix.shape[0] / len(head_norms)
        for head in range(1, len(head_norms)):
            axis.axhline(head * dim - 0.5, color=INK, linewidth=0.45, alpha=0.75)


def _draw_norms(axis: Axes, norms: np.ndarray | None, scale: Scale, *, is_first: bool) -> None:
    """A heat map of heads × (q, k, v, out) whose rows stand beside the heads' rows in the matrices."""
    if norms is None:
        axis.set_axis_off()
        return
    axis.imshow(np.ma.masked_invalid(norms), cmap=scale.colours, norm=scale.norm, aspect="auto")
    for spine in axis.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    axis.set_yticks([])
    axis.set_xticks([])
    figure = axis.get_figure(root=True)
    assert figure is not None
    head_inches = axis.get_position().height * figure.get_size_inches()[1] / len(norms)
    if head_inches >= _NUMBERED_INCHES:
        size = min(6.5, 0.7 * head_inches * 72)
        for head in range(len(norms)):
            axis.text(3.62, head, str(head), ha="left", va="center", fontsize=size, color=FAINT)
    if is_first:
        axis.set_xticks(range(4), ["q", "k", "v", "o"], fontsize=7, color=INK)
        axis.xaxis.tick_top()
        axis.tick_params(length=0, pad=2)


def _is_finite(panel: Panel) -> bool:
    return all(np.isfinite(matrix).all() for matrix in (panel.q, panel.k, panel.v))


def _draw_scales(
    figure: Figure, weights: Scale, norms: Scale | None, size: tuple[float, float], *, has_holes: bool
) -> None:
    green = " (green: NaN or infinite)" if has_holes else ""
    entries: Iterable[tuple[Scale, str, str]] = [(weights, f"weight{green}", "both")]
    if norms:
        entries = [*entries, (norms, "norm of a head's block of $W_q$, $W_k$, $W_v$, $W_o$", "neither")]
    width = figure.get_size_inches()[0]
    bar = min(2.4, 0.36 * width) / width
    for number, (scale, label, extend) in enumerate(entries):
        centre = 0.5 if norms is None else (0.28, 0.74)[number]
        axis = figure.add_axes((centre - bar / 2, 0.46 / size[1], bar, 0.09 / size[1]))
        colour_bar = figure.colorbar(
            ScalarMappable(scale.norm, scale.colours), cax=axis, orientation="horizontal", extend=extend
        )
        colour_bar.outline.set(linewidth=0.5, color=FAINT)
        colour_bar.locator = MaxNLocator(5)
        colour_bar.update_ticks()
        axis.tick_params(labelsize=7, length=2, width=0.5, color=FAINT, labelcolor=INK)
        axis.set_xlabel(label, fontsize=7.5, color=INK, labelpad=2)
