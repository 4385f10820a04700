"""Figures of evidence: the same look for the same name, the same range for the same quantity, nothing cut off."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from detr_attnviz.drawing.curves import (
    MOST_STYLES,
    ONE_COLUMN_INCHES,
    TWO_COLUMNS_INCHES,
    CurveLine,
    CurvePanel,
    curves_figure,
    heads_figure,
)
from detr_attnviz.drawing.figure import save_figure

X = (0.0, 5.0, 20.0, 100.0)
METHODS = tuple(f"method {number}" for number in range(12))


def line(name: str, height: float = 1.0, spread: float | None = None, is_control: bool = False) -> CurveLine:
    y = tuple(height * math.exp(-x / 20) for x in X)
    return CurveLine(name, X, y, None if spread is None else (spread,) * len(X), is_control)


def panel(y_label: str = "class logit", height: float = 1.0, names: tuple[str, ...] = ("raw", "rollout")) -> CurvePanel:
    lines = (*(line(name, height, 0.1 * height) for name in names), line("random", height, is_control=True))
    return CurvePanel("deletion, blurred", "cells removed (%)", y_label, lines)


def eight(names: tuple[str, ...] = METHODS) -> list[CurvePanel]:
    return [panel("class logit", 6, names)] * 4 + [panel("IoU of the box", 1, names)] * 4


def drawn(figure: Figure, place: int = 0) -> dict[str, Line2D]:
    return {str(curve.get_label()): curve for curve in figure.axes[place].lines}


def test_curves_hold_the_numbers_given() -> None:
    figure = curves_figure([panel(height=3)])
    assert np.asarray(drawn(figure)["raw"].get_ydata()).tolist() == list(line("raw", 3).y)
    assert np.asarray(drawn(figure)["raw"].get_xdata()).tolist() == list(X)


def test_band_reaches_the_spread_to_both_sides() -> None:
    figure = curves_figure([CurvePanel("", "x", "y", (CurveLine("raw", (0, 1), (5, 6), (1, 2)),))])
    (band,) = figure.axes[0].collections
    vertices = np.asarray(band.get_paths()[0].vertices)
    assert {tuple(vertex) for vertex in vertices.tolist()} == {(0, 4), (0, 6), (1, 4), (1, 8)}
    assert not curves_figure([CurvePanel("", "x", "y", (line("raw"),))]).axes[0].collections


def test_value_that_is_not_finite_leaves_a_gap() -> None:
    broken = CurveLine("raw", (0, 1, 2), (1.0, math.inf, 2.0))
    figure = curves_figure([CurvePanel("", "x", "y", (broken,))])
    assert np.isnan(np.asarray(drawn(figure)["raw"].get_ydata())).tolist() == [False, True, False]
    assert all(map(math.isfinite, figure.axes[0].get_ylim()))


def test_name_looks_the_same_in_every_panel_whatever_else_is_there() -> None:
    figure = curves_figure([panel(names=("raw", "rollout")), panel(names=("rollout",))])
    first, second = drawn(figure, 0)["rollout"], drawn(figure, 1)["rollout"]
    assert first.get_color() == second.get_color() != drawn(figure)["raw"].get_color()
    assert first.get_marker() == second.get_marker()


def test_every_method_has_a_look_of_its_own_and_controls_are_grey() -> None:
    names = tuple(f"m{number}" for number in range(MOST_STYLES))
    curves = drawn(curves_figure([panel(names=names)]))
    looks = {(curves[name].get_color(), curves[name].get_marker(), curves[name].is_dashed()) for name in names}
    assert len(looks) == MOST_STYLES
    assert len({(color, dashed) for color, _, dashed in looks}) == MOST_STYLES
    red, green, blue = to_rgb(curves["random"].get_color())
    assert red == green == blue
    assert curves["random"].is_dashed()
    assert curves["random"].get_zorder() < curves["m0"].get_zorder()


def test_one_legend_names_everything_once_with_controls_last() -> None:
    figure = curves_figure(eight())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*METHODS, "random"]
    assert not [axis for axis in figure.axes if axis.get_legend()]


def test_equal_labels_have_equal_ranges_and_others_their_own() -> None:
    figure = curves_figure([panel(height=1), panel(height=6), panel("IoU", 0.5), panel("IoU", 1)])
    ranges = [axis.get_ylim() for axis in figure.axes]
    assert ranges[0] == ranges[1] != ranges[2] == ranges[3]
    assert ranges[0][1] >= 6.6


def test_labels_stand_at_the_left_and_at_the_foot_only() -> None:
    figure = curves_figure(eight())
    assert [axis.get_ylabel() for axis in figure.axes] == ["class logit", "", "", "", "IoU of the box", "", "", ""]
    assert [bool(axis.get_xlabel()) for axis in figure.axes] == [False] * 4 + [True] * 4


def test_panel_over_an_empty_place_keeps_its_label() -> None:
    figure = curves_figure([panel()] * 5, columns=3)
    assert [bool(axis.get_xlabel()) for axis in figure.axes[:5]] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("count", "width", "shape"),
    [
        (1, TWO_COLUMNS_INCHES, (1, 1)),
        (2, TWO_COLUMNS_INCHES, (1, 2)),
        (4, TWO_COLUMNS_INCHES, (2, 2)),
        (6, TWO_COLUMNS_INCHES, (2, 3)),
        (8, TWO_COLUMNS_INCHES, (2, 4)),
        (4, ONE_COLUMN_INCHES, (2, 2)),
        (8, ONE_COLUMN_INCHES, (4, 2)),
    ],
)
def test_panels_lie_in_rows_that_the_page_can_hold(count: int, width: float, shape: tuple[int, int]) -> None:
    figure = curves_figure([panel()] * count, width_inches=width)
    spec = figure.axes[0].get_subplotspec()
    assert spec is not None
    assert spec.get_gridspec().get_geometry() == shape
    assert figure.get_size_inches()[0] == width


@pytest.mark.parametrize("width", [ONE_COLUMN_INCHES, TWO_COLUMNS_INCHES])
def test_nothing_is_cut_off_and_letters_can_be_read(width: float) -> None:
    names = (*METHODS[:11], "value-norm:entropy-weighted")
    figure = curves_figure(eight(names), title="What the methods lose", width_inches=width)
    figure.draw_without_rendering()
    page = figure.bbox.padded(2)
    texts = [text for axis in figure.axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label)]
    texts += [*figure.legends[0].get_texts(), *figure.texts]
    shown = [text for text in texts if text.get_text()]
    assert len(shown) > 20
    for text in shown:
        box = text.get_window_extent()
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
        assert float(text.get_fontsize()) >= 6
    legend_top = figure.legends[0].get_window_extent().y1
    assert all(axis.xaxis.label.get_window_extent().y0 >= legend_top for axis in figure.axes if axis.get_xlabel())


def test_line_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(AssertionError, match="raw: 2 x and 1 y"):
        CurveLine("raw", (0, 1), (0,))


def test_heads_show_their_numbers_around_zero() -> None:
    values = np.array([[0.5, -0.25, 0.0], [0.004, math.nan, -0.001]])
    figure = heads_figure(values, title="Without a head", label="change of the logit")
    table = figure.axes[0]
    assert [text.get_text() for text in table.texts] == ["0.50", "−0.25", "0.00", "0.00", "–", "0.00"]
    assert table.images[0].get_clim() == (-0.5, 0.5)
    assert np.ma.getmaskarray(np.ma.asarray(table.images[0].get_array())).sum() == 1
    assert (table.get_xlabel(), table.get_ylabel()) == ("head", "layer")
    assert figure.axes[1].get_ylabel() == "change of the logit"


@pytest.mark.parametrize(
    ("peak", "text", "label"),
    [
        (2.1, "2.10", "Δ"),
        (31.4, "31.4", "Δ"),
        (314.0, "314", "Δ"),
        (0.052, "0.052", "Δ"),
        (3.1e-5, "3.10", "Δ · $10^{5}$"),
        (4.2e7, "4.20", "Δ · $10^{-7}$"),
        (0.0, "0.00", "Δ"),
    ],
)
def test_numbers_of_heads_have_fitting_digits(peak: float, text: str, label: str) -> None:
    figure = heads_figure(np.array([[peak]]), label="Δ")
    assert figure.axes[0].texts[0].get_text() == text
    assert figure.axes[1].get_ylabel() == label


def test_numbers_stand_out_from_their_colour() -> None:
    texts = heads_figure(np.array([[1.0, 0.05, -1.0]])).axes[0].texts
    assert [sum(to_rgb(text.get_color())) > 1.5 for text in texts] == [True, False, True]


def test_many_heads_fit_a_page_without_numbers() -> None:
    figure = heads_figure(np.random.default_rng(0).normal(size=(24, 32)))
    assert figure.get_size_inches()[0] <= 7.4
    assert not figure.axes[0].texts


def test_heads_that_are_all_unknown_are_still_drawn(tmp_path: Path) -> None:
    save_figure(heads_figure(np.full((2, 2), math.nan)), tmp_path / "x.png")


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_written_in_the_format_of_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"curves.{suffix}"
    save_figure(curves_figure([panel()], title="x"), path)
    assert path.stat().st_size > 5000
    if suffix == "png":
        with Image.open(path) as image:
            assert image.width == TWO_COLUMNS_INCHES * 300


def test_pyplot_stays_out_of_it() -> None:
    curves_figure([panel()])
    heads_figure(np.eye(2))
    assert "matplotlib.pyplot" not in sys.modules
