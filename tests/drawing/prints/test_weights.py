"""Weights on paper: how modules are arranged, and what is written."""

from typing import get_args

import numpy as np
import pytest

from detr_attnviz.drawing.prints.paper import FileKind, PrintOptions, print_bytes, size_mm
from detr_attnviz.drawing.prints.weights import averaged, draw_weights, layout
from tests.drawing.prints.sheets import cut_off, overlapping, words_of
from tests.drawing.test_figure import Panel, images_of, panel

GROUPS = ("encoder self-attention", "decoder self-attention", "decoder cross-attention")


def panels(layers: int, groups: tuple[str, ...] = GROUPS, heads: int | None = 8) -> list[Panel]:
    return [panel(group, layer, heads) for group in groups for layer in range(layers)]


@pytest.mark.parametrize(
    ("width", "layers", "groups", "heads"),
    [
        ("column", 6, GROUPS, 8),
        ("page", 6, GROUPS, 16),
        ("page", 12, GROUPS[:2], 4),
        ("column", 1, GROUPS[:1], None),
        (40, 2, GROUPS, 16),
        (36, 1, GROUPS, 4),
        (400, 1, GROUPS, 8),
    ],
)
def test_words_are_within_the_sheet_and_off_each_other(
    width: object, layers: int, groups: tuple[str, ...], heads: int | None
) -> None:
    options = PrintOptions(width=width, dpi=150)  # type: ignore[arg-type]
    figure = draw_weights(panels(layers, groups, heads), options)
    assert not cut_off(figure)
    assert not overlapping(figure)
    assert size_mm(figure)[0] == pytest.approx(options.width_mm)
    assert size_mm(figure)[1] <= options.tallest_mm + 1e-6


def test_groups_stand_side_by_side_on_a_page_and_below_each_other_in_a_column() -> None:
    wide, narrow = (layout(panels(6), PrintOptions(width=width)) for width in ("page", "column"))
    assert len({middle for _, _, middle, _ in wide.headings}) == 1
    assert len({left for _, left, _, _ in narrow.headings}) == 1
    assert [words for words, *_ in narrow.headings] == list(GROUPS)
    assert min(wide.side, narrow.side) >= 9


def test_matrices_are_the_panels_own_on_shared_scales() -> None:
    shown = panels(2, GROUPS[:1], 4)
    figure = draw_weights(shown, PrintOptions(dpi=72))
    images = [image for image in images_of(figure) if image.ndim == 2]
    for place, one in enumerate(shown):
        for image, matrix in zip(images[4 * place : 4 * place + 3], (one.q, one.k, one.v), strict=True):
            assert np.array_equal(image, matrix)
        assert one.head_norms is not None
        assert np.array_equal(images[4 * place + 3], one.head_norms)
    drawn = [image for axis in figure.axes[1:] for image in axis.images]
    assert len({image.get_clim() for image in drawn[0:3]} | {image.get_clim() for image in drawn[4:7]}) == 1


def test_heads_without_room_are_numbered_in_steps() -> None:
    figure = draw_weights(panels(1, GROUPS[:1], 16), PrintOptions(width=60, dpi=72))
    words = [one.text for one in words_of(figure)]
    assert words[words.index("Wv") + 1 : words.index("q")] == ["0", "3", "6", "9", "12"]


def test_nothing_is_said_of_norms_that_are_not_known() -> None:
    words = [one.text for one in words_of(draw_weights(panels(1, GROUPS[:1], None), PrintOptions(dpi=72)))]
    assert "weight" in words
    assert "norm of a head's block" not in words
    assert "q" not in words


def test_a_long_module_name_is_cut_to_its_matrix() -> None:
    named = panel()
    long = Panel("other " * 40, "a.very.long.name.of.a.module" * 3, named.q, named.k, named.v, named.head_norms)
    figure = draw_weights([long], PrintOptions(width="column"))
    assert not cut_off(figure)
    assert not overlapping(figure)


def test_the_same_weights_give_the_same_bytes() -> None:
    first, second = (draw_weights(panels_of_zeros(), PrintOptions(dpi=72)) for _ in range(2))
    kinds: tuple[FileKind, ...] = get_args(FileKind)
    for kind in kinds:
        assert print_bytes(first, kind, {}) == print_bytes(second, kind, {})


def panels_of_zeros() -> list[Panel]:
    q, k, v = np.zeros((3, 8, 8), np.float32)
    return [Panel(GROUPS[0], "layer 0", q, k, v, None)]


def test_large_matrices_are_averaged_down_to_what_their_place_shows() -> None:
    large = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert averaged(large, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert averaged(large, 4) is large
    large[0, 0] = np.nan
    assert np.isnan(averaged(large, 2)).tolist() == [[True, False], [False, False]]


def test_module_titles_become_smaller_before_they_are_cut() -> None:
    words = words_of(draw_weights(panels(6), PrintOptions(width="column", font_pt=10)))
    titles = [one for one in words if one.text.startswith("layer")]
    assert len(titles) == 18
    assert not [one.text for one in titles if one.text.endswith("…")]


def test_averaged_matrices_keep_their_few_colours_in_vector_files() -> None:
    q, k, v = np.random.default_rng(0).normal(size=(3, 400, 400)).astype(np.float32)
    figure = draw_weights([Panel(GROUPS[0], "layer 0", q, k, v, None)], PrintOptions(width="column"))
    shown = [axis.images[0] for axis in figure.axes[1:4]]
    assert {image.get_interpolation() for image in shown} == {"none"}
    assert all(max(image.get_size()) < 400 for image in shown)
    assert print_bytes(figure, "pdf", {}).count(b"/Indexed") >= 3
