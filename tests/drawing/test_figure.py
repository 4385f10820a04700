"""The figure of weights: its scales, its layout, what is written."""

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from detr_attnviz.drawing.figure import figure_bytes, save_figure, weights_figure
from detr_attnviz.errors import OutputError

RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Panel:
    group: str
    title: str
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    head_norms: np.ndarray | None


def panel(group: str = "encoder self-attention", layer: int = 0, heads: int | None = 4) -> Panel:
    q, k, v = RANDOM.normal(size=(3, 16, 16)).astype(np.float32)
    norms = None if heads is None else RANDOM.uniform(1, 2, (heads, 4))
    return Panel(group, f"layer {layer}", q, k, v, norms)


def images_of(figure: Figure) -> list[np.ndarray]:
    return [np.ma.asarray(image.get_array()) for axis in figure.axes for image in axis.images]


def test_three_matrices_and_the_norms_of_the_heads() -> None:
    shown = panel()
    figure = weights_figure([shown])
    images = images_of(figure)
    assert len(images) == 4
    assert np.array_equal(images[1], shown.k)
    assert shown.head_norms is not None
    assert np.array_equal(images[3], shown.head_norms)
    assert [len(axis.lines) for axis in figure.axes[:3]] == [3, 3, 3]  # between four heads


def test_heads_are_numbered_where_there_is_room() -> None:
    numbers = [text.get_text() for axis in weights_figure([panel(heads=8)]).axes for text in axis.texts]
    assert numbers == ["0", "1", "2", "3", "4", "5", "6", "7"]
    crowded = weights_figure([panel(layer=layer, heads=16) for layer in range(8)])
    assert not [text for axis in crowded.axes for text in axis.texts]


def test_margins_are_even_left_and_right() -> None:
    figure = weights_figure([panel(group, heads=8) for group in ("one", "two", "three")], title="x")
    figure.draw_without_rendering()
    labels = [axis.yaxis.label.get_window_extent() for axis in figure.axes if axis.get_ylabel()]
    numbers = [text.get_window_extent() for axis in figure.axes for text in axis.texts]
    left = min(box.x0 for box in labels) / figure.dpi
    right = (figure.bbox.x1 - max(box.x1 for box in numbers)) / figure.dpi
    assert left == pytest.approx(right, abs=0.08)


def test_one_range_for_all_weights_centred_at_zero() -> None:
    figure = weights_figure([panel(layer=0), panel(layer=1)])
    limits = {axis.images[0].get_clim() for axis in figure.axes if axis.images and axis.get_title().startswith("$W")}
    assert len(limits) == 1
    ((low, high),) = limits
    assert low == -high


def test_outliers_do_not_set_the_range() -> None:
    outlier = panel()
    outlier.q[0, 0] = 1e6
    (low, high) = weights_figure([outlier]).axes[0].images[0].get_clim()
    assert -10 < low < high < 10


def test_without_heads_there_are_no_norms_and_no_boundaries() -> None:
    figure = weights_figure([panel(heads=None)])
    assert len(images_of(figure)) == 3
    assert not figure.axes[0].lines


def test_values_that_are_not_finite_are_masked() -> None:
    broken = panel()
    broken.v[3, 3] = math.nan
    broken.v[4, 4] = math.inf
    assert np.ma.getmaskarray(images_of(weights_figure([broken]))[2]).sum() == 2


@pytest.mark.parametrize("weights", [np.zeros((4, 4)), np.full((4, 4), math.nan)])
def test_nothing_but_zeros_or_nan_is_still_drawn(weights: np.ndarray, tmp_path: Path) -> None:
    empty = Panel("attention", "attn", weights, weights, weights, np.zeros((2, 4)))
    save_figure(weights_figure([empty]), tmp_path / "x.png")


def test_eighteen_modules_stand_in_three_columns_of_six() -> None:
    groups = ("encoder self-attention", "decoder self-attention", "decoder cross-attention")
    figure = weights_figure([panel(group, layer) for group in groups for layer in range(6)], title="detr-r50")
    assert len(images_of(figure)) == 18 * 4
    assert [text.get_text() for text in figure.texts] == ["detr-r50", *groups]
    width, height = figure.get_size_inches()
    assert width > height
    assert width < 14


def test_long_stacks_are_broken_into_columns() -> None:
    figure = weights_figure([panel("attention", layer, None) for layer in range(12)])
    assert [text.get_text() for text in figure.texts] == ["attention", "attention"]


def test_no_text_is_cut_off_and_none_overlaps(tmp_path: Path) -> None:
    figure = weights_figure([panel(layer=layer) for layer in range(2)], title="checkpoint.pth")
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [text.get_window_extent() for text in figure.texts]
    labels = [axis.yaxis.label.get_window_extent() for axis in figure.axes if axis.get_ylabel()]
    for box in boxes + labels:
        assert box.x0 >= 0
        assert box.x1 <= page.x1
        assert box.y1 <= page.y1
    assert not boxes[0].overlaps(boxes[1])


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_written_in_the_format_of_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    save_figure(weights_figure([panel()]), path)
    assert list(tmp_path.iterdir()) == [path]
    if suffix == "png":
        with Image.open(path) as image:
            assert image.width > 1000


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_same_figure_gives_the_same_bytes_whatever_the_hour(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = panel()
    first = figure_bytes(weights_figure([shown], title="x"), kind)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert figure_bytes(weights_figure([shown], title="x"), kind) == first


@pytest.mark.parametrize("name", ["x.docx", "x"])
def test_other_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"use \.png, \.pdf or \.svg"):
        save_figure(weights_figure([panel()]), tmp_path / name)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write|cannot be written"):
        save_figure(weights_figure([panel()]), tmp_path / "none" / "x.png")


def test_pyplot_stays_out_of_it() -> None:
    weights_figure([panel()])
    assert "matplotlib.pyplot" not in sys.modules


HOSTILE = "$x^$ <b>\x1b[31m\n\u202e$\\frac$ \U0001f600"


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_names_are_text_whatever_they_hold(kind: str) -> None:
    odd = dataclasses.replace(panel(), group=HOSTILE, title=HOSTILE)
    data = figure_bytes(weights_figure([odd], title=HOSTILE), kind, {"checkpoint": HOSTILE})
    if kind == "svg":
        words = [
            part.text or "" for part in ElementTree.fromstring(data).iter() if str(part.tag).endswith("description")
        ]
        assert words == ["checkpoint: $x^$ <b>[31m $\\frac$ \U0001f600"]


def test_cells_that_are_no_numbers_have_a_legend() -> None:
    broken = panel()
    assert "green" not in " ".join(axis.get_xlabel() for axis in weights_figure([broken]).axes)
    broken.q[0, 0] = math.nan
    assert "weight (green: NaN or infinite)" in [axis.get_xlabel() for axis in weights_figure([broken]).axes]
